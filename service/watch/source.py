"""A source as the watch sees it: frames in their order, also across connections that were lost and made anew."""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from service.errors import SourceLost
from service.watch import facts
from service.watch.address import Address
from service.watch.clock import Kind
from service.watch.process import CaptureLost, CaptureProcess
from service.watch.wall import WallClock
from service.watch.wire import Request, Shot

_FIRST_DELAY_S, _LONGEST_DELAY_S = 0.5, 30.0
# A connection that held for so long worked; one that breaks sooner counts as another failure.
_WORKED_S = 10.0
# What is piped in may begin when it likes.
_PATIENCE_S = 1e6
_ASSUMED_FPS = 25.0


@dataclass(frozen=True, slots=True)
class SourceOptions:
    """How a source is read.

    Attributes:
        live: whether the newest frame counts; None leaves it to what the source is.
        realtime: whether a file is played as fast as it was taken, like a camera.
        loop: whether a file begins again at its end.
        once: whether a lost source is given up at once.
        attempts: tries on end before it is given up; 0 for no bound.
        clock: whose time is believed.
        open_s, read_s: how long opening it, and the next frame, may take.
        max_pixels: of a frame.
        height: higher frames are scaled down to it; 0 leaves them.
    """

    live: bool | None = None
    realtime: bool = False
    loop: bool = False
    once: bool = False
    attempts: int = 0
    clock: Kind = "auto"
    open_s: float = 15.0
    read_s: float = 10.0
    max_pixels: int = 7680 * 4320
    height: int = 0


@dataclass(frozen=True, slots=True)
class Frame:
    """A frame of the source.

    Attributes:
        pixels: uint8 [H, W, 3], BGR; valid until the next frame is asked for.
        time_s: seconds since the watch began; in a file, the file's own.
        arrived_s: when it came, by the clock of `time.monotonic`.
        jump: why it does not follow the frame before, or None where it does.
        received, missed: frames of the source so far, and those of them that were not taken.
    """

    pixels: NDArray[np.uint8]
    time_s: float
    arrived_s: float
    jump: str | None
    received: int
    missed: int


class Source:
    """A source, watched until it ends, is stopped or is given up.

    Args:
        address: where it is.
        options: how it is read.
        tell: told when it is opened and lost.
        stop: ends the frames soon once it is set.
    """

    def __init__(self, address: Address, options: SourceOptions, tell: facts.Tell, stop: asyncio.Event) -> None:
        self.address = address
        self.received = self.missed = 0
        """Frames so far, and those that came faster than they were taken."""
        self.live = (address.live if options.live is None else options.live) or options.realtime
        """Whether the newest frame counts; otherwise every frame does, in order."""
        self.fps: float | None = None
        """Frames a second as the container has it, once it is open."""
        self.wall = WallClock()
        self.pid: int | None = None
        """The process that reads it now."""
        self._options = options
        self._tell = tell
        self._clock = options.clock
        self._stop = stop
        self._origin_s: float | None = None
        self._last_s = -math.inf
        self._failures = 0

    @property
    def stopped(self) -> bool:
        """Whether it was asked to stop."""
        return self._stop.is_set()

    async def frames(self) -> AsyncGenerator[Frame, None]:
        """The frames. Close the iterator where it is left early.

        Raises:
            SourceLost: it cannot be opened, or was lost and is not to be waited for.
        """
        while not self.stopped:
            before_s, known = time.monotonic(), self.received > 0
            try:
                async with aclosing(self._connection()) as frames:
                    async for frame in frames:
                        yield frame
                return
            except CaptureLost as lost:
                if self.stopped or (self.received and (self._options.once or self._ends)):
                    return
                worked = self.received and (not known or time.monotonic() - before_s > _WORKED_S)
                self._failures = 1 if worked else self._failures + 1
                await self._wait_after(lost)

    @property
    def _ends(self) -> bool:
        return self.address.kind in {"file", "pipe"}

    async def _connection(self) -> AsyncGenerator[Frame, None]:
        """The frames of one connection, until it ends or is stopped."""
        process = await CaptureProcess.start(self._request(), piped=self.address.kind == "pipe")
        self.pid = process.pid
        stopping = asyncio.create_task(self._end_early(process))
        try:
            opened = await process.opened()
            self.fps, told = opened.fps, self.address.told
            self._tell(facts.Opened(told, self.live, opened.width, opened.height, opened.fps, opened.codec))
            joint = self._joint(1 / (opened.fps or _ASSUMED_FPS))
            async for shot, pixels in process.shots(opened):
                if self.stopped:
                    return
                yield self._frame(shot, pixels, joint)
        finally:
            stopping.cancel()
            with suppress(asyncio.CancelledError):
                await stopping
            await process.stop()
            self.pid = None

    async def _end_early(self, process: CaptureProcess) -> None:
        await self._stop.wait()
        await process.stop()

    def _request(self) -> Request:
        options, address = self._options, self.address
        patience_s = _PATIENCE_S if address.kind == "pipe" else 0.0
        return Request(
            opened=address.opened,
            camera=address.kind == "camera",
            options=address.options,
            live=self.live,
            paced=options.realtime or (address.playlist and self.live),
            loop=options.loop and address.kind != "pipe",
            clock=self._clock,
            open_s=patience_s or options.open_s,
            read_s=patience_s or options.read_s,
            max_pixels=options.max_pixels,
            height=options.height,
        )

    def _joint(self, interval_s: float) -> _Joint:
        return _Joint(self._last_s + interval_s, self.received, self.missed)

    def _frame(self, shot: Shot, pixels: NDArray[np.uint8], joint: _Joint) -> Frame:
        jump = shot.jump
        if self._origin_s is None:
            self._origin_s = shot.arrived_s - shot.time_s
        elif joint.base_s is None:
            jump = "the connection was lost"
        if joint.base_s is None:
            # Between two connections as much time has passed as the wall clock says.
            joint.base_s = max(0.0, joint.after_s, shot.arrived_s - shot.time_s - self._origin_s)
        self._clock = shot.clock if self._options.clock == "auto" else self._options.clock
        self._last_s = joint.base_s + shot.time_s
        self.received, self.missed = joint.received + shot.received, joint.missed + shot.dropped
        if self.live:
            self.wall.take(self._last_s, shot.arrived_s)
        return Frame(pixels, self._last_s, shot.arrived_s, jump, self.received, self.missed)

    async def _wait_after(self, lost: CaptureLost) -> None:
        """Tells what happened and waits before the next try.

        Raises:
            SourceLost: there is no other.
        """
        last = self._options.once or self._ends or self._failures == self._options.attempts
        if last:
            what = "was lost" if self.received else "cannot be opened"
            raise SourceLost(f"{self.address.told} {what}: {lost.detail}", "Check that it is there and can be played.")
        delay_s = min(_FIRST_DELAY_S * 2.0 ** min(self._failures - 1, 10), _LONGEST_DELAY_S)
        delay_s *= random.uniform(0.5, 1)  # noqa: S311 - so that many who lost one server do not come back at once
        self._tell(facts.Lost(self.address.told, lost.detail, self._failures, delay_s))
        with suppress(TimeoutError):
            async with asyncio.timeout(delay_s):
                await self._stop.wait()


@dataclass(slots=True)
class _Joint:
    """Where the frames of a connection join those of the ones before."""

    after_s: float
    received: int
    missed: int
    base_s: float | None = None
