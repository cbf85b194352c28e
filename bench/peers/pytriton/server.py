"""NVIDIA PyTriton: Triton in front, and as many Python instances behind it as cores, each with graphs of one thread.

The instances are threads of this process; onnxruntime and OpenCV let go of the interpreter's lock while they work.
Triton's batching would put whole clips together in one instance, which brings nothing on a CPU.
"""

from __future__ import annotations

import json
import socket

import cv2
import numpy as np
from numpy.typing import NDArray
from pytriton.model_config import ModelConfig, Tensor
from pytriton.proxy.types import Request
from pytriton.triton import Triton, TritonConfig

from bench.peers import work


class Actions:
    """One instance."""

    def __init__(self) -> None:
        self.work = work.from_environment(threads=1)

    def __call__(self, requests: list[Request]) -> list[dict[str, NDArray[np.bytes_]]]:
        """Answers a batch of clips, which is of one."""
        return [{"answer": self._answer(request["clip"].tobytes())} for request in requests]

    def _answer(self, clip: bytes) -> NDArray[np.bytes_]:
        return np.array([json.dumps(self.work.answer(clip)).encode()])


def free_port() -> int:
    """A port for one of Triton's other interfaces."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


if __name__ == "__main__":
    cv2.setNumThreads(1)
    config = TritonConfig(
        http_address="127.0.0.1", http_port=work.port(), grpc_address="127.0.0.1", grpc_port=free_port(),
        allow_metrics=False,
    )  # fmt: skip
    with Triton(config=config) as triton:
        triton.bind(
            model_name="actions",
            infer_func=[Actions() for _ in range(work.cores())],
            inputs=[Tensor(name="clip", dtype=np.uint8, shape=(-1,))],
            outputs=[Tensor(name="answer", dtype=np.bytes_, shape=(1,))],
            config=ModelConfig(batching=False),
        )
        triton.serve()
