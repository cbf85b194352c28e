"""Sampling plans: which moments of a span are looked at."""

import math

import pytest

from service.video.sample import Moment, SamplingPlan

PLAN = SamplingPlan(num_clips=3, clip_len=4, fps=10, anchored=False)
ANCHORED = SamplingPlan(num_clips=3, clip_len=4, fps=10, anchored=True)


def times(plan: SamplingPlan, start_s: float, end_s: float, window: int = 0) -> list[float]:
    return [round(moment.time_s, 9) for moment in plan.moments(start_s, end_s) if moment.window == window]


def steps(plan: SamplingPlan, start_s: float, end_s: float, window: int = 0) -> list[int]:
    return [moment.step for moment in plan.moments(start_s, end_s) if moment.window == window]


@pytest.mark.parametrize(("plan", "moments", "seconds"), [(PLAN, 4, 0.4), (ANCHORED, 5, 0.5)])
def test_a_window_lasts_as_long_as_its_moments_together(plan: SamplingPlan, moments: int, seconds: float) -> None:
    assert plan.moments_per_window == moments
    assert plan.window_s == seconds


@pytest.mark.parametrize(
    ("seconds", "windows"),
    [(0.1, 1), (0.4, 1), (0.79, 1), (0.8, 2), (0.7995, 2), (1.19, 2), (1.2, 3), (60, 3), (36_000, 3)],
)
def test_a_span_gets_as_many_windows_as_fit(seconds: float, windows: int) -> None:
    assert {moment.window for moment in PLAN.moments(0, seconds)} == set(range(windows))


def test_windows_are_centred_in_equal_parts_of_the_span() -> None:
    assert times(PLAN, 2, 5, 0) == [2.3, 2.4, 2.5, 2.6]
    assert times(PLAN, 2, 5, 1) == [3.3, 3.4, 3.5, 3.6]
    assert times(PLAN, 2, 5, 2) == [4.3, 4.4, 4.5, 4.6]


def test_an_anchor_comes_one_moment_before_the_first_step() -> None:
    assert steps(ANCHORED, 0, 3, 2) == [-1, 0, 1, 2, 3]
    assert times(ANCHORED, 0, 3, 2) == [2.25, 2.35, 2.45, 2.55, 2.65]


def test_every_window_has_an_anchor_of_its_own() -> None:
    anchors = [moment.window for moment in ANCHORED.moments(0, 3) if moment.step == -1]
    assert anchors == [0, 1, 2]


def test_a_window_without_anchor_begins_with_step_0() -> None:
    assert steps(PLAN, 0, 3) == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("plan", "seconds", "expected"),
    [
        (PLAN, 0.3, [0, 0.1, 0.2]),
        (PLAN, 0.25, [0, 0.1, 0.2]),
        (PLAN, 0.2005, [0, 0.1]),  # a container's rounding is no moment
        (PLAN, 0.05, [0]),
        (ANCHORED, 0.3, [0, 0.1, 0.2]),
        (ANCHORED, 0.15, [0, 0.1]),
    ],
)
def test_a_short_span_is_looked_at_from_its_start(plan: SamplingPlan, seconds: float, expected: list[float]) -> None:
    assert times(plan, 0, seconds) == expected


@pytest.mark.parametrize("seconds", [0.1, 0.01, 0.0001])
def test_the_shortest_span_has_a_step_from_its_start_to_itself(seconds: float) -> None:
    assert ANCHORED.moments(7, 7 + seconds) == (Moment(7, 0, -1), Moment(7, 0, 0))


def test_a_span_as_long_as_a_window_is_looked_at_whole() -> None:
    assert times(PLAN, 1, 1.4) == [1, 1.1, 1.2, 1.3]


def test_windows_that_touch_do_not_overlap() -> None:
    moments = [moment.time_s for moment in PLAN.moments(0, 1.2)]
    assert moments == pytest.approx([index / 10 for index in range(12)])


@pytest.mark.parametrize(("start_s", "end_s"), [(1, 1), (2, 1), (0, math.inf), (0, math.nan), (math.nan, 1)])
def test_a_span_that_is_empty_or_endless_cannot_be_planned(start_s: float, end_s: float) -> None:
    with pytest.raises(ValueError, match="positive, finite length"):
        PLAN.moments(start_s, end_s)
