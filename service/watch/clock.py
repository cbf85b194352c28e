"""When a frame was: seconds of its source, from the container's timestamps or from when it came.

The container knows best: packets come in bursts, and a camera that slows down in the dark says so in its timestamps
alone. But some timestamps are made up. MJPEG over HTTP has none, and FFmpeg counts 25 frames a second whatever the
camera does. What is live runs with the wall clock, so timestamps that do not are not believed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

Kind = Literal["auto", "container", "arrival"]
"""`auto` believes a container as long as it keeps pace with the wall clock."""

# Timestamps of one picture and the next may be equal or in the wrong order, by some frames, in streams that are well.
_BACK_S = 0.5
# So long without a frame, what was being done is over.
_HOLE_S = 3.0
# A file may show one picture for minutes; where its timestamps go further, they were spliced.
_LONGEST_HOLE_S = 3600.0
_LEAST_S = 0.001
# FFmpeg has a number for what has no timestamp, and OpenCV takes it for one.
_MEANINGLESS_S = 1e9


@dataclass(frozen=True, slots=True)
class Moment:
    """When a frame was.

    Attributes:
        time_s: seconds since the first frame; above that of the frame before.
        jump: why this frame does not follow the one before, or None where it does.
    """

    time_s: float
    jump: str | None


class Clock:
    """Gives each frame of one connection its time.

    Args:
        kind: what is believed.
        live: whether frames come as they are taken, so that the wall clock can tell.
        interval_s: seconds from frame to frame, where nothing else tells.
    """

    def __init__(self, kind: Kind, live: bool, interval_s: float) -> None:
        self.kind: Kind = kind if live or kind == "arrival" else "container"
        self._live = live
        self._interval_s = interval_s
        self._pace = Pace()
        self._base_s = 0.0
        self._last: tuple[float, float] | None = None
        self._time_s = 0.0
        self._jump: str | None = None

    def begin_again(self) -> None:
        """The source begins anew, and its timestamps with it; times go on."""
        self._jump = "the source began again"

    def tick(self, stamp_s: float, arrived_s: float) -> Moment:
        """The time of the next frame.

        Args:
            stamp_s: the container's timestamp.
            arrived_s: when the frame came, by a monotonic clock.
        """
        jump, self._jump = self._jump, None
        if not abs(stamp_s) < _MEANINGLESS_S:
            stamp_s = math.nan
        if self.kind == "auto" and not (math.isfinite(stamp_s) and self._pace.keeps(stamp_s, arrived_s)):
            self.kind = "arrival"
            jump = "the timestamps do not keep pace with the wall clock; from here on the time of arrival counts"
        own_s = arrived_s if self.kind == "arrival" else stamp_s
        if not math.isfinite(own_s):
            own_s = 0.0 if self._last is None else self._last[0] + self._interval_s
        if self._last is None:
            own = not self._live and self.kind != "arrival" and 0 <= own_s <= _LONGEST_HOLE_S
            self._base_s = 0.0 if own else own_s
            moment = Moment(own_s - self._base_s, None)
        else:
            moment = self._next(own_s, arrived_s - self._last[1], jump)
        self._last = (own_s, arrived_s)
        self._time_s = moment.time_s
        return moment

    def _next(self, own_s: float, waited_s: float, jump: str | None) -> Moment:
        assert self._last is not None
        step_s = own_s - self._last[0]
        taken_s = step_s
        if jump is not None:
            taken_s = self._interval_s
        elif step_s < -_BACK_S:
            jump, taken_s = f"the timestamps jumped back by {-step_s:.1f} s", self._interval_s
        elif step_s > _HOLE_S:
            jump, taken_s = f"no frame for {step_s:.1f} s", self._hole(step_s, waited_s)
        if jump is not None:
            self._pace = Pace()
            self._base_s = own_s - (self._time_s + taken_s)
        return Moment(max(self._time_s + _LEAST_S, own_s - self._base_s), jump)

    def _hole(self, step_s: float, waited_s: float) -> float:
        """How much of a step forward is true."""
        if self._live:
            return min(step_s, max(waited_s, self._interval_s))
        return step_s if step_s <= _LONGEST_HOLE_S else self._interval_s


# Over so long some frame comes without delay, also where they come in bursts.
_WINDOW_S = 4.0
_ASTRAY_S = 1.0


class Pace:
    """Whether timestamps run with the wall clock.

    A frame's delay is its arrival minus its timestamp. Bursts and stalls change the delay of many frames, but the least
    of a few seconds stays where it is; made-up timestamps move it further from window to window.
    """

    def __init__(self) -> None:
        self._began_s: float | None = None
        self._least_s = math.inf
        self._before_s: float | None = None
        self._moved_s = 0.0

    def keeps(self, stamp_s: float, arrived_s: float) -> bool:
        """Takes a frame in; False once the timestamps have moved in one direction in two windows on end."""
        if self._began_s is None:
            self._began_s = arrived_s
        self._least_s = min(self._least_s, arrived_s - stamp_s)
        if arrived_s - self._began_s < _WINDOW_S:
            return True
        moved_s = 0.0 if self._before_s is None else self._least_s - self._before_s
        astray = min(abs(moved_s), abs(self._moved_s)) > _ASTRAY_S and moved_s * self._moved_s > 0
        self._before_s, self._moved_s = self._least_s, moved_s
        self._began_s, self._least_s = arrived_s, math.inf
        return not astray
