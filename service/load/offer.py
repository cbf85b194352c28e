"""Offers units of work at a rate, and measures what comes of them."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

from service.load.arrivals import Arrivals, due
from service.load.step import Goal, Step, percentile
from service.load.work import ANSWERED, UNFINISHED, Work

# How often it is looked whether a step has ended or is out of reach.
_LOOK_S = 0.05
# Units of one step at most: what they came to is kept, and so are those that wait.
MOST_UNITS = 100_000


@dataclass(frozen=True, slots=True)
class Pace:
    """How a step is made.

    Attributes:
        arrivals: how units are spread.
        seconds: how long is measured.
        settle_s: for how many seconds units are offered before that.
        connections: units under way at a time; those that are due beyond it wait, and their latency counts that.
    """

    arrivals: Arrivals
    seconds: float
    settle_s: float
    connections: int

    @classmethod
    def of(cls, arrivals: Arrivals, seconds: float, goal: Goal, connections: int) -> Self:
        """A pace that settles for as long as answers may take, and a fifth of a step at least, a whole one at most."""
        return cls(arrivals, seconds, min(seconds, max(seconds / 5, goal.p95_s)), connections)

    @property
    def whole_s(self) -> float:
        """Seconds in which units are due."""
        return self.settle_s + self.seconds

    @property
    def highest_rate(self) -> float:
        """Units a second that stay within the bound on one step."""
        return MOST_UNITS / self.whole_s


async def offer(work: Work, rate: float, pace: Pace, goal: Goal | None, tick: Callable[[float], None]) -> Step:
    """Offers units at a rate and waits for what comes of them.

    Args:
        work: what is offered.
        rate: units a second.
        pace: how.
        goal: a step that cannot reach this any more is given up; without one it goes on to its end.
        tick: called now and then with the seconds since the beginning.
    """
    run = _Run(work, rate, pace, goal)
    async with asyncio.TaskGroup() as group:
        sending = group.create_task(run.send(group))
        while not sending.done() or run.under_way:
            if run.out_of_reach:
                sending.cancel()
                run.cut_short()
                break
            tick(time.perf_counter() - run.begun_s)
            await asyncio.sleep(_LOOK_S)
    return run.step()


class _Run:
    """A step under way."""

    def __init__(self, work: Work, rate: float, pace: Pace, goal: Goal | None) -> None:
        self._work = work
        self._rate = rate
        self._goal = goal
        self._moments = due(pace.arrivals, rate, pace.whole_s)
        self._planned = sum(moment >= pace.settle_s for moment in self._moments)
        self._connections = asyncio.Semaphore(pace.connections)
        self._outcomes: Counter[str] = Counter()
        self._latencies_s: list[float] = []
        self._lags_s: list[float] = []
        self._late = self._finished = self._waited = 0
        self._cut_short = False
        # Each with the moment at which it was due, in that order.
        self.under_way: dict[asyncio.Task[None], float] = {}
        self.begun_s = time.perf_counter()
        self._from_s = self.begun_s + pace.settle_s
        self._until_s = self._from_s + pace.seconds

    async def send(self, group: asyncio.TaskGroup) -> None:
        """Begins every unit when it is due."""
        for moment in self._moments:
            due_s = self.begun_s + moment
            # Sleeps, be it for no time, also when it is behind: answers have to be read too.
            await asyncio.sleep(max(0.0, due_s - time.perf_counter()))
            task = group.create_task(self._one(due_s))
            self.under_way[task] = due_s
            task.add_done_callback(self.under_way.pop)

    async def _one(self, due_s: float) -> None:
        measured = due_s >= self._from_s
        if measured:
            self._lags_s.append(time.perf_counter() - due_s)
            self._waited += self._connections.locked()
        async with self._connections:
            outcome = await self._work.do()
        done_s = time.perf_counter()
        if outcome == ANSWERED:
            self._finished += self._from_s <= done_s < self._until_s
        if measured:
            self._outcomes[outcome] += 1
            if outcome == ANSWERED:
                self._latencies_s.append(done_s - due_s)
                self._late += self._goal is not None and done_s - due_s > self._goal.p95_s

    def _ages_s(self) -> list[float]:
        """Of measured units that have no answer yet, how long ago they were due; the oldest first."""
        now_s = time.perf_counter()
        return [now_s - due_s for due_s in self.under_way.values() if due_s >= self._from_s]

    @property
    def out_of_reach(self) -> bool:
        """Whether the goal is missed whatever comes."""
        if self._goal is None:
            return False
        late = self._late + sum(age_s > self._goal.p95_s for age_s in self._ages_s())
        without_answer = self._outcomes.total() - self._outcomes[ANSWERED]
        return self._goal.out_of_reach(self._planned, late, without_answer)

    def cut_short(self) -> None:
        """Gives up the units under way."""
        ages_s = self._ages_s()
        self._latencies_s += ages_s
        self._outcomes[UNFINISHED] += len(ages_s)
        self._until_s = min(self._until_s, time.perf_counter())
        self._cut_short = True
        for task in list(self.under_way):
            task.cancel()

    def step(self) -> Step:
        """What came of it."""
        return Step(
            rate=self._rate,
            seconds=self._until_s - self._from_s,
            sent=self._outcomes.total(),
            outcomes=dict(self._outcomes),
            latencies_s=sorted(self._latencies_s),
            finished=self._finished,
            cut_short=self._cut_short,
            waited=self._waited,
            lag_s=percentile(sorted(self._lags_s), 95) or 0.0,
        )
