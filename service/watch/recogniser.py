"""What recognises: the seam between watching and looking."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Protocol

from service.runtime import Options, Runtime
from service.watch.answer import Answer


class Recogniser(Protocol):
    """Sees frames in the order of their times, and says what is being done."""

    async def see(self, time_s: float, image: bytes) -> list[Answer]:
        """Takes a frame in. It may wait, which holds the source back, or pass frames over, as its policy says.

        Args:
            time_s: when it was, in seconds of the source; above that of the frame before.
            image: an encoded still picture, for example PPM (P6, 8 bits, RGB).

        Returns:
            The answers that there are by now, in the order of their times.

        Raises:
            KinemaError: nothing can be recognised any more.
        """

    async def reset(self, reason: str) -> None:
        """Forgets what was seen: the next frame does not follow it."""

    async def end(self) -> list[Answer]:
        """The answers that remain, after the last frame; events that go on are ended there."""


@dataclass(frozen=True, slots=True)
class RecogniserOptions:
    """How a source is looked at.

    Attributes:
        live: whether what is new counts more than what is complete: frames are passed over where there is no time.
            Otherwise every frame counts, and the source waits.
        top_k: at most so many predictions in an answer.
    """

    live: bool
    top_k: int


Begin = Callable[[RecogniserOptions], AbstractAsyncContextManager[Recogniser]]
"""Begins to recognise; what it gives ends with its block."""


def recogniser(runtime: Runtime, options: RecogniserOptions) -> Recogniser:
    """A recogniser on a runtime that has been started.

    Raises:
        NotImplementedError: until streams are there.
    """
    raise NotImplementedError


def recognising(options: Options) -> Begin:
    """Recognition by a model: loads it, and stops its engine at the end."""

    @asynccontextmanager
    async def begin(wanted: RecogniserOptions) -> AsyncIterator[Recogniser]:
        runtime = Runtime(options)
        try:
            await runtime.start()
            yield recogniser(runtime, wanted)
        finally:
            await runtime.stop()

    return begin
