"""`cost`: CPU time of one frame, early in a stream and late, and the server's memory then.

One stream sends as fast as its frames are taken (`drop` is `none`). Its timestamps are those of a camera that sends so
many frames for each that is looked at. Right after each figure the same is measured of a stream that has just begun, so
that what the machine does meanwhile touches both.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

from websockets.asyncio.client import ClientConnection

from bench.errors import SystemFailed
from bench.live.stage import House, Stage
from bench.table import markdown
from bench.usage import cpu_s
from service.load.camera import connect, message
from service.load.film import Film

# Frames sent ahead of the answers: the server always has one, and never more than wait in its queue.
_AHEAD = 6
# A figure is of so many frames: of a few, the clock of CPU time is too coarse.
_WINDOW = 600
_FIRST = 100
_TIMES = 10


@dataclass(frozen=True, slots=True)
class Cost:
    """Some frames of one stream.

    Attributes:
        from_frame: the first of them.
        frames: how many.
        cpu_ms: CPU of the server and its decoders for one.
        fresh_ms: the same right afterwards, of a stream's first frames but a hundred.
        wall_ms: time by the clock for one.
        rss_bytes, pss_bytes: memory of the server after them.
    """

    from_frame: int
    frames: int
    cpu_ms: float
    fresh_ms: float
    wall_ms: float
    rss_bytes: int
    pss_bytes: int


async def cost(stage: Stage, house: House, frames: int, each: int) -> list[Cost]:
    """Sends so many frames and measures at 100, 1,000, 10,000 … and at the end.

    Args:
        stage: where.
        house: the server.
        frames: of the long stream.
        each: of them one is looked at.

    Raises:
        SystemFailed: the stream ended too soon.
        MeasurementError: it did not begin.
    """
    film = Film(stage.film.images, stage.film.fps * each)
    stream = await _Stream.begin(film, house, each)
    found: list[Cost] = []
    for first in _starts(frames):
        await stream.upto(first)
        cpu_ms, wall_ms = await stream.measure()
        held = house.held()
        fresh = await _Stream.begin(film, house, each)
        await fresh.upto(_FIRST)
        fresh_ms, _ = await fresh.measure()
        await fresh.close()
        found.append(Cost(first, _WINDOW, cpu_ms, fresh_ms, wall_ms, held.rss_bytes, held.pss_bytes))
    await stream.close()
    return found


def _starts(frames: int) -> Iterator[int]:
    first = _FIRST
    while first + 2 * _WINDOW < frames:
        yield first
        first *= _TIMES
    yield max(_FIRST, frames - _WINDOW)


class _Stream:
    """A stream of which every frame that is looked at is answered."""

    def __init__(self, film: Film, house: House, each: int, socket: ClientConnection) -> None:
        self._film, self._house, self._each, self._socket = film, house, each, socket
        self._sent = 0

    @classmethod
    async def begin(cls, film: Film, house: House, each: int) -> Self:
        """Begins it."""
        socket = await connect(house.url)
        await socket.send(json.dumps({"every_s": 0, "top_k": 1, "drop": "none"}))
        await socket.recv()
        return cls(film, house, each, socket)

    async def upto(self, until: int) -> None:
        """Sends frames until so many have been, and waits for the answers to all of them."""
        ahead = asyncio.Semaphore(_AHEAD)
        numbers = range(self._sent, until)
        looked = [number for number in numbers if number and number % self._each == 0]  # motion begins at frame 0
        hearing = asyncio.create_task(self._hear(len(looked), ahead))
        for number in numbers:
            if number and number % self._each == 0:
                await ahead.acquire()
            if hearing.done() and hearing.exception() is not None:
                break
            await self._socket.send(message(self._film, number))
        await hearing
        self._sent = until

    async def _hear(self, owed: int, ahead: asyncio.Semaphore) -> None:
        try:
            for _ in range(owed):
                told = json.loads(await self._socket.recv())
                if told["type"] != "answer":
                    raise SystemFailed(f"the stream went wrong: {told}")
                ahead.release()
        finally:
            ahead.release()  # whoever waits to send has to notice

    async def measure(self) -> tuple[float, float]:
        """Milliseconds of CPU and by the clock for each of the next frames."""
        before = cpu_s([self._house.pid]), time.perf_counter()
        await self.upto(self._sent + _WINDOW)
        after = cpu_s([self._house.pid]), time.perf_counter()
        return (after[0] - before[0]) * 1000 / _WINDOW, (after[1] - before[1]) * 1000 / _WINDOW

    async def close(self) -> None:
        """Hangs up."""
        await self._socket.close()


def lines(found: list[Cost]) -> Iterator[str]:
    """The table."""
    headings = ("from frame", "CPU ms a frame", "of a fresh stream", "ratio", "ms a frame", "RSS MB", "PSS MB")
    rows = [
        [
            f"{one.from_frame:,}",
            f"{one.cpu_ms:.2f}",
            f"{one.fresh_ms:.2f}",
            f"{one.cpu_ms / one.fresh_ms:.2f}",
            f"{one.wall_ms:.1f}",
            f"{one.rss_bytes / 1e6:.1f}",
            f"{one.pss_bytes / 1e6:.1f}",
        ]
        for one in found
    ]
    yield from markdown(headings, rows)
