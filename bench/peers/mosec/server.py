"""mosec: a process a core that decodes and one that encodes, pictures handed over between them."""

from __future__ import annotations

from typing import Any

import cv2
import mosec

from bench.peers import work


class Decode(mosec.Worker):
    """The first stage: bytes to pictures."""

    def __init__(self) -> None:
        cv2.setNumThreads(1)
        self.work = work.from_environment(threads=1)

    def deserialize(self, data: bytes) -> bytes:
        return bytes(data)

    def forward(self, data: bytes) -> work.Pictures:
        return self.work.pictures(data)


class Recognise(mosec.Worker):
    """The second stage: pictures to predictions; the default answer is JSON."""

    def __init__(self) -> None:
        self.work = work.from_environment(threads=1)

    def forward(self, data: work.Pictures) -> dict[str, Any]:
        return {"predictions": self.work.predictions(data, self.work.features(data))}


if __name__ == "__main__":
    server = mosec.Server()
    server.append_worker(Decode, num=work.cores())
    server.append_worker(Recognise, num=work.cores())
    server.run()
