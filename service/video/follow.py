"""Which frames of a live sequence are looked at, decided by their timestamps as they come."""

from __future__ import annotations

import math
from dataclasses import dataclass

from service.errors import FrameOutOfOrder, FrameRepeated

# How far before its moment a frame may be, in frames, and never more than half a step: as for clips.
_TOLERANCE, _MOST_STEPS = 0.25, 0.5
_EPSILON_STEPS = 1e-6
# No more than that the moments served are from where the timestamps are: a frame may come early, or serve none.
_MOST_APART = 2
# How much the newest interval counts in what is told of the camera's rate.
_NEWEST = 0.1


@dataclass(frozen=True, slots=True)
class Served:
    """What a frame is looked at for.

    Attributes:
        start_s: the timestamp of the first frame of the run of frames that it belongs to: the run's moment 0.
        upto: moments of the run that have come by now; the last of them is this frame's.
        gap_s: seconds since the frame before where those were too many, so that this frame begins a run.
    """

    start_s: float
    upto: int
    gap_s: float | None


@dataclass(slots=True)
class Follower:
    """Follows the timestamps of one stream.

    Moment k of a run is at `start_s + k / fps`. As for clips, it is served by the first frame that is not before it,
    within a quarter of a frame's time; a frame may serve several, or none.

    Attributes:
        fps: moments a second.
        gap_s: a longer pause begins a new run.
        start_s: moment 0, None before the first frame.
        upto: moments served so far.
        last_s: timestamp of the frame before, None before the first.
        interval_s: the mean interval of late, None before the second frame.
    """

    fps: float
    gap_s: float
    start_s: float | None = None
    upto: int = 0
    last_s: float | None = None
    interval_s: float | None = None

    @property
    def camera_fps(self) -> float | None:
        """Frames a second of late, as their timestamps tell."""
        return None if self.interval_s is None else 1 / self.interval_s

    def see(self, time_s: float) -> Served | None:
        """Takes note of a frame; None where no moment needs it.

        Args:
            time_s: its timestamp in seconds, of any clock that only goes forward.

        Raises:
            FrameRepeated: the frame before has the same timestamp.
            FrameOutOfOrder: the frame before has a later one.
        """
        gap_s = self._gap(time_s)
        before_s, self.last_s = self.last_s, time_s
        if before_s is None or self.start_s is None or gap_s > self.gap_s:
            self.start_s, self.upto = time_s, 1
            return Served(time_s, 1, gap_s if before_s is not None and gap_s > self.gap_s else None)
        self.interval_s = gap_s if self.interval_s is None else self.interval_s + _NEWEST * (gap_s - self.interval_s)
        ahead = min(_TOLERANCE * gap_s * self.fps, _MOST_STEPS)
        upto = math.floor((time_s - self.start_s) * self.fps + ahead + _EPSILON_STEPS) + 1
        if upto <= self.upto:
            return None
        self.upto = upto
        return Served(self.start_s, upto, None)

    @property
    def plausible(self) -> bool:
        """Whether frames can have led to this; what a state from elsewhere says need not be so."""
        if self.start_s is None or self.last_s is None:
            return self.start_s is self.last_s and self.upto == 0
        steps = (self.last_s - self.start_s) * self.fps
        return steps >= 0 and abs(self.upto - 1 - steps) <= _MOST_APART

    def _gap(self, time_s: float) -> float:
        if self.last_s is None:
            return 0.0
        if time_s == self.last_s:
            raise FrameRepeated(
                f"a frame with the timestamp {time_s:.6f} s has come already",
                "Give every frame its own timestamp, and send it once.",
            )
        if time_s < self.last_s:
            raise FrameOutOfOrder(
                f"the frame's timestamp {time_s:.6f} s is before that of the frame before it, {self.last_s:.6f} s",
                "Send frames in order of time; after a jump back, reset the stream.",
            )
        return time_s - self.last_s
