"""Who may come in: the work in flight is bounded, and whoever would exceed it is told so at once.

A clip is counted twice. At the door, before its first byte is read, it counts what a clip typically costs, so that an
overloaded service spends nothing on what it will refuse. Once its header is known it counts what it will cost.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from service.errors import Busy, DeadlineExceeded, Draining

# How much the newest clip counts in what a clip typically costs, and in how fast work is done.
_NEWEST = 0.1
# Before the first clip has been answered.
_TYPICAL_S = 0.3
# Clips may be answered in the same moment.
_SHORTEST_S = 1e-3
_WAIT = "Wait as long as Retry-After says, then send the clip again."


@dataclass(slots=True)
class Ticket:
    """A clip's place. Made by `Admission.enter`.

    Attributes:
        cost_s: seconds of one core that the clip counts for.
    """

    cost_s: float
    admission: Admission = field(repr=False)
    priced: bool = False

    def price(self, cost_s: float, left_s: float) -> None:
        """Counts what the clip will really cost.

        Args:
            cost_s: seconds of one core.
            left_s: seconds until its deadline.

        Raises:
            Busy: that is more than there is room for.
            DeadlineExceeded: its turn would come too late.
        """
        self.admission.price(self, cost_s, left_s)


class Admission:
    """Bounds the work in flight. Belongs to one event loop.

    Args:
        slots: clips in flight at the same time; each holds memory.
        cores: how many cores do the work.
        backlog_s: how long the work in flight may take all cores. A clip that alone takes longer is let in when
            nothing else is there.
    """

    def __init__(self, slots: int, cores: int, backlog_s: float) -> None:
        self.slots = slots
        self.in_flight = 0
        self.backlog_s = 0.0
        """Seconds of one core that the clips in flight cost."""
        self._most_s = backlog_s * cores
        self._typical_s = _TYPICAL_S
        # Work done, and the time that it took, both fading: their ratio is the present rate.
        self._done_s, self._took_s = _TYPICAL_S * cores, _TYPICAL_S
        self._counted_at_s = 0.0
        self._idle = asyncio.Event()
        self._idle.set()
        self._draining = False

    @property
    def draining(self) -> bool:
        """Whether no new clip is taken because the service shuts down."""
        return self._draining

    @property
    def rate(self) -> float:
        """Seconds of one core's work that are done in a second, of late."""
        return self._done_s / max(self._took_s, _SHORTEST_S)

    @contextmanager
    def enter(self) -> Iterator[Ticket]:
        """Holds a place for the time of the block.

        Raises:
            Busy: there is no room.
            Draining: the service shuts down.
        """
        if self._draining:
            raise Draining("the service is shutting down", "Send the clip to another instance, or here again later.")
        if self.in_flight >= self.slots:
            raise self._busy(f"all {self.slots} slots are taken", self._typical_s)
        if self.in_flight and self.backlog_s + self._typical_s > self._most_s:
            raise self._full(self.backlog_s, self._typical_s)
        ticket = Ticket(self._typical_s, self)
        if not self.in_flight:
            self._counted_at_s = asyncio.get_running_loop().time()
        self.in_flight += 1
        self.backlog_s += ticket.cost_s
        self._idle.clear()
        try:
            yield ticket
        except BaseException:
            ticket.priced = False  # what came to nothing says nothing about how fast work is done
            raise
        finally:
            self._leave(ticket)

    def price(self, ticket: Ticket, cost_s: float, left_s: float) -> None:
        """See `Ticket.price`."""
        others_s = self.backlog_s - ticket.cost_s
        if self.in_flight > 1 and others_s + cost_s > self._most_s:
            raise self._full(others_s, cost_s)
        expected_s = (others_s + cost_s) / self.rate
        if expected_s > left_s:
            raise DeadlineExceeded(
                f"the clip would take about {expected_s:.1f} s with the work before it, and {max(0.0, left_s):.1f} s "
                "are left to it",
                "Allow more time, send a shorter or smaller clip, or try again later.",
            )
        self.backlog_s = others_s + cost_s
        ticket.cost_s, ticket.priced = cost_s, True

    def _leave(self, ticket: Ticket) -> None:
        now_s = asyncio.get_running_loop().time()
        self.in_flight -= 1
        self.backlog_s = max(0.0, self.backlog_s - ticket.cost_s) if self.in_flight else 0.0
        if ticket.priced:
            self._typical_s += _NEWEST * (ticket.cost_s - self._typical_s)
            self._done_s += _NEWEST * (ticket.cost_s - self._done_s)
            self._took_s += _NEWEST * (now_s - self._counted_at_s - self._took_s)
            self._counted_at_s = now_s
        if not self.in_flight:
            self._idle.set()

    def _full(self, others_s: float, cost_s: float) -> Busy:
        return self._busy(
            f"the clips in flight keep all cores busy for about {others_s / self.rate:.1f} s",
            others_s + cost_s - self._most_s,
        )

    def _busy(self, detail: str, surplus_s: float) -> Busy:
        return Busy(detail, _WAIT, retry_after_s=math.ceil(max(1.0, surplus_s / self.rate)))

    def drain(self) -> None:
        """Takes no new clip from now on."""
        self._draining = True

    async def idle(self) -> None:
        """Waits until no clip is in flight."""
        await self._idle.wait()
