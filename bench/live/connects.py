"""`connects`: what is left of clients that came and went, half of them without a word."""

from __future__ import annotations

import asyncio
import json
import socket as sockets
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from bench.live.stage import House, Stage
from bench.table import markdown
from service.errors import MeasurementError
from service.load.camera import connect, message

_AT_WORK = 32
# What the server may take to notice the last one: a minute.
_GLANCE_S, _GLANCES = 1.0, 60
# SO_LINGER of zero seconds: closing sends a reset.
_RESET = struct.pack("ii", 1, 0)
_FRAMES = 2
_HELLO = json.dumps({"every_s": 0, "top_k": 1})
# A binary message of 16,000 bytes (length in 16 bits, a mask of zeros), of which only the beginning comes.
_CUT_OFF = b"\x82\xfe" + struct.pack(">H", 16_000) + bytes(4) + bytes(1_000)


@dataclass(frozen=True, slots=True)
class Left:
    """What a server holds.

    Attributes:
        connects: how many have come and gone.
        streams: by the gauge of its metrics.
        tasks: of its event loop.
        descriptors, threads: of its process.
        rss_bytes, pss_bytes: its memory.
    """

    connects: int
    streams: int
    tasks: int
    descriptors: int
    threads: int
    rss_bytes: int
    pss_bytes: int

    @classmethod
    def now(cls, house: House, connects: int) -> Left:
        """Looks."""
        held = house.held()
        streams = int(house.metric("kinema_streams"))
        return cls(connects, streams, house.tasks(), held.descriptors, held.threads, held.rss_bytes, held.pss_bytes)


async def connects(stage: Stage, house: House, count: int) -> list[Left]:
    """Lets clients come and go, and looks before, after a tenth of them, and after all.

    In turn: one that says goodbye, one that resets the connection after its frames, a third that says goodbye, and one
    that vanishes in the midst of a frame.

    Raises:
        MeasurementError: a client that behaves is not served.
    """
    found = [Left.now(house, 0)]
    done = 0
    for upto in (max(4, count // 10), count):
        gate = asyncio.Semaphore(_AT_WORK)
        await asyncio.gather(*(_visit(stage, house.url, number, gate) for number in range(done, upto)))
        done = upto
        await _quiet(house)
        found.append(Left.now(house, done))
    return found


async def _quiet(house: House) -> None:
    for _ in range(_GLANCES):
        await asyncio.sleep(_GLANCE_S)
        if not house.metric("kinema_streams"):
            break


async def _visit(stage: Stage, url: str, number: int, gate: asyncio.Semaphore) -> None:
    async with gate:
        socket = await connect(url)
        await socket.send(_HELLO)
        try:
            await socket.recv()
        except ConnectionClosed as error:
            raise MeasurementError(f"{url} hung up on a client: {error}") from error
        for frame in range(_FRAMES):
            await socket.send(message(stage.film, frame))
        match number % 4:
            case 1:
                _reset(socket)
            case 3:
                socket.transport.write(_CUT_OFF)
                socket.transport.abort()
            case _:
                await _goodbye(socket)


async def _goodbye(socket: ClientConnection) -> None:
    await socket.send('{"type": "end"}')
    async for said in socket:
        if json.loads(said)["type"] == "end":
            break
    await socket.close()


def _reset(socket: ClientConnection) -> None:
    raw = socket.transport.get_extra_info("socket")
    raw.setsockopt(sockets.SOL_SOCKET, sockets.SO_LINGER, _RESET)
    socket.transport.abort()


def lines(found: list[Left]) -> Iterator[str]:
    """The table."""
    headings = ("connects", "streams", "tasks", "descriptors", "threads", "RSS MB", "PSS MB")
    rows = [
        [
            f"{one.connects:,}",
            *map(str, (one.streams, one.tasks, one.descriptors, one.threads)),
            f"{one.rss_bytes / 1e6:.1f}",
            f"{one.pss_bytes / 1e6:.1f}",
        ]
        for one in found
    ]
    yield from markdown(headings, rows)
