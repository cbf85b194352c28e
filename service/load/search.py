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


Holds = Callable[[int], Awaitable[bool]]
"""Makes a step with so many of something, and says whether they are carried."""


async def greatest(holds: Holds, first: int, highest: int) -> int | None:
    """The same for what is counted: doubles, then halves the gap until it is one, or within 5 %.

    Args:
        holds: makes a step.
        first: the number to begin with, at least 1.
        highest: none beyond this is tried.

    Returns:
        The greatest number that was carried, or None where not even one was.
    """
    low, high, count = 0, highest + 1, min(first, highest)
    tried_above = False
    while True:
        if await holds(count):
            low = count
        else:
            high, tried_above = count, True
        if high - low <= max(1, int(low * (_CLOSE - 1))):
            return low or None
        count = (low + high) // 2 if tried_above else min(2 * low, highest)
