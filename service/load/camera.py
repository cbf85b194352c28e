"""One live stream: a WebSocket that sends frames when they are due, and takes down when answers come."""

from __future__ import annotations

import asyncio
import json
import struct
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Self

from websockets.asyncio import client
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidURI

from service.errors import MeasurementError
from service.load.film import Film

_TIMESTAMP = struct.Struct(">d")
_OPEN_S = 30.0
# Codes for applications begin at 4000, and an HTTP status is added to them.
_CODES, _BUSY = 4000, 429


class Turned(Exception):
    """The server has no room for another stream, or none for this one any more."""


@dataclass(frozen=True, slots=True)
class Shown:
    """An answer: how it came about.

    Attributes:
        due_s: when its frame was due, by `time.perf_counter`.
        came_s: when it came.
        timing_ms: where the server says the time went.
        dropped: frames of the stream given up for want of room until then.
    """

    due_s: float
    came_s: float
    timing_ms: dict[str, float]
    dropped: int

    @property
    def latency_s(self) -> float:
        """From the moment at which its frame was due to its coming."""
        return self.came_s - self.due_s


Hear = Callable[[Shown], None]


def ignore(shown: Shown) -> None:
    """Hears nothing."""


@dataclass(slots=True)
class Take:
    """What came of one stream.

    Attributes:
        answers: in order.
        lags_s: how long after it was due each frame was sent.
        problems: what the server could not take, in its words.
        used: frames looked at.
        dropped: frames given up for want of room.
        broken: how it ended where it should not have, None otherwise.
    """

    answers: list[Shown] = field(default_factory=list)
    lags_s: list[float] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    used: int = 0
    dropped: int = 0
    broken: str | None = None


class Camera:
    """A stream that has begun. Made by `open`.

    Args:
        socket: the stream's hello has been answered on it.
        model_fps: moments a second that the model looks at.
        hear: told of every answer as it comes.
    """

    def __init__(self, socket: ClientConnection, model_fps: float, hear: Hear = ignore) -> None:
        self.model_fps = model_fps
        self.take = Take()
        self._socket = socket
        self._hear = hear

    @classmethod
    async def open(cls, url: str, hello: Mapping[str, Any], hear: Hear = ignore) -> Self:
        """Begins a stream.

        Args:
            url: of the server, without the path of an endpoint.
            hello: what is wanted of the stream.
            hear: told of every answer as it comes.

        Raises:
            Turned: the server has no room.
            MeasurementError: there is no server, or none that streams.
        """
        socket = await connect(url)
        try:
            await socket.send(json.dumps(dict(hello)))
            ready = json.loads(await socket.recv())
        except ConnectionClosed as error:
            raise MeasurementError(f"{url} hung up on a stream: {error}") from error
        if ready.get("type") == "ready":
            return cls(socket, float(ready["model_fps"]), hear)
        await socket.close()
        problem = ready.get("problem", {})
        if problem.get("status") == _BUSY:
            raise Turned(str(problem.get("detail", "")))
        raise MeasurementError(
            f"{url} begins no stream: {problem.get('detail', ready)}", str(problem.get("advice", ""))
        )

    async def close(self) -> None:
        """Hangs up."""
        await self._socket.close()

    async def run(self, film: Film, start_s: float, over: Callable[[int], bool]) -> Take:
        """Sends frames when they are due, then ends the stream and waits for the answers to all of them.

        Args:
            film: what is sent.
            start_s: when its first frame is due, by `time.perf_counter`.
            over: whether a frame, by its number, is not sent any more.
        """
        hearing = asyncio.create_task(self._listen(start_s))
        try:
            await self._send(film, start_s, over)
            await hearing
        except ConnectionClosed as error:
            self.take.broken = _how(error)
        finally:
            hearing.cancel()
            with suppress(asyncio.CancelledError, ConnectionClosed):
                await hearing
            await self.close()
        return self.take

    async def _send(self, film: Film, start_s: float, over: Callable[[int], bool]) -> None:
        number = 0
        while not over(number):
            due_s = start_s + film.time_s(number)
            await asyncio.sleep(max(0.0, due_s - time.perf_counter()))
            self.take.lags_s.append(time.perf_counter() - due_s)
            await self._socket.send(message(film, number))
            number += 1
        await self._socket.send('{"type": "end"}')

    async def _listen(self, start_s: float) -> None:
        async for message in self._socket:
            came_s = time.perf_counter()
            told = json.loads(message)
            match told["type"]:
                case "answer" if not told["partial"]:
                    shown = Shown(start_s + told["time_s"], came_s, told["timing_ms"], told["dropped"])
                    self.take.answers.append(shown)
                    self._hear(shown)
                case "problem":
                    self.take.problems.append(str(told["problem"].get("detail", "")))
                case "end":
                    self.take.used, self.take.dropped = told["used"], told["dropped"]
                    if told["reason"] != "closed":
                        self.take.broken = told["reason"]


def message(film: Film, number: int) -> bytes:
    """A frame of a film as it goes over the wire, with its timestamp."""
    return _TIMESTAMP.pack(film.time_s(number)) + film.image(number)


async def connect(url: str) -> ClientConnection:
    """A WebSocket to a server's streams, on which nothing has been said yet.

    Raises:
        MeasurementError: there is no server, or none that speaks WebSocket.
    """
    try:
        return await client.connect(
            f"ws{url.removeprefix('http')}/stream",
            compression=None,  # as for frames, which are compressed already
            proxy=None,  # a proxy in between would be measured too
            open_timeout=_OPEN_S,
            ping_interval=None,
            max_queue=None,
        )
    except (OSError, TimeoutError, InvalidHandshake, InvalidURI) as error:
        raise MeasurementError(
            f"{url} opens no WebSocket: {str(error) or type(error).__name__}", "Check the URL, and what is in between."
        ) from error


def _how(error: ConnectionClosed) -> str:
    code = error.rcvd.code if error.rcvd is not None else 0
    return str(code - _CODES) if code > _CODES else "connection"
