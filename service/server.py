"""The HTTP server's process: starts, says where it listens, drains, exits."""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import Coroutine
from contextvars import Context
from types import FrameType
from typing import Any

import uvicorn
from fastapi import FastAPI

from service import logs
from service.errors import BundleError
from service.runtime import Runtime
from service.settings import Settings

# Longer than common load balancers' idle time: they should close idle connections, not we in the midst of a request.
_KEEP_ALIVE_S = 75
# What is left after draining are answers being written.
_CLOSING_S = 2
# A little more than a frame and its timestamp: a frame that is too large by a little is told so.
_MESSAGE_OVERHEAD = 64 * 1024


class Server(uvicorn.Server):
    """uvicorn, but SIGTERM drains first: unready at once, new clips refused with 503, admitted ones answered.

    A second signal ends the process at once.

    Args:
        app: as `service.app.build` returns it.
        settings: where to listen, and how long to drain.
    """

    def __init__(self, app: FastAPI, settings: Settings) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                host=settings.host,
                port=settings.port,
                log_config=None,
                access_log=False,
                server_header=False,
                timeout_keep_alive=_KEEP_ALIVE_S,
                ws="websockets-sansio",
                ws_max_size=settings.stream_limits.frame_bytes + _MESSAGE_OVERHEAD,
                # Frames are compressed already, and each socket would keep a window of hundreds of kilobytes.
                ws_per_message_deflate=False,
                timeout_graceful_shutdown=_CLOSING_S,
            )
        )
        self.exit_code = 0
        self._app = app
        self._settings = settings
        self._log = logs.logger("kinema.server")
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._signals = 0

    @property
    def _runtime(self) -> Runtime:
        runtime: Runtime = self._app.state.runtime
        return runtime

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listens, says where, and gives up if the model can never be served."""
        self._loop = asyncio.get_running_loop()
        try:
            await super().startup(sockets)
        except SystemExit as refused:  # the port is taken; uvicorn has said so, and has a code of its own for it
            raise SystemExit(1) from refused
        for server in self.servers:
            for bound in server.sockets:
                host, port = bound.getsockname()[:2]
                shown = f"[{host}]" if ":" in host else host
                self._log.info("listening", url=f"http://{shown}:{port}", model=str(self._settings.model))
        self._watch(self._give_up_without_model())

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begins to drain; called in the main thread, between two steps of the loop."""
        self._signals += 1
        if self._signals > 1 or self._loop is None:
            self.should_exit = self.force_exit = True
            self.exit_code = int(self._runtime.admission.in_flight > 0)
            return
        self._runtime.admission.drain()
        # All else waits for the loop: a signal may come in the midst of writing a log line. It is no request's doing.
        self._loop.call_soon_threadsafe(lambda: self._watch(self._drain(signal.Signals(sig))), context=Context())

    async def _drain(self, received: signal.Signals) -> None:
        self._log.info("draining", signal=received.name, in_flight=self._runtime.admission.in_flight)
        if not await self._runtime.drain(self._settings.drain_s):
            left = self._runtime.admission.in_flight
            self._log.error("gave up draining", unanswered=left, after_s=self._settings.drain_s)
            self.exit_code = 1
        self.should_exit = True

    async def _give_up_without_model(self) -> None:
        try:
            await self._app.state.starting
        except BundleError:
            self.exit_code = 1
            self.should_exit = True

    def _watch(self, work: Coroutine[Any, Any, None]) -> None:
        # The loop itself holds tasks only weakly.
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
