"""Finds the highest rate that a server carries."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable

# How many times the lowest rate tried is below the first.
_DOWN = 64
# The answer is at most this many times below a rate that is not carried.
_CLOSE = 1.05

Carries = Callable[[float], Awaitable[bool]]
"""Makes a step at a rate and says whether it is carried."""


async def search(carries: Carries, first: float, highest: float) -> float | None:
    """Doubles the rate until it is not carried any more, then halves the gap until it is within 5 %.

    Where even the first rate is not carried, it is halved until one is.

    Args:
        carries: makes a step.
        first: the rate to begin with, in units a second.
        highest: none beyond this is tried.

    Returns:
        The highest rate that was carried, or None where not even a 64th of the first was.
    """
    rate = low = min(first, highest)
    if await carries(rate):
        high = math.inf
        while high == math.inf:
            if low == highest:
                return low
            rate = min(2 * low, highest)
            low, high = (rate, high) if await carries(rate) else (low, rate)
    else:
        high = rate
        while not await carries(low := high / 2):
            high = low
            if high <= first / _DOWN:
                return None
    while high > _CLOSE * low:
        rate = math.sqrt(low * high)
        low, high = (rate, high) if await carries(rate) else (low, rate)
    return low
