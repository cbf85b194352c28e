"""The decoders at work: a bounded number of clips is decoded at a time, off the event loop."""

from __future__ import annotations

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import cv2

from service.errors import ClientGone, EngineDead
from service.video.decode import Decoded, DecodeTask, Emit, decode


@dataclass(frozen=True, slots=True)
class Decoding:
    """A clip decoded, and when: seconds of `time.perf_counter`."""

    decoded: Decoded
    started_s: float
    ended_s: float


class DecoderPool:
    """Threads that decode; OpenCV lets go of the interpreter's lock while it works.

    Args:
        workers: clips decoded at the same time.
    """

    def __init__(self, workers: int) -> None:
        # OpenCV's own threads would compete with the other clips' for the same cores.
        cv2.setNumThreads(1)
        self._executor = ThreadPoolExecutor(workers, thread_name_prefix="decoder")
        self._stopping = threading.Event()

    async def decode(self, data: bytes, task: DecodeTask, emit: Emit) -> Decoding:
        """Decodes a clip; `emit` is called from a worker thread. Cancelling stops the work before its next frame.

        Raises:
            ClipError: as `service.video.decode.decode` does.
            EngineDead: the pool was stopped.
        """
        stop = threading.Event()

        def checkpoint() -> None:
            if stop.is_set():
                raise ClientGone("nobody waits for this clip any more")
            if self._stopping.is_set():
                raise EngineDead("the engine stopped before the clip was decoded", "Send the clip again.")

        def work() -> Decoding:
            started_s = time.perf_counter()
            checkpoint()
            decoded = decode(data, task, emit, checkpoint)
            return Decoding(decoded, started_s, time.perf_counter())

        try:
            return await asyncio.get_running_loop().run_in_executor(self._executor, work)
        finally:
            stop.set()

    def stop(self) -> None:
        """Ends the threads; clips still in the pool fail before their next frame."""
        self._stopping.set()
        self._executor.shutdown(wait=True)
