"""A decoder process: `python -m service.video.worker DESCRIPTOR LIMIT_MB NICENESS`.

It takes one job at a time from the socket behind the descriptor, says what it has painted, and ends when the socket is
closed. FFmpeg reads what strangers send, so the process has little memory, few descriptors, writes no file of any size,
and ends by itself when it has used its CPU time.
"""

from __future__ import annotations

import math
import os
import resource
import signal
import socket
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import cv2

from service.errors import ClientGone, ClipError, UndecodableClip
from service.priority import compute_in_long_turns
from service.video.arriving import Arriving, Pipe
from service.video.canvas import Canvas
from service.video.decode import Decoded, DecodeTask, MadePicture, decode
from service.video.encoded import EncodedClip
from service.video.look import Looked, Slate, look
from service.video.probe import Probed, probe
from service.video.screen import Screen
from service.video.source import NO_LIMITS, Limits, open_clip
from service.video.still import decode_still
from service.video.wire import (
    AnySaid,
    DecodeJob,
    Done,
    Failed,
    Fed,
    FeedJob,
    Grabbed,
    LookJob,
    Painted,
    ProbeJob,
    Ready,
    Shown,
    Stopped,
    Taken,
    failed,
    read_answer,
    read_job,
    write_said,
)

_LINE = 1 << 20
_DESCRIPTORS = 32
_FILE_BYTES = 1_000_000
# Waking the service costs more than making a small picture; encoders have enough to do for so long.
_TELLING_S = 0.01
# OpenCV's code for memory that it was refused.
_NO_MEMORY = -4
# A frame as FFmpeg has it and as OpenCV makes it, and the few that others refer to.
_BYTES_A_PIXEL = 12

Result = Decoded | Probed | Looked | Fed
"""What comes of a job."""


