"""A capture process, seen from the watch: started, listened to, killed."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Self

import numpy as np
from numpy.typing import NDArray

from service.errors import KinemaError
from service.video.encoded import anonymous_file
from service.watch.slots import COUNT, Slots
from service.watch.wire import WANT, Opened, Over, Request, Shot, read_said, write_request

# Importing OpenCV takes a fraction of a second; a machine that swaps may take its time.
_STARTING_S = 10.0
_ENDING_S = 2.0
# OpenCV looks at its own deadlines between packets; beyond them by so much, it hangs.
_GRACE_S = 2.0


class CaptureLost(KinemaError):
    """The process or its source ended where it should not have; the detail says how."""


class CaptureProcess:
    """A process that reads one source. Made by `start`; belongs to one event loop."""

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        memory: int,
        streams: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        request: Request,
    ) -> None:
        self._process = process
        self._memory = memory
        self._reader, self._writer = streams
        self._request = request

    @classmethod
    async def start(cls, request: Request, *, piped: bool = False) -> Self:
        """Starts a process, which begins to open its source.

        Args:
            request: what it is to do.
            piped: whether it reads what is piped into this process.

        Raises:
            OSError: it cannot be started.
        """
        ours, theirs = socket.socketpair()
        memory = anonymous_file()
        with theirs:
            process = await asyncio.to_thread(_spawn, theirs.fileno(), memory, piped)
        started = cls(process, memory, await asyncio.open_connection(sock=ours), request)
        started._writer.write(write_request(request))
        return started

    @property
    def pid(self) -> int:
        """The process."""
        return self._process.pid

    async def opened(self) -> Opened:
        """What the source is.

        Raises:
            CaptureLost: it does not open in time, or cannot be opened.
        """
        said = await self._hear(_STARTING_S + self._request.open_s + self._request.read_s)
        if not isinstance(said, Opened):
            raise CaptureLost(said.detail if isinstance(said, Over) else "a capture spoke out of turn")
        return said

    async def shots(self, opened: Opened) -> AsyncIterator[tuple[Shot, NDArray[np.uint8]]]:
        """The frames, uint8 [H, W, 3], BGR, each valid until the next is asked for. They end where the source does.

        Raises:
            CaptureLost: the source or the process ended otherwise.
        """
        slots = Slots(self._memory, opened.width, opened.height)
        # A frame that is asked for early is an old one: what is live is asked for only once it is needed.
        self._want(*[WANT] * (1 if self._request.live else COUNT - 1))
        while True:
            said = await self._hear(self._request.read_s + _GRACE_S)
            match said:
                case Shot():
                    yield said, slots.frame(said.slot)
                    self._want(said.slot)
                case Over(complete=True):
                    return
                case Over():
                    raise CaptureLost(said.detail)
                case _:
                    raise CaptureLost("a capture spoke out of turn")

    def _want(self, *wanted: int) -> None:
        self._writer.write(bytes(wanted))

    async def _hear(self, seconds: float) -> Opened | Shot | Over:
        try:
            async with asyncio.timeout(seconds):
                line = await self._reader.readline()
        except TimeoutError:
            raise CaptureLost(f"nothing came for {seconds:g} s") from None
        except OSError:
            line = b""
        if not line.endswith(b"\n"):
            with suppress(subprocess.TimeoutExpired):
                await asyncio.to_thread(self._process.wait, _ENDING_S)
            raise CaptureLost(self._ending())
        try:
            return read_said(line)
        except ValueError as error:  # pydantic's included
            raise CaptureLost("a capture said something unknown") from error

    async def stop(self) -> None:
        """Lets the process close its source, and kills it if it does not."""
        self._writer.close()
        with suppress(subprocess.TimeoutExpired):
            await asyncio.to_thread(self._process.wait, _ENDING_S)
        self._process.kill()
        await asyncio.to_thread(self._process.wait)
        if self._memory >= 0:
            os.close(self._memory)
            self._memory = -1

    def _ending(self) -> str:
        code = self._process.poll()
        if code is None or code >= 0:
            return f"the capture process ended with exit code {code}"
        return f"the capture process was ended by {signal.Signals(-code).name}"


def _spawn(connection: int, memory: int, piped: bool) -> subprocess.Popen[bytes]:
    return subprocess.Popen(  # noqa: S603 - our own module, by our own interpreter
        [sys.executable, "-m", "service.watch.capture", str(connection), str(memory)],
        stdin=None if piped else subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        pass_fds=(connection, memory),
    )
