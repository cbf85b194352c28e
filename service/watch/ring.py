"""The last seconds of a source, as encoded pictures."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Still:
    """One frame.

    Attributes:
        time_s: when it was, in seconds of the source.
        jpeg: the picture, encoded.
        width, height: in pixels.
    """

    time_s: float
    jpeg: bytes
    width: int
    height: int


class Ring:
    """Keeps the newest frames, so many seconds and so many bytes of them at most.

    Args:
        seconds: from the oldest to the newest.
        most_bytes: of all pictures together.
    """

    def __init__(self, seconds: float, most_bytes: int) -> None:
        self._seconds = seconds
        self._most_bytes = most_bytes
        self._stills: deque[Still] = deque()
        self.bytes = 0
        """What is kept."""
        self.forgot_s = -math.inf
        """The moment of the last frame that was let go."""

    def push(self, still: Still) -> None:
        """Takes the newest frame in, and lets go of those that are too old or too many."""
        self._stills.append(still)
        self.bytes += len(still.jpeg)
        while self.bytes > self._most_bytes or still.time_s - self._stills[0].time_s > self._seconds:
            oldest = self._stills.popleft()
            self.bytes -= len(oldest.jpeg)
            self.forgot_s = oldest.time_s
            if not self._stills:
                return

    def since(self, time_s: float) -> Iterator[Still]:
        """The frames from a moment on, oldest first."""
        return (still for still in self._stills if still.time_s >= time_s)
