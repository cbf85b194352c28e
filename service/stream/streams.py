"""All streams: how many there are, who is who, and when one has been forgotten."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import secrets
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass

from service.errors import Busy, Draining, EngineDead, StreamNotFound
from service.events import EndReason, Observe, StreamEnded, ignore
from service.stream.engine import Engine
from service.stream.feed import Feed
from service.stream.inbox import Budget, Inbox
from service.stream.stream import Stream, gone
from service.stream.wishes import Wishes
from service.video.process import DecoderDied

_SECRET_BYTES, _TAG = 16, 12
# A timer may go off a little early.
_SOON_S = 0.01


@dataclass(frozen=True, slots=True)
class StreamLimits:
    """What streams may take together.

    Attributes:
        most: streams at the same time.
        state_bytes: of all their states.
        waiting: frames of one stream that wait to be looked at.
        waiting_bytes: of all frames that wait.
        frame_bytes: of one frame.
        ttl_s: a stream of which nothing is heard for so long ends.
        gap_s: a longer pause between two timestamps makes a stream begin anew.
        feeds: streams of encoded video at the same time; each has a process of its own.
        rest_s: the memory of a stream of which nothing is heard for so long is put on disk; waking it takes a
            millisecond or two.
    """

    most: int
    state_bytes: int
    waiting: int
    waiting_bytes: int
    frame_bytes: int
    ttl_s: float
    gap_s: float
    feeds: int
    rest_s: float = 10.0


class Streams:
    """The streams of one model. Belongs to one event loop.

    Args:
        engine: what they all work with.
        limits: what they may take.
        observe: told of what happens to them.
    """

    def __init__(self, engine: Engine, limits: StreamLimits, observe: Observe = ignore) -> None:
        self.limits = limits
        self.engine = engine
        self._observe = observe
        self._streams: dict[str, Stream] = {}
        self._budget = Budget(limits.waiting_bytes)
        # What no other process could have made tells an id that has been from one that never was, and costs no memory.
        self._secret = secrets.token_bytes(_SECRET_BYTES)
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._feeds = 0
        self._draining = False

    def __len__(self) -> int:
        return len(self._streams)

    @property
    def state_bytes(self) -> int:
        """The bytes that the states of the streams there are may take."""
        return len(self._streams) * self.engine.state_bytes

    @property
    def waiting_bytes(self) -> int:
        """The bytes of all frames that wait."""
        return self._budget.taken

    async def open(self, wishes: Wishes) -> tuple[str, Stream]:
        """Begins a stream.

        Returns:
            Its id, which nobody can guess, and the stream.

        Raises:
            Busy: there are as many as there may be.
            Draining: the service shuts down.
            EngineDead: the engine has stopped.
        """
        self._admit()
        with _starting():
            await self.engine.decoders.start_looking()
        self._admit()
        name = secrets.token_urlsafe(_SECRET_BYTES)
        name += self._tag(name)
        inbox = Inbox(self.limits.waiting, wishes.drop, self._budget)
        stream = self._streams[name] = Stream(self.engine, wishes, inbox, self._observe)
        self._expire_later(name, stream)
        return name, stream

    def _admit(self) -> None:
        if self._draining:
            raise Draining("the service is shutting down", "Begin the stream at another instance.")
        limits, one = self.limits, self.engine.state_bytes
        if len(self._streams) >= limits.most:
            raise self._busy(f"there are {limits.most} streams already, which is the most (KINEMA_STREAMS)")
        if self.state_bytes + one > limits.state_bytes:
            raise self._busy(
                f"the states of {len(self._streams)} streams take {self.state_bytes / 1e6:.0f} MB; another one of "
                f"{one / 1e6:.2f} MB is over the limit of {limits.state_bytes / 1e6:g} MB (KINEMA_STREAM_STATE_MB)"
            )

    def _busy(self, detail: str) -> Busy:
        return Busy(detail, "End streams that are not needed, or wait until others end.", self.limits.ttl_s)

    @asynccontextmanager
    async def feed(self, stream: Stream) -> AsyncIterator[Feed]:
        """Feeds a stream with encoded video for the time of the block.

        Raises:
            Busy: as many are fed as may be.
            EngineDead: no process can be started.
        """
        if self._feeds >= self.limits.feeds:
            raise self._busy(
                f"there are {self.limits.feeds} streams of encoded video already, which is the most "
                "(KINEMA_VIDEO_STREAMS); frames as pictures are taken still"
            )
        self._feeds += 1
        try:
            with _starting():
                feed = await Feed.start(self.engine.decoders, stream, self.engine.limits)
            try:
                yield feed
            finally:
                await feed.close()
        finally:
            self._feeds -= 1

    def get(self, name: str) -> Stream:
        """The stream of an id.

        Raises:
            StreamGone: it has ended.
            StreamNotFound: there never was one here.
        """
        stream = self._streams.get(name)
        if stream is not None:
            return stream
        body, tag = name[:-_TAG], name[-_TAG:]
        if hmac.compare_digest(self._tag(body).encode(), tag.encode(errors="replace")):
            raise gone()
        raise StreamNotFound("no stream of this id has been here", "POST /streams begins one, and gives its id.")

    def end(self, name: str, reason: EndReason) -> None:
        """Ends a stream at once, and frees all that it takes; harmless where it has ended."""
        stream = self._streams.pop(name, None)
        if stream is not None:
            self._timers.pop(name).cancel()
            stream.close()
            self._observe(StreamEnded(self.engine.bundle.card.name, reason))

    def _tag(self, name: str) -> str:
        return hmac.new(self._secret, name.encode(errors="replace"), hashlib.sha256).hexdigest()[:_TAG]

    def _expire_later(self, name: str, stream: Stream) -> None:
        """Puts a stream to rest, and ends it, when its time has come; a timer for each is set anew when it goes off."""
        idle_s = time.monotonic() - stream.active_s
        if (stream.waiting or stream.working) and not stream.news.full():  # it is not the client that keeps it waiting
            idle_s = 0.0
        if idle_s >= self.limits.ttl_s:
            self.end(name, "expired")
            return
        if idle_s >= self.limits.rest_s:
            stream.rest()
        next_s = self.limits.ttl_s if idle_s >= self.limits.rest_s else min(self.limits.rest_s, self.limits.ttl_s)
        loop = asyncio.get_running_loop()
        self._timers[name] = loop.call_later(max(_SOON_S, next_s - idle_s), self._expire_later, name, stream)

    def drain(self) -> None:
        """Takes no new stream from now on; those there are may tell the last that they have to."""
        self._draining = True
        for stream in self._streams.values():
            stream.draining.set()

    async def idle(self) -> None:
        """Waits until every stream that somebody holds has ended; the others cannot know that they should."""
        for stream in [one for one in self._streams.values() if one.held]:
            await stream.over.wait()

    async def stop(self) -> None:
        """Ends all streams, and the thread that reads them."""
        self._draining = True
        for name in list(self._streams):
            self.end(name, "drained")
        await self.engine.stepper.stop()
        self.engine.attic.close()


@contextmanager
def _starting() -> Iterator[None]:
    """Says what it means that a decoder cannot be started."""
    try:
        yield
    except (DecoderDied, OSError, TimeoutError) as error:
        raise EngineDead(f"no decoder can be started: {error}", "Try again later, or ask another instance.") from error
