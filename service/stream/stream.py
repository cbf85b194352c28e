"""One stream: frames come, and answers go, in order of time."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from numpy.typing import NDArray

from service.errors import ClipError, StateRefused, StreamGone
from service.events import Observe, StreamAnswered, StreamFrames
from service.inference.abstain import strange
from service.inference.postprocess import rank, scores
from service.inference.session import Reading
from service.post.event import Event
from service.stream.berth import Berth
from service.stream.engine import Engine
from service.stream.inbox import Frame, Inbox
from service.stream.memory import Arrays, Step
from service.stream.run import Run
from service.stream.told import Failed, FrameFailed, Happened, News, Restarted, Spent, Told
from service.stream.wishes import Wishes
from service.video.follow import Follower, Served
from service.video.look import LookTask
from service.video.preprocess import Picture

# Answers that nobody fetches hold the stream up, so that they do not pile up.
_MOST_NEWS = 16
# A frame that takes longer to decode hangs its decoder.
_LOOK_S = 10.0
_EPSILON = 1e-6


class Stream:
    """What one client sends, and what it is told. Made by `Streams.open`; belongs to one event loop.

    Args:
        engine: what looks and reads.
        wishes: what the client wants.
        inbox: where frames wait.
        observe: told of frames and answers.
    """

    def __init__(self, engine: Engine, wishes: Wishes, inbox: Inbox, observe: Observe) -> None:
        self.wishes = wishes
        self.news: asyncio.Queue[News] = asyncio.Queue(_MOST_NEWS)
        """What there is to tell, in order; the stream waits for whoever takes it."""
        self.received = 0
        self.used = 0
        self.padded = 0
        self.active_s = time.monotonic()
        """When the client was last heard of, by `time.monotonic`."""
        self.over = asyncio.Event()
        """Set as soon as the stream has ended."""
        self.draining = asyncio.Event()
        """Set when the service shuts down: whoever holds the stream should end it."""
        self.held = False
        """Whether somebody holds the stream who will notice that."""
        self.caller = asyncio.Lock()
        """Held by one of several callers who might come at once."""
        self._engine = engine
        self._observe = observe
        self._card = engine.bundle.card
        self._inbox = inbox
        # Moments between two answers: none is due between two moments.
        self._beat = max(1.0, wishes.every_s * self._card.sampling.fps) if wishes.every_s else 0.0
        self._follower = self._follow()
        self._berth = Berth(self._card, engine.attic, lambda: (engine.memory(wishes), wishes.chain(self._card)))
        self._spent = Spent(0, 0, 0, 0, 0)
        self._working: asyncio.Task[None] | None = None
        self._failure: Exception | None = None

    def _follow(self) -> Follower:
        return Follower(self._card.sampling.fps, self._engine.gap_s)

    @property
    def dropped(self) -> int:
        """Frames given up for want of room."""
        return self._inbox.dropped

    @property
    def working(self) -> bool:
        """Whether a frame is being looked at, or an answer waits to be fetched."""
        return self._working is not None and not self._working.done()

    @property
    def waiting(self) -> int:
        """Frames that wait to be looked at."""
        return len(self._inbox)

    @property
    def camera_fps(self) -> float | None:
        """Frames a second of late, by their timestamps."""
        return self._follower.camera_fps

    @property
    def state_age_s(self) -> float:
        """On how many seconds an answer would rest now."""
        return self._berth.age / self._card.sampling.fps

    async def push(self, time_s: float, image: bytes) -> None:
        """Takes a frame. It is looked at later, if a moment needs it; where `drop` is `none`, this waits for room.

        Args:
            time_s: its timestamp in seconds.
            image: JPEG, PNG, WebP or PPM.

        Raises:
            FrameRepeated, FrameOutOfOrder: its time does not follow.
            Busy: there is no room.
            StreamGone: the stream has ended.
            KinemaError: the engine failed.
        """
        served = self.offer(time_s)
        if served is not None:
            await self.put(time_s, image, served)

    def offer(self, time_s: float) -> Served | None:
        """Takes note of a frame; what it is to be looked at for, or None where no moment needs it.

        Raises:
            FrameRepeated, FrameOutOfOrder: its time does not follow.
            StreamGone: the stream has ended.
            KinemaError: the engine failed.
        """
        self._check()
        self.active_s = time.monotonic()
        served = self._follower.see(time_s)
        self.received += 1
        self._observe(StreamFrames(received=1))
        return served

    async def put(self, time_s: float, image: bytes, served: Served) -> None:
        """Takes a frame that was offered, and is needed.

        Args:
            time_s: its timestamp in seconds.
            image: JPEG, PNG, WebP or PPM.
            served: what `offer` said.

        Raises:
            Busy, StreamGone, KinemaError: as `push` does.
        """
        before = self.dropped
        await self._inbox.put(Frame(time_s, image, served, time.perf_counter()))
        if self.over.is_set():  # while this waited for room
            self._inbox.clear()
        self._check()
        if not self.working:
            self._working = asyncio.create_task(self._work())
        if self.dropped > before:
            self._observe(StreamFrames(dropped=self.dropped - before))

    def _check(self) -> None:
        if self.over.is_set():
            raise gone()
        if self._failure is not None:
            raise self._failure

    async def _work(self) -> None:
        try:
            while (frame := self._inbox.take()) is not None:
                try:
                    await self._take(frame)
                except ClipError as error:
                    await self.news.put(FrameFailed(frame.time_s, error))
        except Exception as error:  # noqa: BLE001 - whatever it is, it is this stream's end and nobody else's
            self._failure = error
            self._inbox.clear()
            await self.news.put(Failed(error))

    async def _take(self, frame: Frame) -> None:
        run = self._berth.run
        if run is None or run.start_s != frame.served.start_s or self._lost_s(run, frame) > self._engine.gap_s:
            run = await self._begin(frame)
        moments = range(run.moments, frame.served.upto)
        async with self._engine.turn:
            began_s = time.perf_counter()
            events, (look_s, encode_s, recur_s) = await self._look(run, frame.image, moments, frame.time_s)
        now_s = time.perf_counter()
        self._spent = Spent(began_s - frame.came_s, look_s, encode_s, recur_s, now_s - frame.came_s)
        self.used += 1
        self.padded += len(moments) - 1
        self._observe(StreamFrames(used=1, padded=len(moments) - 1))
        await self._happened(events)
        if run.untold and run.moments - 1 >= run.due - _EPSILON:
            await self._tell(run, partial=False)

    async def _happened(self, events: Iterable[Event]) -> None:
        for event in events:
            await self.news.put(Happened(event))

    def _lost_s(self, run: Run, frame: Frame) -> float:
        """The time between two frames looked at of which others would have been looked at, too, had they not failed.

        A single frame that comes in time stands for one moment more than its pause has, or two where it comes early.
        """
        return (frame.served.upto - run.moments - 2) / self._card.sampling.fps

    async def _begin(self, frame: Frame) -> Run:
        """Begins a run of frames; one that ends so is told of to its end."""
        served, skipped, before = frame.served, 0, self._berth.run
        if before is not None:
            await self._finish(before)
            why = "the first frame after a gap was lost"
            if served.gap_s is not None:
                why = f"no frame came for {served.gap_s:.3f} s"
            elif before.start_s == served.start_s:
                skipped = served.upto - 1
                why = f"frames of {self._lost_s(before, frame):.3f} s were lost"
            await self.news.put(Restarted(frame.time_s, f"{why}: what came before is forgotten"))
        memory, chain = self._engine.memory(self.wishes), self.wishes.chain(self._card)
        due = skipped + self._beat
        run = Run(self._card, memory, chain, served.start_s, due, skipped, skipped, only=frame.image)
        self._berth.run = run
        return run

    async def _look(
        self, run: Run, image: bytes, moments: Sequence[int], time_s: float
    ) -> tuple[list[Event], tuple[float, float, float]]:
        """Looks at a frame for some moments and takes their steps.

        Returns:
            What happened, and what looking, encoding and reading took, in seconds.
        """
        began_s = time.perf_counter()
        steps = run.steps(moments)
        fresh, again = run.wanted(steps)
        task = LookTask(self._card.evidence, fresh, again, bool(run.greys), self._engine.limits)
        drawn = await self._engine.decoders.look(image, task, run.greys, _LOOK_S)
        looked_s = time.perf_counter()
        pictures: dict[tuple[str, int], Picture] = {(kind, 0): drawn.place("fresh", kind) for kind in fresh}
        pictures |= {(kind, 1): drawn.place("again", kind) for kind in again}
        seen = await self._seen(pictures)
        encoded_s = time.perf_counter()
        run.keep(drawn)
        run.moments = moments[-1] + 1
        events = await run.take(steps, seen, time_s)
        return events, (looked_s - began_s, encoded_s - looked_s, time.perf_counter() - encoded_s)

    async def _seen(self, pictures: Mapping[tuple[str, int], Picture]) -> Sequence[Step]:
        """What pictures are to the model, the frame's own first: features, or the pictures where it reads those."""
        if self._card.whole is not None:
            return [{kind: picture.copy() for (kind, _), picture in pictures.items()}]
        return await self._engine.viewer.encode(pictures)

    async def _tell(self, run: Run, *, partial: bool) -> None:
        reading = await run.memory.read()
        if reading is None:
            return
        await self._happened(run.observe(reading))
        run.untold = False
        if self._beat:
            run.due = (math.floor((run.moments - 1 + _EPSILON) / self._beat) + 1) * self._beat
        self._observe(StreamAnswered(self._card.name, self._spent.total, partial))
        await self.news.put(self._told(run, reading, partial=partial))

    def _told(self, run: Run, reading: Reading, *, partial: bool) -> Told:
        card = self._card
        values = scores(reading.logits, card.temperature)
        smoothed = values if run.chain.scores is None else run.chain.scores
        return Told(
            time_s=run.last_s,
            predictions=rank(values, card.labels, self.wishes.top_k),
            smoothed=rank(smoothed, card.labels, self.wishes.top_k),
            abstained=None if card.abstention is None else strange(reading.outputs, card.abstention),
            state_age_s=self.state_age_s,
            received=self.received,
            used=self.used,
            dropped=self.dropped,
            camera_fps=self.camera_fps,
            spent=self._spent,
            partial=partial,
        )

    async def _finish(self, run: Run) -> None:
        """Tells what has not been told, so that nothing that was seen is lost."""
        if run.only is not None and run.moments > run.skipped:
            # One frame alone: a step from it to itself, as for clips.
            async with self._engine.turn:
                events, _ = await self._look(run, run.only, range(run.moments, run.moments + 1), run.last_s)
            await self._happened(events)
        if run.untold:
            await self._tell(run, partial=True)
        await self._happened(run.chain.end())

    async def settled(self) -> None:
        """Waits until every frame that came has been looked at."""
        self.active_s = time.monotonic()
        while self._working is not None and self.working:
            await asyncio.wait([self._working])
        self._check()

    async def end(self) -> None:
        """Looks at all that came, and tells what has not been told."""
        await self.settled()
        run = self._berth.run
        if run is not None:
            await self._finish(run)

    async def reset(self) -> None:
        """Looks at all that came, then forgets it; the next frame may have any timestamp."""
        await self.end()
        self._berth.run, self._follower = None, self._follow()

    async def dump(self) -> tuple[dict[str, Any], Arrays]:
        """All that the stream is, once every frame that came has been looked at: plain values, and arrays by name."""
        await self.settled()
        now = self._berth.run
        run, arrays = (None, dict[str, NDArray[Any]]()) if now is None else now.dump()
        counts = {"received": self.received, "used": self.used, "dropped": self.dropped, "padded": self.padded}
        return {"run": run, "follower": asdict(self._follower), "counts": counts}, arrays

    async def load(self, values: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> None:
        """Takes what `dump` gave; nothing of what came before is left.

        Raises:
            StateRefused: it is of a stream of another kind.
        """
        await self.settled()
        run = values["run"]
        memory, chain = self._engine.memory(self.wishes), self.wishes.chain(self._card)
        loaded = None if run is None else Run.load(self._card, memory, chain, run, arrays)
        followed = {name: value for name, value in values["follower"].items() if name not in {"fps", "gap_s"}}
        follower = Follower(self._card.sampling.fps, self._engine.gap_s, **followed)
        if not (follower.plausible and (loaded is None or _fits(loaded, follower))):
            raise StateRefused("no frames can have led to this state", "Send what GET of the state gave, unchanged.")
        self._berth.run, self._follower = loaded, follower
        counts = values["counts"]
        self.received, self.used, self.padded = counts["received"], counts["used"], counts["padded"]
        self._inbox.dropped = counts["dropped"]

    def rest(self) -> None:
        """Lets the stream's memory lie on disk until the next frame; not while it has anything to do."""
        if not (self.working or self.waiting or self.caller.locked()):
            self._berth.rest()

    @property
    def rests(self) -> bool:
        """Whether its memory lies on disk."""
        return self._berth.rests

    def close(self) -> None:
        """Ends the stream at once, whatever it does; harmless the second time."""
        self.over.set()
        self._inbox.clear()
        if self._working is not None:
            self._working.cancel()
        self._berth.run = None


def _fits(run: Run, follower: Follower) -> bool:
    """Whether a run can be of the timestamps that a follower has seen; a newer one may have begun since."""
    return run.start_s != follower.start_s or run.moments <= follower.upto


def gone() -> StreamGone:
    """The error for a stream that has been, and is no more."""
    return StreamGone("the stream has ended: it was deleted, or nothing came for too long", "Begin another one.")
