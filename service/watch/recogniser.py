"""What recognises: the seam between watching and looking."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from typing import Protocol

from service.post.spec import Spec
from service.runtime import Options, Runtime
from service.stream.inbox import Drop
from service.stream.wishes import Wishes
from service.watch.answer import Answer
from service.watch.stream_recogniser import StreamRecogniser

EVENTS = Spec.parse("ema:tau_s=0.8,hysteresis:on=0.6:off=0.4,min_length:seconds=0.5")
"""What finds events where nothing else is asked for."""

_LASTING_S = 1e7


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
        post: what smooths scores and finds events.
    """

    live: bool
    top_k: int
    post: Spec = EVENTS


Begin = Callable[[RecogniserOptions], AbstractAsyncContextManager[Recogniser]]
"""Begins to recognise; what it gives ends with its block."""


def recognising(options: Options) -> Begin:
    """Recognition by a model: loads it, and stops its engine at the end."""
    # Here a stream ends with its watch, however long a source is lost.
    lasting = replace(options, streams=replace(options.streams, ttl_s=_LASTING_S))

    @asynccontextmanager
    async def begin(wanted: RecogniserOptions) -> AsyncIterator[Recogniser]:
        runtime = Runtime(lasting)
        try:
            await runtime.start()
            drop = Drop.OLDEST if wanted.live else Drop.NONE
            wishes = Wishes(wanted.top_k, every_s=0.0, drop=drop, post=wanted.post)
            _, stream = await runtime.streams.open(wishes)
            async with StreamRecogniser(stream, runtime.streams.engine.bundle.card.sampling.fps) as recogniser:
                yield recogniser
        finally:
            await runtime.stop()

    return begin
