"""One decoder process, seen from the service: started, given jobs, listened to, killed."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Self

from service.errors import KinemaError, UndecodableClip
from service.video.look import Slate
from service.video.wire import (
    Answered,
    AnyJob,
    Done,
    Failed,
    Grabbed,
    Painted,
    Ready,
    Shown,
    Stopped,
    Taken,
    raised,
    read_said,
    write_answer,
    write_job,
)

# Importing OpenCV takes a fraction of a second; a machine that swaps may take its time.
_STARTING_S = 60.0
_ENDING_S = 2.0
_ENVIRONMENT = {
    # The process does no linear algebra; numpy's threads for it would only take memory.
    "OPENBLAS_NUM_THREADS": "1",
    # Frames come and go by the hundred. glibc would give the memory of each back to the system, and the next would be
    # handed out in ten thousand page faults a clip, an eighth of its CPU time.
    "MALLOC_MMAP_THRESHOLD_": str(32 << 20),
    "MALLOC_TRIM_THRESHOLD_": str(64 << 20),
}
# The longest line is what a probe tells of a clip's key frames.
_LONGEST = 1 << 20


Hear = Callable[[Painted], None]
"""Told of pictures; raises ValueError where there can be no such picture."""


def ignore(painted: Painted) -> None:
    """Hears nothing."""


class DecoderDied(KinemaError):
    """The process ended without having been asked to; the detail says how."""


class JobNotTaken(DecoderDied):
    """The process ended before it took its job, which therefore is not to blame."""


class DecoderProcess:
    """A process that decodes one clip at a time. Made by `start`; belongs to one event loop."""

    def __init__(self, process: subprocess.Popen[bytes], ours: socket.socket) -> None:
        self._process = process
        self._socket = ours
        self._listening = _Listening()
        self._transport: asyncio.Transport | None = None
        self.gone = self._listening.gone
        """Set as soon as the process has ended."""
        self.busy = False
        """Whether the process has a job of which it has not told the outcome."""
        self.slate: Slate | None = None
        """What it looks at frames with, once it has."""

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
                await started._hear()  # that it is ready
        except BaseException:
            await started.kill()
            raise
        return started

    async def _listen(self) -> None:
        loop = asyncio.get_running_loop()
        self._transport, _ = await loop.create_connection(lambda: self._listening, sock=self._socket)

    @property
    def pid(self) -> int:
        """The process."""
        return self._process.pid

    async def do(self, job: AnyJob, *descriptors: int, painted: Hear = ignore) -> Done:
        """Hands over a job and waits until it is done. Cancelling leaves the process `busy`: see `settle`.

        Args:
            job: what is to be done.
            descriptors: what the job needs, in its order.
            painted: told of pictures soon after they are there.

        Raises:
            ClipError: the clip is at fault.
            JobNotTaken: the process ended before it took the job.
            DecoderDied: the process ended, or says what nobody understands.
        """
        self._listening.painted = painted
        await self.begin(job, *descriptors)
        said = await self.hear()
        if isinstance(said, Done):
            return said
        await self.kill()
        raise DecoderDied("a decoder asked what it has no reason to ask")

    async def begin(self, job: AnyJob, *descriptors: int) -> None:
        """Hands over a job, of which `hear` tells.

        Raises:
            JobNotTaken: the process has ended.
        """
        self.busy = True
        self._listening.taken = False
        try:
            socket.send_fds(self._socket, [write_job(job)], descriptors)
        except OSError as error:
            await self.end()
            raise JobNotTaken(self._ending()) from error

    async def hear(self) -> Grabbed | Shown | Done:
        """What the process says next of its job.

        Raises:
            ClipError, JobNotTaken, DecoderDied: as `do` does.
        """
        said = await self._hear()
        match said:
            case Done() | Grabbed() | Shown():
                return said
            case Failed():
                raise raised(said)
            case _:
                await self.kill()
                raise DecoderDied("a decoder stopped without having been asked to")

    def answer(self, answer: Answered) -> None:
        """Answers what the process has asked by saying `Grabbed`."""
        if self._transport is not None:
            self._transport.write(write_answer(answer))

    async def settle(self) -> None:
        """Waits for the end of a job that nobody wants any more.

        Raises:
            DecoderDied: as `do` does.
        """
        if self.busy:
            self._listening.painted = ignore
            await self._hear()

    async def _hear(self) -> Ready | Grabbed | Shown | Done | Failed | Stopped:
        """What the process says next, but for the pictures that it has painted."""
        said = await self._listening.said.get()
        if said is None:
            await self.end()
            raise DecoderDied(self._ending()) if self._listening.taken else JobNotTaken(self._ending())
        if isinstance(said, Exception):
            await self.kill()
            raise DecoderDied(f"a decoder said something unknown: {said}") from said
        self.busy = isinstance(said, Grabbed | Shown)
        if not self.busy:
            self._listening.painted = ignore  # who was told of pictures holds the memory that they lie in
        return said

    async def end(self) -> None:
        """Waits for a process whose socket is closed; it ends a moment later."""
        with suppress(subprocess.TimeoutExpired):
            await asyncio.to_thread(self._process.wait, _ENDING_S)
        await self.kill()

    async def stop(self) -> None:
        """Lets the process end by itself, and kills it if it does not."""
        if self._transport is not None:
            self._transport.close()
        await self.end()

    async def kill(self) -> None:
        """Ends the process, whatever it does."""
        self._process.kill()
        await asyncio.to_thread(self._process.wait)
        if self._transport is not None:
            self._transport.close()
        self.gone.set()

    def _ending(self) -> str:
        code = self._process.poll()
        if code is None or code >= 0:
            return f"the decoder process ended with exit code {code}"
        return f"the decoder process was ended by {signal.Signals(-code).name}"


class _Listening(asyncio.Protocol):
    """Takes what a process says apart, and notices its end also while nobody listens."""

    def __init__(self) -> None:
        self.gone = asyncio.Event()
        self.said: asyncio.Queue[Ready | Grabbed | Shown | Done | Failed | Stopped | Exception | None] = asyncio.Queue()
        """What was said, what was said wrongly, and None at the end."""
        self.painted: Hear = ignore
        self.taken = False
        """Whether the process has the job that it was given last."""
        self._rest = b""

    def data_received(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        try:
            if len(self._rest) > _LONGEST:
                raise ValueError("a line without an end")
            for line in lines:
                said = read_said(line)
                match said:
                    case Painted():
                        self.painted(said)
                    case Taken():
                        self.taken = True
                    case _:
                        self.said.put_nowait(said)
        except ValueError as error:  # pydantic's included
            self.said.put_nowait(error)

    def connection_lost(self, error: Exception | None) -> None:
        self.gone.set()
        self.said.put_nowait(None)


def _spawn(descriptor: int, memory_mb: int, niceness: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "service.video.worker", str(descriptor), str(memory_mb), str(niceness)]
    return subprocess.Popen(  # noqa: S603 - our own module, by our own interpreter
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        pass_fds=(descriptor,),
        env={**os.environ, **_ENVIRONMENT},
    )


def crashed(death: DecoderDied) -> UndecodableClip:
    """What is told to whoever sent the clip during which a process died."""
    return UndecodableClip(
        f"the decoder crashed on this clip: {death.detail}",
        "The file may be damaged: write it anew with `ffmpeg -i CLIP -c:v libx264 OUT.mp4`.",
    )
