"""What the wall clock showed at a moment of a live source."""

from __future__ import annotations

import math
import time

# Frames of one burst tell little; the most prompt of the last minute tells when frames are taken.
_WINDOW_S = 30.0


class WallClock:
    """From seconds of a source to seconds since 1970: by the frame that came with the least delay lately."""

    def __init__(self) -> None:
        self._before_s = self._least_s = math.inf
        self._began_s = -math.inf

    def take(self, time_s: float, arrived_s: float) -> None:
        """Takes in a frame: its time, and when it came by the clock of `time.monotonic`."""
        if arrived_s - self._began_s > _WINDOW_S:
            self._began_s = arrived_s
            self._before_s, self._least_s = self._least_s, math.inf
        self._least_s = min(self._least_s, arrived_s - time_s)

    def at(self, time_s: float) -> float | None:
        """The wall clock at a moment, in seconds since 1970; None before the first frame."""
        least_s = min(self._before_s, self._least_s)
        return time_s + least_s + time.time() - time.monotonic() if math.isfinite(least_s) else None
