"""`cost`: CPU time of one frame, early in a stream and late, and the server's memory then.

One stream sends as fast as its frames are taken (`drop` is `none`), with timestamps at the model's rate.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass

from websockets.asyncio.client import ClientConnection

from bench.errors import SystemFailed
from bench.live.stage import House, Stage
from bench.table import markdown
from bench.usage import cpu_s
from service.load.camera import connect, message

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
        wall_ms: time by the clock for one.
        rss_bytes, pss_bytes: memory of the server after them.
    """

    from_frame: int
    frames: int
    cpu_ms: float
    wall_ms: float
    rss_bytes: int
    pss_bytes: int


async def cost(stage: Stage, house: House, frames: int) -> list[Cost]:
    """Sends so many frames and measures at 100, 1,000, 10,000 … and at the end.

    Raises:
        SystemFailed: the stream ended too soon.
        MeasurementError: it did not begin.
    """
    socket = await connect(house.url)
    await socket.send(json.dumps({"every_s": 0, "top_k": 1, "drop": "none"}))
    await socket.recv()
    found: list[Cost] = []
    sent = 0
    for first in _starts(frames):
        sent = await _pass(stage, socket, sent, first)
        before = cpu_s([house.pid]), time.perf_counter()
        sent = await _pass(stage, socket, sent, first + _WINDOW)
        cpu, wall = cpu_s([house.pid]) - before[0], time.perf_counter() - before[1]
        held = house.held()
        found.append(Cost(first, _WINDOW, cpu * 1000 / _WINDOW, wall * 1000 / _WINDOW, held.rss_bytes, held.pss_bytes))
    await socket.close()
    return found


def _starts(frames: int) -> Iterator[int]:
    first = _FIRST
    while first + 2 * _WINDOW < frames:
        yield first
        first *= _TIMES
    yield max(_FIRST, frames - _WINDOW)


async def _pass(stage: Stage, socket: ClientConnection, sent: int, until: int) -> int:
    """Sends frames until so many have been, and waits for the answers to all of them."""
    ahead = asyncio.Semaphore(_AHEAD)
    owed = until - sent - (sent == 0)  # a stream's first frame is where motion begins, and has no answer

    async def hear() -> None:
        for _ in range(owed):
            told = json.loads(await socket.recv())
            if told["type"] != "answer":
                raise SystemFailed(f"the stream went wrong: {told}")
            ahead.release()

    hearing = asyncio.create_task(hear())
    for number in range(sent, until):
        if number:
            await ahead.acquire()
        await socket.send(message(stage.film, number))
        if hearing.done():
            break
    await hearing
    return until


def lines(found: list[Cost]) -> Iterator[str]:
    """The table."""
    first = found[0].cpu_ms
    headings = ("from frame", "CPU ms a frame", "of the first", "ms a frame", "RSS MB", "PSS MB")
    rows = [
        [
            f"{one.from_frame:,}",
            f"{one.cpu_ms:.2f}",
            f"{one.cpu_ms / first:.2f}",
            f"{one.wall_ms:.1f}",
            f"{one.rss_bytes / 1e6:.1f}",
            f"{one.pss_bytes / 1e6:.1f}",
        ]
        for one in found
    ]
    yield from markdown(headings, rows)
