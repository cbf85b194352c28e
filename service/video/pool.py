"""The decoder processes at work: a bounded number of clips is decoded at a time, each in a process of its own.

A clip that crashes, hangs or bloats its process costs itself alone: the process is replaced, and others do not notice.
Short clips and long ones have processes of their own, so that a short one never waits for a long one to be decoded.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Literal

from service.errors import EngineDead, UndecodableClip
from service.video.canvas import Canvas
from service.video.decode import Decoded, DecodeTask, Emit, MadePicture
from service.video.encoded import EncodedClip
from service.video.look import Drawn, LookTask, Slate
from service.video.preprocess import Frame
from service.video.probe import Probed
from service.video.process import DecoderDied, DecoderProcess, JobNotTaken, crashed
from service.video.source import Limits
from service.video.wire import DecodeJob, Done, LookJob, Painted, ProbeJob

# A process that was asked to stop does so before its next frame; one that hangs in a frame is killed after this.
_GRACE_S = 1.0
# How long to wait before another process is started after one could not be.
_PAUSE_S = 1.0
# How far the processes for long clips stand back behind all others.
_LONG_NICENESS = 5

LaneName = Literal["probe", "short", "long", "look"]
"""Which processes take a job."""


@dataclass(frozen=True, slots=True)
class Decoding:
    """A clip decoded, when (seconds of `time.perf_counter`) and with how much of the CPU (seconds)."""

    decoded: Decoded
    started_s: float
    ended_s: float
    cpu_s: float


@dataclass(frozen=True, slots=True)
class Lanes:
    """How many processes there are, and what each may take.

    Attributes:
        short, long: clips decoded at the same time, of each length.
        memory_mb: what a clip may take while it is decoded, in MB (10^6 bytes).
        look: frames of streams decoded at the same time; their processes are started when the first stream begins.
    """

    short: int
    long: int
    memory_mb: int = 1024
    look: int = 1


class _Lane:
    """The processes that take the same jobs, and who waits for one of them."""

    def __init__(self, processes: int, niceness: int) -> None:
        self.processes = processes
        self.niceness = niceness
        self.alive = 0
        self._free: deque[DecoderProcess] = deque()
        self._waiting: deque[asyncio.Future[DecoderProcess]] = deque()

    async def take(self) -> DecoderProcess:
        """The process that has been free for longest, in the order of asking."""
        while self._free:
            process = self._free.popleft()
            if not process.gone.is_set():
                return process
        turn: asyncio.Future[DecoderProcess] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            return await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                self.put(turn.result())  # it came in the moment of giving up
            raise

    def put(self, process: DecoderProcess) -> None:
        """A process is free."""
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(process)
                return
        self._free.append(process)

    def drop(self, process: DecoderProcess) -> None:
        """Forgets a process that has gone."""
        self.alive -= 1
        with contextlib.suppress(ValueError):  # it had a job, or was passed over
            self._free.remove(process)

    def stop(self) -> None:
        """Nobody's turn will come any more."""
        for turn in self._waiting:
            if not turn.done():
                turn.set_exception(_stopped())


