"""When units of work are due."""

from __future__ import annotations

import math
from enum import StrEnum

import numpy as np

# The same moments at every run, so that two runs differ by what was measured alone.
_SEED = 0


class Arrivals(StrEnum):
    """How arrivals are spread over time."""

    FIXED = "fixed"
    POISSON = "poisson"


def due(arrivals: Arrivals, rate: float, seconds: float) -> list[float]:
    """Moments in [0, seconds) at which units are due, in seconds from the beginning, in order.

    Args:
        arrivals: `fixed`, evenly spaced from 0 on; `poisson`, independent of each other, as many callers make them.
            Both are the same in number, so that a short step of either offers the rate that it says.
        rate: units a second.
        seconds: no unit is due at or after this.
    """
    count = math.ceil(round(rate * seconds, 6))
    if arrivals is Arrivals.FIXED:
        return [number / rate for number in range(count)]
    # Given their number, the arrivals of a Poisson process are spread uniformly.
    return [float(moment) for moment in np.sort(np.random.default_rng(_SEED).uniform(0, seconds, count))]
