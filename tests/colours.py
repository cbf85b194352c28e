"""A recogniser that tells red from blue, and `kinema watch` with it: `python -m tests.colours SOURCE...`.

It is real, small and sure: what a watch does with answers can be tested without a model.
"""

import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import cv2
import numpy as np

from service import cli
from service.settings import Settings
from service.watch.answer import Answer, Event, Prediction
from service.watch.command import watching
from service.watch.recogniser import Begin, Recogniser, RecogniserOptions


class Colours:
    """Says `red` or `blue` of every frame, and that a colour began or ended where it changes.

    Args:
        slow_s: how long it looks at a frame.
    """

    def __init__(self, slow_s: float = 0.0) -> None:
        self.seen: Counter[str] = Counter()
        self.resets: list[str] = []
        self._slow_s = slow_s
        self._event: Event | None = None
        self._answer: Answer | None = None
        self._since_s: float | None = None

    async def see(self, time_s: float, image: bytes) -> list[Answer]:
        began_s = time.perf_counter()
        if self._slow_s:
            await anyio.sleep(self._slow_s)
        pixels = cv2.imdecode(np.frombuffer(image, np.uint8), cv2.IMREAD_COLOR)
        assert pixels is not None
        blue, _, red = pixels.reshape(-1, 3).mean(axis=0)
        best, other = ("red", "blue") if red > blue else ("blue", "red")
        score = float(max(red, blue) / (red + blue + 1e-9))
        self.seen[best] += 1
        self._since_s = time_s if self._since_s is None else self._since_s
        predictions = (Prediction(best, score), Prediction(other, 1 - score))
        total_ms = (time.perf_counter() - began_s) * 1e3
        events = self._events(time_s, best, score)
        used, state_s = self.seen.total(), time_s - self._since_s
        self._answer = Answer(time_s, predictions, predictions, state_s, used, used, 0, 25.0, 25.0, total_ms, events)
        return [self._answer]

    def _events(self, time_s: float, label: str, score: float) -> tuple[Event, ...]:
        if self._event is not None and self._event.label == label:
            return ()
        ended = self._ended(time_s)
        self._event = Event(label, time_s, None, score)
        return (*ended, self._event)

    def _ended(self, time_s: float) -> tuple[Event, ...]:
        event, self._event = self._event, None
        return () if event is None else (Event(event.label, event.start_s, time_s, event.peak),)

    async def reset(self, reason: str) -> None:
        self.resets.append(reason)
        self._since_s = None

    async def end(self) -> list[Answer]:
        if self._answer is None:
            return []
        last = self._answer
        ended = self._ended(last.time_s)
        return [
            Answer(
                last.time_s, last.predictions, last.smoothed, last.state_age_s, last.received, last.used, 0, 25.0, 25.0,
                0.0, ended,
            )
        ]  # fmt: skip


def made(settings: Settings) -> Begin:
    @asynccontextmanager
    async def begin(options: RecogniserOptions) -> AsyncIterator[Recogniser]:
        yield Colours()

    return begin


if __name__ == "__main__":
    cli.app.command("colours")(watching(made))
    sys.argv.insert(1, "colours")
    cli.main()
