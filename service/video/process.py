"""One decoder process, seen from the service: started, given jobs, listened to, killed."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from typing import Self

from pydantic import ValidationError

from service.errors import KinemaError, UndecodableClip
from service.video.wire import DecodeJob, Done, Failed, Painted, ProbeJob, Ready, Stopped, read_said, write_job

# Importing OpenCV takes a fraction of a second; a machine that swaps may take its time.
_STARTING_S = 60.0
_ENDING_S = 2.0
# The longest line is what a probe tells of a clip's key frames.
_LINE = 1 << 20


class DecoderDied(KinemaError):
    """The process ended without having been asked to; the detail says how."""


class DecoderProcess:
    """A process that decodes one clip at a time. Made by `start`; belongs to one event loop."""

    def __init__(self, process: subprocess.Popen[bytes], ours: socket.socket) -> None:
        self._process = process
        self._socket = ours
        self._said = asyncio.StreamReader(limit=_LINE)
        self._transport: asyncio.Transport | None = None
        self.gone = asyncio.Event()
        """Set as soon as the process has ended."""
        self.busy = False
        """Whether the process has a job of which it has not told the outcome."""

    @classmethod
    async def start(cls, memory_mb: int, niceness: int) -> Self:
        """Starts a process and waits until it can take a job.

        Args:
            memory_mb: what a clip may take, in MB (10^6 bytes).
            niceness: how far it stands back behind other processes, 0 to 19.

        Raises:
            DecoderDied: it does not get ready.
            OSError: it cannot be started.
        """
        ours, theirs = socket.socketpair()
        with theirs:
            process = await asyncio.to_thread(_spawn, theirs.fileno(), memory_mb, niceness)
        started = cls(process, ours)
        try:
            await started._listen()
            async with asyncio.timeout(_STARTING_S):
                if not isinstance(await started.hear(), Ready):
                    raise DecoderDied("a decoder's first word was not that it is ready")
        except BaseException:
            await started.kill()
            raise
        return started

    async def _listen(self) -> None:
        loop = asyncio.get_running_loop()
        listening = _Listening(self._said, self.gone)
        self._transport, _ = await loop.create_connection(lambda: listening, sock=self._socket)

    @property
    def pid(self) -> int:
        """The process."""
        return self._process.pid

    async def give(self, job: DecodeJob | ProbeJob, *descriptors: int) -> None:
        """Hands over a job; what is said about it follows.

        Raises:
            DecoderDied: the process has gone.
        """
        self.busy = True
        try:
            socket.send_fds(self._socket, [write_job(job)], descriptors)
        except OSError as error:
            await self.end()
            raise self._died() from error

    async def hear(self) -> Ready | Painted | Done | Failed | Stopped:
        """What the process says next.

        Raises:
            DecoderDied: it ended, or says what nobody understands.
        """
        try:
            line = await self._said.readline()
            if line:
                said = read_said(line)
                self.busy = self.busy and isinstance(said, Painted)
                return said
        except ConnectionError:
            pass  # it died with a job unread
        except (ValueError, ValidationError) as error:
            await self.kill()
            raise DecoderDied(f"a decoder said something unknown: {error}") from error
        await self.end()
        raise self._died()

    async def end(self) -> None:
        """Waits for a process whose socket is closed; it ends a moment later."""
        with suppress(subprocess.TimeoutExpired):
            await asyncio.to_thread(self._process.wait, _ENDING_S)
        await self.kill()

    async def kill(self) -> None:
        """Ends the process, whatever it does."""
        self._process.kill()
        await asyncio.to_thread(self._process.wait)
        if self._transport is not None:
            self._transport.close()
        self.gone.set()

    def _died(self) -> DecoderDied:
        code = self._process.poll()
        if code is None or code >= 0:
            return DecoderDied(f"the decoder process ended with exit code {code}")
        return DecoderDied(f"the decoder process was ended by {signal.Signals(-code).name}")


class _Listening(asyncio.StreamReaderProtocol):
    """Collects what a process says, and notices its end also while nobody listens."""

    def __init__(self, said: asyncio.StreamReader, gone: asyncio.Event) -> None:
        super().__init__(said)
        self._gone = gone

    def eof_received(self) -> bool | None:
        self._gone.set()
        return super().eof_received()

    def connection_lost(self, error: Exception | None) -> None:
        self._gone.set()
        super().connection_lost(error)


def _spawn(descriptor: int, memory_mb: int, niceness: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "service.video.worker", str(descriptor), str(memory_mb), str(niceness)]
    return subprocess.Popen(  # noqa: S603 - our own module, by our own interpreter
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        pass_fds=(descriptor,),
        # The process does no linear algebra; numpy's threads for it would only take memory.
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
    )


def crashed(death: DecoderDied) -> UndecodableClip:
    """What is told to whoever sent the clip during which a process died."""
    return UndecodableClip(
        f"the decoder crashed on this clip: {death.detail}",
        "The file may be damaged: write it anew with `ffmpeg -i CLIP -c:v libx264 OUT.mp4`.",
    )
