"""Watches one source: frames in, answers told, events kept and posted."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Sequence
from contextlib import aclosing, nullcontext
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from service.errors import KinemaError, SourceLost
from service.post.spec import Spec
from service.watch import facts
from service.watch.address import Address
from service.watch.annotation import Annotation
from service.watch.answer import Answer, Event
from service.watch.recogniser import EVENTS, Begin, Recogniser, RecogniserOptions
from service.watch.recorder import Recorder, SaveOptions
from service.watch.source import Frame, Source, SourceOptions
from service.watch.teller import Teller
from service.watch.webhook import Webhook


@dataclass(frozen=True, slots=True)
class WatchOptions:
    """What is watched, and what is done about it.

    Attributes:
        address: the source.
        source: how it is read.
        top_k: at most so many predictions in an answer.
        post: what smooths scores and finds events.
        save: how clips of events are kept, or None.
        webhook: where events are posted to, or None.
        annotate: the file that is drawn on, or None.
    """

    address: Address
    source: SourceOptions
    top_k: int = 5
    post: Spec = EVENTS
    save: SaveOptions | None = None
    webhook: str | None = None
    annotate: Path | None = None


async def watch(options: WatchOptions, begin: Begin, teller: Teller, stop: asyncio.Event) -> None:
    """Watches until the source ends, SIGINT or SIGTERM comes, or `stop` is set.

    Raises:
        SourceLost: the source cannot be opened, or was lost and is not to be waited for.
        KinemaError: nothing can be recognised.
        OSError: there is no place for clips.
    """
    _hear_signals(stop)
    source = Source(options.address, options.source, teller.tell, stop)
    async with begin(RecogniserOptions(source.live, options.top_k, options.post)) as recogniser:
        await Watch(options, source, recogniser, teller.tell).run()


def _hear_signals(stop: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()

    def ask(number: signal.Signals) -> None:
        loop.remove_signal_handler(number)  # the second does not ask
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, ask, number)


class Watch:
    """One source that is being watched.

    Args:
        options: what is done about it.
        source: where frames come from.
        recogniser: what sees them.
        tell: told of everything.
    """

    def __init__(self, options: WatchOptions, source: Source, recogniser: Recogniser, tell: facts.Tell) -> None:
        self._source = source
        self._recogniser = recogniser
        self._tell = tell
        self._webhook = Webhook(options.webhook, tell) if options.webhook else None
        self._recorder = Recorder(options.save, options.address.told, self._at) if options.save else None
        self._annotation = Annotation(options.annotate) if options.annotate else None
        self._answer: Answer | None = None
        self._going_on: set[tuple[str, str, float]] = set()
        self._events = self._clips = 0

    async def run(self) -> None:
        """Watches until the source ends, and closes what is open.

        Raises:
            KinemaError: as `watch` does.
        """
        reason = "the watch broke off"
        try:
            async with self._webhook or nullcontext():
                await self._watch()
            reason = "stopped" if self._source.stopped else "the source has ended"
        except KinemaError as error:
            reason = error.detail
            raise
        finally:
            self._tell_all(await asyncio.to_thread(self._close))
            self._tell(self._ended(reason))

    async def _watch(self) -> None:
        try:
            async with aclosing(self._source.frames()) as frames:
                async for frame in frames:
                    await self._take(frame)
        except SourceLost:
            await self._finish()
            raise
        await self._finish()

    async def _finish(self) -> None:
        for answer in await self._recogniser.end():
            await self._hear(answer)

    async def _take(self, frame: Frame) -> None:
        if frame.jump is not None:
            self._tell(facts.Reset(frame.time_s, frame.jump))
            await self._recogniser.reset(frame.jump)
        image, told = await asyncio.to_thread(self._keep, frame)
        self._tell_all(told)
        for answer in await self._recogniser.see(frame.time_s, image):
            await self._hear(answer)
        if self._annotation is not None:
            self._tell_all(await asyncio.to_thread(self._annotate, self._annotation, frame))

    def _keep(self, frame: Frame) -> tuple[bytes, list[facts.Fact]]:
        return ppm(frame.pixels), [] if self._recorder is None else self._recorder.add(frame.time_s, frame.pixels)

    def _annotate(self, annotation: Annotation, frame: Frame) -> list[facts.Fact]:
        jumped, fps = frame.jump is not None, self._source.fps
        return annotation.write(frame.pixels, frame.time_s, self._answer, fps=fps, jumped=jumped)

    async def _hear(self, answer: Answer) -> None:
        self._answer = answer
        self._tell(facts.Seen(answer, self._at(answer.time_s), self._source.received, self._source.missed))
        for event in answer.events:
            self._count(event)
            happened = facts.Happened(self._source.address.told, event, self._at(event.start_s))
            self._tell(happened)
            if self._webhook is not None:
                self._webhook.post(facts.as_object(happened))
            if self._recorder is not None:
                self._tell_all(await asyncio.to_thread(self._recorder.event, event))

    def _count(self, event: Event) -> None:
        key = (event.processor, event.label, event.start_s)
        self._events += key not in self._going_on
        self._going_on.add(key)
        if event.end_s is not None:
            self._going_on.discard(key)

    def _at(self, time_s: float) -> float | None:
        return self._source.wall.at(time_s)

    def _tell_all(self, told: Sequence[facts.Fact]) -> None:
        for fact in told:
            self._clips += isinstance(fact, facts.Saved)
            self._tell(fact)

    def _close(self) -> list[facts.Fact]:
        if self._annotation is not None:
            self._annotation.close()
        return [] if self._recorder is None else self._recorder.finish()

    def _ended(self, reason: str) -> facts.Ended:
        posted, unposted = (0, 0) if self._webhook is None else (self._webhook.posted, self._webhook.lost)
        received, missed = self._source.received, self._source.missed
        return facts.Ended(reason, received, missed, self._events, self._clips, posted, unposted)


def ppm(pixels: NDArray[np.uint8]) -> bytes:
    """A frame as a PPM picture (P6, 8 bits, RGB).

    Args:
        pixels: uint8 [H, W, 3], BGR.
    """
    height, width = pixels.shape[:2]
    return b"P6\n%d %d\n255\n" % (width, height) + cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB).tobytes()
