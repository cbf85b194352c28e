"""`idle`: memory of a server that holds many streams, each of which got some frames and then nothing."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from dataclasses import dataclass

from websockets.asyncio.client import ClientConnection

from bench.live.stage import House, Stage
from bench.table import markdown
from bench.usage import Held
from service.load.camera import connect, message

WANTED_BYTES = 100_000_000
# Streams that are fed at a time: enough for all cores.
_AT_WORK = 8
# After ten seconds without a frame the memory of a stream is put on disk.
SETTLE_S = 12.0


@dataclass(frozen=True, slots=True)
class Idle:
    """What a server holds.

    Attributes:
        streams: how many there are.
        rss_bytes, pss_bytes: its memory, without its decoders.
        more_bytes: PSS beyond that of the same server without them.
        descriptors: open ones.
    """

    streams: int
    rss_bytes: int
    pss_bytes: int
    more_bytes: int
    descriptors: int

    @classmethod
    def of(cls, streams: int, held: Held, empty: Held) -> Idle:
        """What there is now beside what there was."""
        more = held.pss_bytes - empty.pss_bytes
        return cls(streams, held.rss_bytes, held.pss_bytes, more, held.descriptors)


async def idle(stage: Stage, house: House, streams: int, frames: int, settle_s: float = SETTLE_S) -> list[Idle]:
    """Opens streams, sends each so many frames, and measures: before, with a tenth of them, with all, and after.

    Args:
        stage: what is sent.
        house: the server.
        streams: how many.
        frames: that each gets.
        settle_s: seconds before memory is looked at.

    Raises:
        MeasurementError: a stream cannot begin.
    """
    await asyncio.sleep(settle_s)
    empty = house.held()
    found = [Idle.of(0, empty, empty)]
    sockets: list[ClientConnection] = []
    for count in (max(1, streams // 10), streams):
        gate = asyncio.Semaphore(_AT_WORK)
        sockets += await asyncio.gather(*(_fed(stage, house.url, frames, gate) for _ in range(count - len(sockets))))
        await asyncio.sleep(settle_s)
        found.append(Idle.of(int(house.metric("kinema_streams")), house.held(), empty))
    for socket in sockets:
        await socket.close()
    await asyncio.sleep(settle_s)
    found.append(Idle.of(int(house.metric("kinema_streams")), house.held(), empty))
    return found


async def _fed(stage: Stage, url: str, frames: int, gate: asyncio.Semaphore) -> ClientConnection:
    async with gate:
        socket = await connect(url)
        await socket.send(json.dumps({"every_s": 0, "top_k": 1, "drop": "none"}))
        await socket.recv()
        for number in range(frames):
            await socket.send(message(stage.film, number))
            if number:
                await socket.recv()
        return socket


def lines(found: list[Idle]) -> Iterator[str]:
    """The table."""
    headings = ("idle streams", "RSS MB", "PSS MB", "more than without", "KB a stream", "descriptors")
    rows = [
        [
            ("after them" if number == len(found) - 1 else "none") if not one.streams else str(one.streams),
            f"{one.rss_bytes / 1e6:.1f}",
            f"{one.pss_bytes / 1e6:.1f}",
            f"{one.more_bytes / 1e6:.1f}",
            f"{one.more_bytes / 1e3 / one.streams:.0f}" if one.streams else "",
            str(one.descriptors),
        ]
        for number, one in enumerate(found)
    ]
    yield from markdown(headings, rows)
