"""The search for the highest rate, against servers that are arithmetic."""

import math

import pytest

from service.load.arrivals import Arrivals, due
from service.load.search import greatest, search
from service.load.step import Goal, Step
from service.load.work import ANSWERED, REFUSED

SECONDS = 10.0


class Simulated:
    """A server that takes one unit at a time, each for as long as the last, and refuses beyond so many waiting.

    Args:
        capacity: units a second.
        slots: units under way and waiting.
        settle_s: seconds of load before a step is measured.
    """

    def __init__(
        self, capacity: float, slots: float = math.inf, settle_s: float = 2.0, arrivals: Arrivals = Arrivals.FIXED
    ) -> None:
        self.service_s = 1 / capacity
        self.slots = slots
        self.settle_s = settle_s
        self.arrivals = arrivals
        self.goal = Goal(p95_s=1.0, errors=0.01)
        self.tried: list[float] = []

    async def carries(self, rate: float) -> bool:
        self.tried.append(rate)
        return self.goal.fault(self.step(rate)) is None

    def step(self, rate: float) -> Step:
        ends: list[float] = []
        latencies, refused, finished, sent = [], 0, 0, 0
        for moment in due(self.arrivals, rate, self.settle_s + SECONDS):
            measured = moment >= self.settle_s
            sent += measured
            if sum(end > moment for end in ends) >= self.slots:
                refused += measured
                continue
            ends.append(max(moment, ends[-1] if ends else 0.0) + self.service_s)
            finished += self.settle_s <= ends[-1] < self.settle_s + SECONDS
            if measured:
                latencies.append(ends[-1] - moment)
        outcomes = {ANSWERED: len(latencies), REFUSED: refused}
        return Step(rate, SECONDS, sent, outcomes, sorted(latencies), finished)


@pytest.mark.parametrize("capacity", [1.7, 4.6, 5.0, 33.0, 120.0])
@pytest.mark.parametrize("first", [0.1, 1.0, 2.5])
async def test_finds_the_capacity_within_five_percent(capacity: float, first: float) -> None:
    server = Simulated(capacity)
    found = await search(server.carries, first, math.inf)
    assert found is not None
    # A unit more or less in ten seconds cannot be told from chance.
    assert capacity / 1.06 <= found <= capacity * 1.05 + 2 / SECONDS


async def test_a_server_that_refuses_carries_what_it_answers() -> None:
    found = await search(Simulated(5.0, slots=3).carries, 1.0, math.inf)
    assert found == pytest.approx(5.0, rel=0.06)


async def test_random_arrivals_leave_less_of_the_capacity() -> None:
    even = await search(Simulated(20.0, slots=4).carries, 1.0, math.inf)
    random = await search(Simulated(20.0, slots=4, arrivals=Arrivals.POISSON).carries, 1.0, math.inf)
    assert even is not None
    assert random is not None
    assert random < 0.9 * even


async def test_halves_where_the_first_rate_is_too_high() -> None:
    server = Simulated(5.0)
    found = await search(server.carries, 100.0, math.inf)
    assert server.tried[:4] == [100.0, 50.0, 25.0, 12.5]
    assert found == pytest.approx(5.0, rel=0.08)


async def test_gives_up_where_nothing_is_carried() -> None:
    server = Simulated(0.9)  # a lone unit takes longer than is wanted
    assert await search(server.carries, 64.0, math.inf) is None
    assert server.tried[-1] == 1.0


async def test_tries_nothing_beyond_the_highest_rate() -> None:
    server = Simulated(1000.0)
    assert await search(server.carries, 3.0, 20.0) == 20.0
    assert server.tried == [3.0, 6.0, 12.0, 20.0]
    assert await search(server.carries, 30.0, 20.0) == 20.0


async def test_takes_few_steps() -> None:
    server = Simulated(5.0)
    await search(server.carries, 2.0, math.inf)
    assert len(server.tried) <= 7


@pytest.mark.parametrize("limit", [0, 1, 2, 3, 7, 8, 9, 63, 64, 100])
@pytest.mark.parametrize("first", [1, 4, 40])
async def test_the_greatest_number_is_found(limit: int, first: int) -> None:
    tried: list[int] = []

    async def holds(count: int) -> bool:
        tried.append(count)
        return count <= limit

    found = await greatest(holds, first, 64)
    most = min(limit, 64)
    assert (found or 0) <= most
    assert most - (found or 0) <= max(0, most // 20)
    assert len(tried) == len(set(tried))
    assert all(1 <= count <= 64 for count in tried)
