"""A stream that is fed with encoded video, decoded while it arrives."""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress

from service.errors import FrameRefused, UndecodableClip
from service.stream.stream import Stream
from service.stream.told import FrameFailed
from service.video.pool import DecoderPool
from service.video.process import DecoderDied, DecoderProcess, crashed
from service.video.screen import Screen
from service.video.source import Limits
from service.video.wire import Answered, Done, FeedJob, Grabbed

# What hangs ends by itself; a camera may film for weeks.
_CPU_S = 10_000_000
_HOW = "Begin another stream with a new recording: a MediaRecorder's later chunks are of no use without its first."


class Feed:
    """The decoder of one stream's video. Made by `start`; belongs to one event loop."""

    def __init__(self, pool: DecoderPool, process: DecoderProcess, stream: Stream, limits: Limits) -> None:
        self._pool = pool
        self._process = process
        self._stream = stream
        self._limits = limits
        self._screen = Screen(limits.max_pixels)
        self._writer: asyncio.StreamWriter | None = None
        self._ended = False

    @classmethod
    async def start(cls, pool: DecoderPool, stream: Stream, limits: Limits) -> Feed:
        """Starts a process that decodes what `put` will give it.

        Args:
            pool: where processes come from.
            stream: the stream that is fed.
            limits: what frames may cost.

        Raises:
            EngineDead: the pool was stopped.
            DecoderDied, OSError: the process does not get ready.
        """
        feed = cls(pool, await pool.start_feed(), stream, limits)
        ours, theirs = socket.socketpair()
        with theirs:
            await feed._process.begin(FeedJob(limits, _CPU_S), theirs.fileno(), feed._screen.fileno())
        feed._screen.close()
        _, feed._writer = await asyncio.open_connection(sock=ours)
        return feed

    async def put(self, chunk: bytes) -> None:
        """Takes the next bytes of the video; waits while the decoder has more than it can take."""
        assert self._writer is not None
        self._writer.write(chunk)
        with suppress(OSError):  # the decoder has gone, and `run` tells why
            await self._writer.drain()

    def end(self) -> None:
        """Says that no more of the video comes; `run` returns when all of it has been decoded."""
        assert self._writer is not None
        self._ended = True
        self._writer.close()

    async def run(self) -> None:
        """Feeds the stream with frames until the video ends.

        Raises:
            ClipError: the video cannot be decoded, or no further.
            KinemaError: the stream cannot go on.
        """
        try:
            while not isinstance(said := await self._process.hear(), Done):
                if isinstance(said, Grabbed):
                    await self._frame(said.time_s)
        except DecoderDied as death:
            raise crashed(death) from death
        if not self._ended:
            raise UndecodableClip("the video cannot be decoded any further", _HOW)

    async def _frame(self, time_s: float) -> None:
        try:
            served = self._stream.offer(time_s)
        except FrameRefused as error:
            self._process.answer(Answered(wanted=False))
            await self._stream.news.put(FrameFailed(time_s, error))
            return
        self._process.answer(Answered(wanted=served is not None))
        if served is None:
            return
        shown = await self._process.hear()
        if isinstance(shown, Grabbed | Done):
            raise UndecodableClip("the decoder did not show the frame that it was asked for", _HOW)
        if not shown.width:
            await self._stream.news.put(FrameFailed(time_s, UndecodableClip("the frame is damaged", _HOW)))
            return
        await self._stream.put(time_s, self._screen.take(shown.width, shown.height), served)

    async def close(self) -> None:
        """Ends the process, whatever it does."""
        if self._writer is not None:
            self._writer.close()
        await self._pool.end_feed(self._process)
