"""Which frames of a live sequence are looked at: by their timestamps, never by counting."""

import itertools
import math
import random

import pytest

from service.errors import FrameOutOfOrder, FrameRepeated
from service.video.follow import Follower, Served
from service.video.sample import SamplingPlan

EPOCH_S = 1.75e9


def follower(fps: float = 10.0, gap_s: float = 2.0) -> Follower:
    return Follower(fps, gap_s)


def used(times_s: list[float], fps: float = 10.0) -> list[float]:
    """The timestamps of the frames that are looked at."""
    following = follower(fps)
    return [time_s for time_s in times_s if following.see(time_s) is not None]


@pytest.mark.parametrize("camera_fps", [5, 10, 12.5, 24, 25, 29.97, 30, 50, 60, 120, 240])
@pytest.mark.parametrize("start_s", [0.0, 1.0e-3, 86_400.0, EPOCH_S])
def test_a_camera_of_any_rate_and_clock_is_looked_at_at_the_models_rate(camera_fps: float, start_s: float) -> None:
    following = follower()
    served = [following.see(start_s + index / camera_fps) for index in range(int(20 * camera_fps))]
    seen = [one for one in served if one is not None]
    assert len(seen) == pytest.approx(20 * min(10, camera_fps), abs=1)
    assert following.upto == pytest.approx(200, abs=2), "every moment of twenty seconds is served"
    assert [one.upto for one in seen] == sorted({one.upto for one in seen})
    assert {one.start_s for one in seen} == {start_s}


@pytest.mark.parametrize("camera_fps", [5, 24, 25, 30, 60])
def test_moments_are_served_by_the_frames_that_serve_those_of_a_clip(camera_fps: float) -> None:
    plan = SamplingPlan(num_clips=1, clip_len=16, fps=10, anchored=True)
    times_s = [index / camera_fps for index in range(int(2 * camera_fps))]
    tolerance_s = min(0.25 / camera_fps, 0.5 / plan.fps)
    following, by_moment = follower(), dict[int, float]()
    for time_s in times_s:
        before = following.upto
        served = following.see(time_s)
        by_moment |= dict.fromkeys(range(before, before if served is None else served.upto), time_s)
    for number, moment in enumerate(plan.moments(0, plan.window_s)):
        first = next(time_s for time_s in times_s if time_s >= moment.time_s - tolerance_s - 1e-9)
        assert by_moment[number] == first


def test_jitter_neither_loses_a_moment_nor_looks_at_a_frame_for_none() -> None:
    chance = random.Random(1)
    times_s = [max(0.0, index / 30 + chance.uniform(-0.012, 0.012)) for index in range(600)]
    looked = used(times_s)
    assert len(looked) == pytest.approx(200, abs=2)
    assert max(b - a for a, b in itertools.pairwise(looked)) < 0.16


def test_a_rate_that_changes_on_the_way_changes_nothing() -> None:
    slow = [index / 5 for index in range(50)]
    fast = [10 + index / 60 for index in range(600)]
    following = follower()
    for time_s in [*slow, *fast]:
        following.see(time_s)
    assert following.upto == 200


def test_a_slow_camera_serves_several_moments_with_one_frame() -> None:
    following = follower()
    assert [one and one.upto for one in map(following.see, (0.0, 0.5, 1.0))] == [1, 6, 11]


def test_a_frame_that_no_moment_needs_is_left_out() -> None:
    following = follower()
    assert following.see(0.0) == Served(0.0, 1, None)
    assert following.see(0.033) is None
    assert following.see(0.066) is None
    assert following.see(0.1) == Served(0.0, 2, None)


def test_the_rate_of_the_camera_is_that_of_its_timestamps() -> None:
    following = follower()
    following.see(5.0)
    assert following.camera_fps is None
    for index in range(1, 200):
        following.see(5 + index / 25)
    assert following.camera_fps == pytest.approx(25)
    for index in range(1, 200):
        following.see(5 + 199 / 25 + index / 50)
    assert following.camera_fps == pytest.approx(50, rel=0.01), "of late"


def test_a_repeated_timestamp_is_refused_by_name_and_the_next_frame_is_taken() -> None:
    following = follower()
    following.see(1.0)
    with pytest.raises(FrameRepeated, match=r"1\.000000 s has come already") as refused:
        following.see(1.0)
    assert refused.value.advice
    assert following.see(1.1) == Served(1.0, 2, None)


def test_an_earlier_timestamp_is_refused_by_name_and_the_next_frame_is_taken() -> None:
    following = follower()
    following.see(1.0)
    following.see(1.1)
    with pytest.raises(FrameOutOfOrder, match="is before that of the frame before it"):
        following.see(1.05)
    assert following.see(1.2) == Served(1.0, 3, None)


def test_a_pause_over_the_limit_begins_a_run_and_says_how_long_it_was() -> None:
    following = follower(gap_s=2)
    following.see(0.0)
    assert following.see(2.0) == Served(0.0, 21, None), "just as long as it may be"
    served = following.see(4.5)
    assert served == Served(4.5, 1, 2.5)
    assert following.see(4.6) == Served(4.5, 2, None)


def test_a_pause_does_not_count_as_an_interval_of_the_camera() -> None:
    following = follower()
    for time_s in (0.0, 0.1, 50.0, 50.1):
        following.see(time_s)
    assert following.camera_fps == pytest.approx(10)


@pytest.mark.parametrize(
    "times_s", [(0.0, 5e-324), (-1e308, 1e308), (1e308, math.nextafter(1e308, math.inf)), (0, 1e-9)]
)
def test_no_timestamps_are_too_odd_to_be_followed(times_s: tuple[float, float]) -> None:
    following = follower()
    for time_s in times_s:
        following.see(time_s)
    assert following.upto >= 1
    assert following.camera_fps is None or following.camera_fps > 0


def test_what_frames_led_to_is_plausible() -> None:
    chance = random.Random(2)
    following, time_s = follower(), 0.0
    assert following.plausible
    for _ in range(500):
        time_s += chance.choice((0.001, 0.03, 0.1, 0.7, 1.9, 2.5))
        following.see(time_s)
        assert following.plausible


@pytest.mark.parametrize(
    ("start_s", "last_s", "upto"),
    [(None, None, 3), (None, 1.0, 0), (1.0, None, 1), (5.0, 1.0, 1), (0.0, 1.0, 50), (-1e308, 1e308, 4), (0.0, 1.0, 0)],
)
def test_what_no_frames_can_lead_to_is_not(start_s: float | None, last_s: float | None, upto: int) -> None:
    assert not Follower(10, 2, start_s, upto, last_s).plausible
