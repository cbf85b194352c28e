"""A step's figures, and when it is good enough."""

import itertools
import random

import pytest

from service.load.arrivals import Arrivals, due
from service.load.step import Goal, Step, percentile
from service.load.work import ANSWERED, CONNECTION, REFUSED, TIMEOUT, UNFINISHED

pytestmark = pytest.mark.alone

GOAL = Goal(p95_s=1.0, errors=0.01)


def step(
    *latencies_s: float,
    refused: int = 0,
    failed: int = 0,
    finished: int | None = None,
    cut_short: bool = False,
) -> Step:
    answered = len(latencies_s)
    return Step(
        rate=10.0,
        seconds=10.0,
        sent=answered + refused + failed,
        outcomes={ANSWERED: answered, REFUSED: refused, "503": failed},
        latencies_s=sorted(latencies_s),
        finished=answered if finished is None else finished,
        cut_short=cut_short,
    )


def test_percentiles_are_values_that_were_measured() -> None:
    values = [float(value) for value in range(1, 101)]
    assert [percentile(values, percent) for percent in (1, 50, 95, 99, 100)] == [1, 50, 95, 99, 100]
    assert percentile([7.0], 95) == 7.0
    assert percentile([1.0, 2.0], 50) == 1.0
    assert percentile([], 95) is None


def test_a_refusal_is_no_failure_and_no_answer() -> None:
    outcomes = {ANSWERED: 5, REFUSED: 3, "503": 1, "504": 1, TIMEOUT: 1, CONNECTION: 2, UNFINISHED: 4}
    made = Step(1.0, 10.0, 17, outcomes, [0.1] * 9, 5)
    assert (made.answered, made.refused, made.failed) == (5, 3, 5)
    assert made.answered_per_s == 0.5
    assert made.latency_ms(50) == pytest.approx(100)


@pytest.mark.parametrize(
    ("made", "fault"),
    [
        (step(*[0.2] * 95, *[9.0] * 5), None),
        (step(*[0.2] * 94, *[1.5] * 6), "p95 1500 ms"),
        (step(*[0.2] * 94, *[1.5] * 6, cut_short=True), "p95 over 1000 ms"),
        (step(*[0.2] * 99, refused=1), None),
        (step(*[0.2] * 98, refused=2), "2.0% refused (429)"),
        (step(*[0.2] * 97, refused=1, failed=2), "3.0% failed"),
        (step(*[0.2] * 9, failed=3, cut_short=True), "over 1% failed"),
        (step(*[0.2] * 100, finished=93), "fell behind: 9.30/s"),
        (step(*[0.2] * 100, finished=94), None),
        (step(), "nothing was sent"),
    ],
)
def test_what_is_at_fault(made: Step, fault: str | None) -> None:
    assert GOAL.fault(made) == fault


def test_a_step_too_short_to_tell_is_not_said_to_fall_behind() -> None:
    assert Goal(p95_s=5.0, errors=0.01).fault(step(*[0.2] * 100, finished=50)) is None


def test_what_is_out_of_reach_does_fail_in_the_end() -> None:
    chance = random.Random(0)
    for _ in range(2000):
        planned = chance.randint(1, 60)
        goal = Goal(p95_s=1.0, errors=chance.choice([0.0, 0.01, 0.1]))
        late = chance.randint(0, planned)
        failed = chance.randint(0, planned - late)
        if goal.out_of_reach(planned, late, failed):
            made = step(*[2.0] * late, *[0.1] * (planned - late - failed), failed=failed)
            assert goal.fault(made) is not None


def test_what_is_within_reach_is_not_given_up() -> None:
    assert not GOAL.out_of_reach(100, late=5, without_answer=1)
    assert GOAL.out_of_reach(100, late=6, without_answer=0)
    assert GOAL.out_of_reach(100, late=0, without_answer=2)


def test_fixed_arrivals_are_even() -> None:
    assert due(Arrivals.FIXED, 4.0, 1.0) == [0.0, 0.25, 0.5, 0.75]
    assert due(Arrivals.FIXED, 0.5, 1.0) == [0.0]


def test_poisson_arrivals_are_as_many_in_order_and_the_same_again() -> None:
    moments = due(Arrivals.POISSON, 100.0, 20.0)
    assert len(moments) == 2000
    assert moments == sorted(moments) == due(Arrivals.POISSON, 100.0, 20.0)
    assert 0 <= moments[0] < moments[-1] < 20.0
    gaps = [later - earlier for earlier, later in itertools.pairwise(moments)]
    # As many gaps under the mean as an exponential distribution has.
    assert sum(gap < 0.01 for gap in gaps) / len(gaps) == pytest.approx(0.632, abs=0.05)