class DecoderPool:
    """Processes that decode. Belongs to one event loop.

    Args:
        lanes: how many processes there are.
    """

    def __init__(self, lanes: Lanes) -> None:
        self._memory_mb = lanes.memory_mb
        # Long clips stand back: who sent one waits anyway.
        self._lanes: dict[LaneName, _Lane] = {
            "probe": _Lane(1, 0),
            "short": _Lane(lanes.short, 0),
            "long": _Lane(lanes.long, _LONG_NICENESS),
        }
        self._look = _Lane(lanes.look, 0)
        self._looking: asyncio.Task[None] | None = None
        self._processes: set[DecoderProcess] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopping = False

    async def start(self) -> None:
        """Starts the processes.

        Raises:
            DecoderDied, OSError: one of them does not get ready.
        """
        await asyncio.gather(*(self._start_lane(lane) for lane in self._lanes.values()))

    async def start_looking(self) -> None:
        """Starts the processes that look at frames, if that has not been done yet.

        Raises:
            EngineDead: one of them does not get ready, or the pool was stopped.
        """
        if self._stopping:
            raise _stopped()
        if self._looking is None or (self._looking.done() and self._looking.exception()):
            self._looking = asyncio.create_task(self._start_lane(self._look))
            self._tasks.add(self._looking)
            self._looking.add_done_callback(self._tasks.discard)
        try:
            await asyncio.shield(self._looking)
        except (DecoderDied, OSError, TimeoutError) as error:
            raise EngineDead(f"no process could be started to look at frames: {error}", "Try again later.") from error
        self._lanes["look"] = self._look

    async def _start_lane(self, lane: _Lane) -> None:
        await asyncio.gather(*(self._start_one(lane) for _ in range(lane.processes)))

    async def _start_one(self, lane: _Lane) -> None:
        process = await DecoderProcess.start(self._memory_mb, lane.niceness)
        if self._stopping:
            await process.kill()
            return
        self._processes.add(process)
        lane.alive += 1
        lane.put(process)
        self._later(self._keep(process, lane))

    async def _keep(self, process: DecoderProcess, lane: _Lane) -> None:
        """Replaces a process when it has gone, whether it had a job or not."""
        await process.gone.wait()
        self._processes.discard(process)
        lane.drop(process)
        await process.end()
        while not self._stopping:
            try:
                await self._start_one(lane)
            except (DecoderDied, OSError, TimeoutError):
                await asyncio.sleep(_PAUSE_S)
            else:
                return

    @property
    def alive(self) -> bool:
        """Whether clips of every length can be decoded."""
        return not self._stopping and all(lane.alive for lane in self._lanes.values())

    @property
    def pids(self) -> list[int]:
        """The processes."""
        return [process.pid for process in self._processes]

    async def probe(self, clip: EncodedClip, limits: Limits, timeout_s: float) -> Probed:
        """What a clip says of itself.

        Raises:
            ClipError: the clip cannot be decoded, or is over a limit.
            EngineDead: the pool was stopped.
        """
        job = ProbeJob(limits, cpu_s=math.ceil(timeout_s))
        done = await self._done("probe", lambda process: process.do(job, clip.fileno()))
        assert isinstance(done.result, Probed)
        return done.result

    async def decode(
        self, clip: EncodedClip, task: DecodeTask, emit: Emit, lane: LaneName, timeout_s: float
    ) -> Decoding:
        """Decodes a clip. Cancelling stops the work before its next frame.

        Args:
            clip: its encoded bytes.
            task: what is wanted of it.
            emit: receives every picture as it is made; the pixels lie in memory shared with the process.
            lane: which processes may do it.
            timeout_s: seconds of CPU that it may take, as a last resort.

        Raises:
            ClipError: as `service.video.decode.decode` does, or the process died of the clip.
            EngineDead: the pool was stopped.
        """
        job = DecodeJob(task, cpu_s=math.ceil(timeout_s))

        async def paint(process: DecoderProcess) -> Done:
            canvas = Canvas(task.plan, task.pictures)

            def painted(one: Painted) -> None:
                for place in one.pictures:
                    emit(MadePicture(*place, canvas.picture(*place)))

            try:
                return await process.do(job, clip.fileno(), canvas.fileno(), painted=painted)
            finally:
                canvas.stop()
                canvas.close()

        done = await self._done(lane, paint)
        assert isinstance(done.result, Decoded)
        return Decoding(done.result, done.started_s, done.ended_s, done.cpu_s)

    async def look(self, image: bytes, task: LookTask, before: Mapping[str, Frame], timeout_s: float) -> Drawn:
        """Looks at one frame. Needs `start_looking`.

        Args:
            image: the encoded frame.
            task: what is wanted of it.
            before: the grey frames that flow starts from, by kind; empty where no frame came before.
            timeout_s: seconds that it may take; a process that takes longer is killed.

        Returns:
            What was made.

        Raises:
            ClipError: the frame cannot be decoded or is over a limit, or the process died of it or hung.
            EngineDead: the pool was stopped.
        """
        drawn: Drawn | None = None

        async def draw(process: DecoderProcess) -> Done:
            nonlocal drawn
            known = process.slate
            slate = known if known is not None and known.pictures == task.pictures else Slate(task.pictures)
            for kind, grey in before.items():
                slate.place("grey", kind)[:] = grey
            try:
                async with asyncio.timeout(timeout_s):
                    done = await self._draw(process, slate, image, task, math.ceil(timeout_s))
            except TimeoutError as error:
                raise UndecodableClip(
                    f"decoding the frame took longer than {timeout_s:g} s", "Leave the frame out; it may be damaged."
                ) from error
            drawn = Drawn(slate, task)
            return done

        await self._done("look", draw)
        assert drawn is not None
        return drawn

    @staticmethod
    async def _draw(process: DecoderProcess, slate: Slate, image: bytes, task: LookTask, cpu_s: int) -> Done:
        """Has a process look at a frame that lies on its slate, or beside it."""
        new, fits = slate is not process.slate, slate.write(image)
        job = LookJob(task, cpu_s, new_slate=new, beside=not fits)
        with ExitStack() as stack:
            passed = [slate.fileno()] if new else []
            if not fits:
                passed.append(stack.enter_context(EncodedClip.of(image)).fileno())
            process.slate = slate
            try:
                return await process.do(job, *passed)
            finally:
                slate.close()

    async def start_feed(self) -> DecoderProcess:
        """A process of its own for a video that arrives. Who has it gives it to `end_feed`.

        Raises:
            DecoderDied, OSError: it does not get ready.
            EngineDead: the pool was stopped.
        """
        process = await DecoderProcess.start(self._memory_mb, 0)
        if self._stopping:
            await process.kill()
            raise _stopped()
        self._processes.add(process)
        return process

    async def end_feed(self, process: DecoderProcess) -> None:
        """Ends a process that `start_feed` gave, whatever it does."""
        self._processes.discard(process)
        await process.kill()

    async def _done(self, lane: LaneName, work: Callable[[DecoderProcess], Awaitable[Done]]) -> Done:
        """Has a process do some work, and another one if the first ended before it took it."""
        while True:
            try:
                async with self._process(lane) as process:
                    return await work(process)
            except JobNotTaken:
                continue

    @asynccontextmanager
    async def _process(self, name: LaneName) -> AsyncIterator[DecoderProcess]:
        """A free process for the time of the block."""
        if self._stopping:
            raise _stopped()
        lane = self._lanes[name]
        process = await lane.take()
        try:
            yield process
        except JobNotTaken:
            if self._stopping:
                raise _stopped() from None
            raise
        except DecoderDied as death:
            raise (_stopped() if self._stopping else crashed(death)) from death
        finally:
            if not process.gone.is_set():
                if process.busy:
                    self._later(self._settle(process, lane))
                else:
                    lane.put(process)

    async def _settle(self, process: DecoderProcess, lane: _Lane) -> None:
        """Waits for a process that was asked to stop, and kills it if it does not."""
        try:
            async with asyncio.timeout(_GRACE_S):
                await process.settle()
        except TimeoutError:
            await process.kill()
        except DecoderDied:
            pass  # it is being replaced already
        else:
            lane.put(process)

    def _later(self, work: Coroutine[Any, Any, None]) -> None:
        # The loop itself holds tasks only weakly.
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def stop(self) -> None:
        """Ends the processes; clips still in the pool fail."""
        self._stopping = True
        for lane in self._lanes.values():
            lane.stop()
        await asyncio.gather(*(process.stop() for process in self._processes))
        for task in list(self._tasks):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task


def _stopped() -> EngineDead:
    return EngineDead("the engine stopped before the clip was decoded", "Send the clip again.")
