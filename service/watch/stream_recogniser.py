"""A watched source as a live stream of this process."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import replace
from types import TracebackType
from typing import Self

from service.errors import FrameRefused
from service.inference.postprocess import Prediction as Ranked
from service.post.event import Event as Found
from service.stream.stream import Stream
from service.stream.told import Failed, FrameFailed, Happened, News, Told
from service.watch.answer import Answer, Event, Prediction


class StreamRecogniser:
    """Sees frames by a stream. Use it in an `async with` block; belongs to one event loop.

    Args:
        stream: that of the frames.
        model_fps: moments a second that the model looks at.
    """

    def __init__(self, stream: Stream, model_fps: float) -> None:
        self._stream = stream
        self._model_fps = model_fps
        self._answers: list[Answer] = []
        self._events: list[Event] = []
        self._last: Answer | None = None
        self._failure: Exception | None = None
        self._listening: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._listening = asyncio.create_task(self._listen())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._listening is not None:
            self._listening.cancel()
            await asyncio.wait((self._listening,))
        self._stream.close()

    async def _listen(self) -> None:
        """Takes what the stream tells as it comes, so that nothing holds it up."""
        while True:
            self._hear(await self._stream.news.get())
            self._stream.news.task_done()

    def _hear(self, news: News) -> None:
        match news:
            case Told():
                self._last = self._answer(news)
                self._answers.append(self._last)
                self._events.clear()
            case Happened(event):
                self._events.append(_event(event))
            case FrameFailed(_, error) | Failed(error):
                # A camera's frames differ in nothing: one that cannot be looked at is one of many.
                self._failure = self._failure or error
            case _:
                pass  # a new run; the watch tells itself why

    def _answer(self, told: Told) -> Answer:
        return Answer(
            time_s=told.time_s,
            predictions=_predictions(told.predictions),
            smoothed=_predictions(told.smoothed),
            state_age_s=told.state_age_s,
            received=told.received,
            used=told.used,
            dropped=told.dropped,
            camera_fps=told.camera_fps or 0.0,
            model_fps=self._model_fps,
            total_ms=round(told.spent.total * 1000, 3),
            events=tuple(self._events),
            abstained=told.abstained,
        )

    async def see(self, time_s: float, image: bytes) -> list[Answer]:
        with suppress(FrameRefused):  # one that does not follow is passed over
            await self._stream.push(time_s, image)
        return self._given()

    async def reset(self, reason: str) -> None:
        await self._stream.reset()
        await self._stream.news.join()

    async def end(self) -> list[Answer]:
        await self._stream.end()
        await self._stream.news.join()
        if self._events and self._last is not None:  # what ended with the last frame
            told = self._answers.pop() if self._answers else replace(self._last, events=())
            self._answers.append(replace(told, events=(*told.events, *self._events)))
        return self._given()

    def _given(self) -> list[Answer]:
        if self._failure is not None:
            raise self._failure
        given, self._answers = self._answers, []
        return given


def _predictions(ranked: tuple[Ranked, ...]) -> tuple[Prediction, ...]:
    return tuple(Prediction(one.label, one.score) for one in ranked)


def _event(found: Found) -> Event:
    return Event(found.label, found.start_s, found.end_s, found.peak, found.processor, found.count)
