"""Load that is put on work of the tests' own: open-loop, bounded, cut short in time."""

import asyncio
import itertools
from collections.abc import Callable

import pytest

from service.load.arrivals import Arrivals
from service.load.offer import Pace, offer
from service.load.step import Goal, Step
from service.load.work import ANSWERED, REFUSED, UNFINISHED

pytestmark = pytest.mark.alone

EASY = Goal(p95_s=30.0, errors=0.0)


class Waits:
    """Work that waits.

    Args:
        seconds: how long the unit with this number takes.
        outcome: what comes of it.
    """

    noun = "waits"

    def __init__(self, seconds: Callable[[int], float], outcome: Callable[[int], str] = lambda _: ANSWERED) -> None:
        self.seconds = seconds
        self.outcome = outcome
        self.numbers = itertools.count()
        self.under_way = self.most_under_way = self.cancelled = 0

    async def do(self) -> str:
        number = next(self.numbers)
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            await asyncio.sleep(self.seconds(number))
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.under_way -= 1
        return self.outcome(number)


async def put(
    work: Waits, rate: float, *, seconds: float = 0.5, settle_s: float = 0.0, connections: int = 100, goal: Goal | None
) -> Step:
    pace = Pace(Arrivals.FIXED, seconds, settle_s, connections)
    return await offer(work, rate, pace, goal, lambda _: None)


async def test_units_are_sent_whatever_comes_of_those_before() -> None:
    work = Waits(lambda _: 1.0)
    made = await put(work, 40.0, goal=None)
    assert made.sent == made.answered == 20
    assert work.most_under_way == 20


async def test_latency_counts_from_the_moment_when_a_unit_was_due() -> None:
    """One connection, of which the first unit takes 0.4 s and the others none: those behind it waited too."""
    made = await put(Waits(lambda number: 0.4 if number == 0 else 0.0), 20.0, connections=1, goal=None)
    assert made.sent == 10
    assert made.waited >= 7
    # Due at 0, 0.05, 0.1 ... 0.35 s, and none answered before 0.4 s.
    assert sum(latency_s >= 0.05 for latency_s in made.latencies_s) >= 7


async def test_no_more_are_under_way_than_there_are_connections() -> None:
    work = Waits(lambda _: 0.05)
    made = await put(work, 200.0, connections=3, goal=None)
    assert made.answered == 100
    assert work.most_under_way == 3


async def test_a_step_out_of_reach_is_cut_short_and_leaves_nothing_behind() -> None:
    work, tasks = Waits(lambda number: 0.0 if number < 5 else 3600.0), asyncio.all_tasks()
    made = await put(work, 50.0, seconds=10.0, goal=Goal(p95_s=0.1, errors=0.0))
    # Of 500 units 25 may be late, so it is known soon after 0.7 s.
    assert made.cut_short
    assert made.seconds < 10.0
    assert work.under_way == 0
    assert made.outcomes[UNFINISHED] == work.cancelled > 25
    assert made.answered == 5
    assert len(made.latencies_s) == made.sent == work.cancelled + 5
    assert asyncio.all_tasks() == tasks


async def test_the_outcomes_are_counted() -> None:
    made = await put(Waits(lambda _: 0.0, lambda number: REFUSED if number % 4 == 0 else ANSWERED), 40.0, goal=None)
    assert made.outcomes == {REFUSED: 5, ANSWERED: 15}
    assert (made.answered, made.refused, made.failed) == (15, 5, 0)
    assert len(made.latencies_s) == 15


async def test_refusals_beyond_what_is_allowed_cut_short_at_once() -> None:
    made = await put(Waits(lambda _: 0.0, lambda _: REFUSED), 20.0, seconds=600.0, goal=Goal(p95_s=1.0, errors=0.0001))
    assert made.cut_short
    assert made.refused < 100


async def test_units_that_were_due_while_it_settled_do_not_count() -> None:
    work = Waits(lambda number: 0.0, lambda number: REFUSED if number < 10 else ANSWERED)
    made = await put(work, 40.0, settle_s=0.25, goal=EASY)
    assert made.sent == made.answered == made.finished == 20
    assert not made.cut_short
    assert made.answered_per_s == 40.0


async def test_what_goes_wrong_in_work_is_not_hidden() -> None:
    def broken(_: int) -> float:
        raise ZeroDivisionError

    with pytest.raises(ExceptionGroup) as raised:
        await put(Waits(broken), 10.0, goal=None)
    assert raised.value.subgroup(ZeroDivisionError)
