"""LitServe: a worker process a core, each with graphs of one thread; requests go to whichever is free.

Its batching would put whole clips together in one worker, which brings nothing on a CPU; see docs/performance.md.
"""

from typing import Any

import cv2
import litserve
from fastapi import UploadFile

from bench.peers import work


class Actions(litserve.LitAPI):
    """One worker."""

    def setup(self, device: str) -> None:
        del device
        cv2.setNumThreads(1)
        self.work = work.from_environment(threads=1)

    def decode_request(self, request: UploadFile) -> work.Pictures:
        return self.work.pictures(request.file.read())

    def predict(self, x: work.Pictures) -> list[dict[str, Any]]:
        return self.work.predictions(x, self.work.features(x))

    def encode_response(self, output: list[dict[str, Any]]) -> dict[str, Any]:
        return {"predictions": output}


if __name__ == "__main__":
    # Clips wait their turn for longer than the thirty seconds that are the default.
    server = litserve.LitServer(Actions(), accelerator="cpu", workers_per_device=work.cores(), timeout=300)
    server.run(host="127.0.0.1", port=work.port(), generate_client_file=False, log_level="warning")
