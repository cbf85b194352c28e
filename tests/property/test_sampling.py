"""Sampling plans, whatever the plan and the span."""

import math
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from service.video.sample import SamplingPlan

plans = st.builds(
    SamplingPlan,
    num_clips=st.integers(1, 12),
    clip_len=st.integers(1, 64),
    fps=st.floats(0.5, 60),
    anchored=st.booleans(),
)
starts = st.floats(0, 3600)
lengths = st.floats(1e-3, 3600)


@given(plans, starts, lengths)
def test_moments_come_in_order_and_none_is_outside_the_span(
    plan: SamplingPlan, start_s: float, length_s: float
) -> None:
    end_s = start_s + length_s
    moments = plan.moments(start_s, end_s)
    times = [moment.time_s for moment in moments]
    assert times == sorted(times)
    assert times[0] >= start_s
    assert times[-1] < end_s + 1e-9
    assert [(moment.window, moment.step) for moment in moments] == sorted((one.window, one.step) for one in moments)


@given(plans, starts, lengths)
def test_there_are_one_to_num_clips_windows_all_alike(plan: SamplingPlan, start_s: float, length_s: float) -> None:
    moments = plan.moments(start_s, start_s + length_s)
    windows = {moment.window for moment in moments}
    assert windows == set(range(len(windows)))
    assert 1 <= len(windows) <= plan.num_clips
    steps = [[moment.step for moment in moments if moment.window == window] for window in windows]
    assert all(one == steps[0] for one in steps)
    assert steps[0] == list(range(-int(plan.anchored), len(steps[0]) - int(plan.anchored)))
    assert 1 <= len([step for step in steps[0] if step >= 0]) <= plan.clip_len


@given(plans, starts, lengths)
def test_windows_do_not_overlap(plan: SamplingPlan, start_s: float, length_s: float) -> None:
    moments = plan.moments(start_s, start_s + length_s)
    for before, after in pairwise(moments):
        if before.window != after.window:
            assert after.time_s - before.time_s >= 1 / plan.fps - 2e-3  # the plan's own rounding


@given(plans, starts, lengths)
def test_moments_of_a_window_are_a_step_of_the_models_rate_apart(
    plan: SamplingPlan, start_s: float, length_s: float
) -> None:
    moments = plan.moments(start_s, start_s + length_s)
    for before, after in pairwise(moments):
        if before.window == after.window and after.time_s != before.time_s:
            assert math.isclose(after.time_s - before.time_s, 1 / plan.fps, rel_tol=1e-6, abs_tol=1e-9)


@given(plans, starts, st.floats(1, 10))
def test_a_span_with_room_for_a_window_gets_full_ones(plan: SamplingPlan, start_s: float, times: float) -> None:
    moments = plan.moments(start_s, start_s + plan.window_s * times)
    windows = 1 + max(moment.window for moment in moments)
    assert len(moments) == windows * plan.moments_per_window
    assert windows == min(plan.num_clips, math.floor(times)) or math.isclose(times, round(times), abs_tol=0.1)


@given(plans, starts, lengths, st.floats(0, 1000))
def test_the_plan_of_a_later_span_is_the_same_later(
    plan: SamplingPlan, start_s: float, length_s: float, later_s: float
) -> None:
    # Powers of two, so that adding is exact.
    start_s, length_s, later_s = (math.ceil(value * 64) / 64 for value in (start_s, length_s, later_s))
    here = plan.moments(start_s, start_s + length_s)
    there = plan.moments(start_s + later_s, start_s + later_s + length_s)
    assert [(one.window, one.step) for one in here] == [(one.window, one.step) for one in there]
    assert all(
        math.isclose(one.time_s + later_s, other.time_s, abs_tol=1e-6) for one, other in zip(here, there, strict=True)
    )


@given(plans, starts, lengths, st.data())
def test_each_step_gets_the_timestamp_of_its_moment_wherever_the_clip_ends(
    plan: SamplingPlan, start_s: float, length_s: float, data: st.DataObject
) -> None:
    moments = plan.moments(start_s, start_s + length_s)
    seen = moments[: data.draw(st.integers(1 + int(plan.anchored), len(moments)))]
    expected = [
        tuple(moment.time_s for moment in seen if moment.window == window and moment.step >= 0)
        for window in range(1 + seen[-1].window)
    ]
    steps = [len(times) for times in expected if times]  # of the last window, perhaps only the anchor was seen
    found = plan.times_of_steps([moment.time_s for moment in seen], steps)
    assert found == tuple(expected[: len(steps)])