class Worker:
    """One decoder process, seen from inside.

    Args:
        connection: the socket to the service.
        limit_mb: the memory that a clip may take beyond what the process takes by itself, in MB (10^6 bytes).
    """

    def __init__(self, connection: socket.socket, limit_mb: int) -> None:
        self._connection = connection
        self._limit_mb = limit_mb
        self._slate: Slate | None = None

    def run(self) -> None:
        """Takes jobs until the service goes."""
        self._say(Ready())
        while (taken := self._take()) is not None:
            line, descriptors = taken
            self._say(Taken())
            job = read_job(line)
            _allow_cpu(job.cpu_s)
            if isinstance(job, LookJob):
                self._say(self._done(partial(self._look, job, descriptors)))
                continue
            with EncodedClip(descriptors[0]) as clip:
                self._say(self._done(partial(self._do, job, clip, descriptors[1:])))

    def _take(self) -> tuple[bytes, list[int]] | None:
        line, descriptors = b"", list[int]()
        while not line.endswith(b"\n"):
            more, passed, _, _ = socket.recv_fds(self._connection, _LINE, 2)
            if not more:
                return None
            line += more
            descriptors += passed
        return line, descriptors

    def _say(self, said: AnySaid) -> None:
        self._connection.sendall(write_said(said))

    def _done(self, work: Callable[[], Result]) -> Done | Failed | Stopped:
        started_s, before_s = time.perf_counter(), time.process_time()
        try:
            result = work()
        except ClientGone:
            return Stopped()
        except ClipError as error:
            return failed(error)
        except MemoryError:
            return failed(self._bloated())
        except cv2.error as error:
            if error.code != _NO_MEMORY:
                raise
            return failed(self._bloated())
        return Done(result, started_s, time.perf_counter(), time.process_time() - before_s)

    def _do(self, job: DecodeJob | ProbeJob | FeedJob, clip: EncodedClip, shared: list[int]) -> Result:
        if isinstance(job, FeedJob):
            return self._feed(job.limits, clip, shared[0])
        try:
            return probe(clip, job.limits) if isinstance(job, ProbeJob) else self._decode(job.task, clip, shared[0])
        except UndecodableClip as error:
            raise (self._bloated() if self._is_large(clip) else error) from error

    def _look(self, job: LookJob, passed: list[int]) -> Looked:
        if job.new_slate:
            self._slate = Slate(job.task.pictures, passed[0])
        assert self._slate is not None
        image = self._slate.read()
        if job.beside:
            with EncodedClip(passed[-1]) as large, large.open() as file:
                image = file.read()
        return look(decode_still(image, job.task.limits), job.task, self._slate)

    def _feed(self, limits: Limits, chunks: EncodedClip, descriptor: int) -> Fed:
        screen = Screen(limits.max_pixels, descriptor)
        video = Arriving(Pipe(chunks.fileno()), limits)
        for time_s in video:
            self._say(Grabbed(time_s))
            if self._wanted():
                frame = video.retrieve()
                if frame is not None:
                    screen.show(frame)
                height, width = (0, 0) if frame is None else frame.shape[:2]
                self._say(Shown(width, height))
        return Fed(video.frames)

    def _wanted(self) -> bool:
        taken = self._take()
        if taken is None:
            raise ClientGone("the service has gone")
        return read_answer(taken[0]).wanted

    def _decode(self, task: DecodeTask, clip: EncodedClip, descriptor: int) -> Decoded:
        canvas = Canvas(task.plan, task.pictures, descriptor)

        def checkpoint() -> None:
            if canvas.stopped:
                raise ClientGone("nobody waits for this clip any more")

        painted: list[tuple[str, int, int]] = []
        told_s = -math.inf

        def tell() -> None:
            nonlocal told_s
            if painted:
                self._say(Painted(tuple(painted)))
                painted.clear()
                told_s = time.monotonic()

        def paint(made: MadePicture) -> None:
            canvas.picture(made.kind, made.window, made.step)[:] = made.pixels
            painted.append((made.kind, made.window, made.step))
            if time.monotonic() - told_s > _TELLING_S:
                tell()

        checkpoint()
        decoded = decode(clip, task, paint, checkpoint)
        tell()
        return decoded

    def _is_large(self, clip: EncodedClip) -> bool:
        """Whether frames of this size leave no room; FFmpeg fails without saying that it wanted memory."""
        try:
            _, header = open_clip(clip, NO_LIMITS)
        except ClipError:
            return False
        return header.width * header.height * _BYTES_A_PIXEL > self._limit_mb * 1_000_000

    def _bloated(self) -> UndecodableClip:
        return UndecodableClip(
            f"decoding the clip takes more than {self._limit_mb} MB of memory, which is what a decoder may use",
            "Scale the clip down before sending it, or raise KINEMA_DECODER_MEMORY_MB.",
        )


def _allow_cpu(seconds: int) -> None:
    used = resource.getrusage(resource.RUSAGE_SELF)
    hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
    resource.setrlimit(resource.RLIMIT_CPU, (int(used.ru_utime + used.ru_stime) + 1 + seconds, hard))


def _confine(limit_mb: int) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (_FILE_BYTES, _FILE_BYTES))
    resource.setrlimit(resource.RLIMIT_NOFILE, (_DESCRIPTORS, _DESCRIPTORS))
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
    except OSError:  # not Linux, where the limit on address space means little
        return
    most = pages * resource.getpagesize() + limit_mb * 1_000_000
    resource.setrlimit(resource.RLIMIT_AS, (most, most))


def _silence_libraries() -> None:
    """Libjpeg and libpng print what they think of a broken picture, a line for each; what Python has to say is kept."""
    sys.stderr = os.fdopen(os.dup(2), "w", buffering=1)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    os.close(nowhere)


def main() -> None:
    """Runs the process."""
    descriptor, limit_mb, niceness = map(int, sys.argv[1:])
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the service ends this process
    compute_in_long_turns(niceness)
    cv2.setNumThreads(1)
    _silence_libraries()
    _confine(limit_mb)
    try:
        with socket.socket(fileno=descriptor) as connection:
            Worker(connection, limit_mb).run()
    except (BrokenPipeError, ConnectionResetError):
        sys.exit(0)  # the service has gone


if __name__ == "__main__":
    main()
