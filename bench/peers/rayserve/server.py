"""Ray Serve: a replica a core, each with graphs of one thread. Clips wait in the proxy for a free replica.

Its batching would put whole clips together in one replica, which brings nothing on a CPU.
"""

from __future__ import annotations

import asyncio
import signal
from typing import Any

import cv2
import ray
from ray import serve
from starlette.requests import Request

from bench.peers import work


class Actions:
    """One replica."""

    def __init__(self) -> None:
        cv2.setNumThreads(1)
        self.work = work.from_environment(threads=1)

    async def __call__(self, request: Request) -> dict[str, Any]:
        """Answers one clip, in a thread so that the replica's loop stays free."""
        return await asyncio.to_thread(self.work.answer, await request.body())


if __name__ == "__main__":
    ray.init(include_dashboard=False, log_to_driver=False)
    serve.start(http_options={"host": "127.0.0.1", "port": work.port()})
    replicas = serve.deployment(num_replicas=work.cores(), ray_actor_options={"num_cpus": 1}, max_ongoing_requests=2)
    serve.run(replicas(Actions).bind(), route_prefix="/predict")
    signal.sigwait({signal.SIGTERM, signal.SIGINT})
    ray.shutdown()
