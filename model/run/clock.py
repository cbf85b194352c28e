"""How long something may take."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

_MINUTE_S = 60.0


@dataclass
class Clock:
    """Runs from when it is made.

    Attributes:
        minutes: the most that all may take; None for as long as it takes.
        now: what tells the time, in seconds.
    """

    minutes: float | None = None
    now: Callable[[], float] = time.monotonic
    _began_s: float = field(init=False)

    def __post_init__(self) -> None:
        self._began_s = self.now()

    @property
    def passed_s(self) -> float:
        """Seconds since it was made."""
        return self.now() - self._began_s

    def left_s(self, share: float = 1.0) -> float:
        """Seconds until this share of the time is used up; negative afterwards, endless without a limit."""
        return float("inf") if self.minutes is None else share * self.minutes * _MINUTE_S - self.passed_s
