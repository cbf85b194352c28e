"""Who may come in: a bounded number of clips is in flight, and whoever finds no slot is told so at once."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterator
from contextlib import contextmanager

from service.errors import Busy, Draining

# How much the newest clip counts in the running mean of how long a clip takes.
_NEWEST = 0.2


class Admission:
    """Slots for clips. Belongs to one event loop.

    Args:
        slots: clips in flight at the same time.
        side_by_side: how many of them are really worked on at a time; used to estimate when a slot will be free.
    """

    def __init__(self, slots: int, side_by_side: int) -> None:
        self.slots = slots
        self.in_flight = 0
        self._side_by_side = side_by_side
        self._typical_s = 1.0
        self._idle = asyncio.Event()
        self._idle.set()
        self._draining = False

    @property
    def draining(self) -> bool:
        """Whether no new clip is taken because the service shuts down."""
        return self._draining

    @contextmanager
    def slot(self) -> Iterator[None]:
        """Holds a slot for the time of the block.

        Raises:
            Busy: none is free.
            Draining: the service shuts down.
        """
        if self._draining:
            raise Draining("the service is shutting down", "Send the clip to another instance, or here again later.")
        if self.in_flight >= self.slots:
            raise Busy(
                f"all {self.slots} slots are taken",
                "Wait as long as Retry-After says, then send the clip again.",
                retry_after_s=math.ceil(self._typical_s * self.slots / self._side_by_side / 2),
            )
        self.in_flight += 1
        self._idle.clear()
        started_s = asyncio.get_running_loop().time()
        try:
            yield
        finally:
            took_s = asyncio.get_running_loop().time() - started_s
            self._typical_s += _NEWEST * (took_s / max(1, self.in_flight / self._side_by_side) - self._typical_s)
            self.in_flight -= 1
            if not self.in_flight:
                self._idle.set()

    def drain(self) -> None:
        """Takes no new clip from now on."""
        self._draining = True

    async def idle(self) -> None:
        """Waits until no clip is in flight."""
        await self._idle.wait()
