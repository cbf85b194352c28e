"""When frames were: whose time is believed, and what a jump is."""

import itertools
import math

import pytest

from service.watch.clock import Clock, Kind, Moment
from service.watch.wall import WallClock


def ticks(clock: Clock, stamps: list[float], arrivals: list[float]) -> list[Moment]:
    return [clock.tick(stamp, arrived) for stamp, arrived in zip(stamps, arrivals, strict=True)]


def steady(count: int, step: float, start: float = 0.0) -> list[float]:
    return [start + index * step for index in range(count)]


def times(moments: list[Moment]) -> list[float]:
    return [moment.time_s for moment in moments]


def jumps(moments: list[Moment]) -> list[str]:
    return [moment.jump for moment in moments if moment.jump]


def test_a_file_keeps_its_own_times_whenever_its_frames_come() -> None:
    moments = ticks(Clock("auto", False, 0.04), [0.0, 0.1, 1.3], [7.0, 7.0, 7.001])
    assert times(moments) == [0.0, 0.1, 1.3]
    assert not jumps(moments)


def test_a_live_source_begins_at_zero() -> None:
    assert times(ticks(Clock("auto", True, 0.04), [5000.0, 5000.04], [7.0, 7.0])) == pytest.approx([0, 0.04])


def test_bursts_change_no_time() -> None:
    stamps = steady(500, 0.04)
    arrivals = [math.ceil(stamp / 1.5) * 1.5 for stamp in stamps]
    moments = ticks(Clock("auto", True, 0.04), stamps, arrivals)
    assert times(moments) == pytest.approx(stamps)
    assert not jumps(moments)


def test_a_stall_that_is_made_up_for_changes_no_time() -> None:
    stamps = steady(1000, 0.04)
    arrivals = [27.0 if 20 < stamp < 27 else stamp for stamp in stamps]
    clock = Clock("auto", True, 0.04)
    assert times(ticks(clock, stamps, arrivals)) == pytest.approx(stamps)
    assert clock.kind == "auto"


@pytest.mark.parametrize("camera_fps", [5, 10, 50])
def test_timestamps_that_are_made_up_are_found_out(camera_fps: float) -> None:
    clock = Clock("auto", True, 0.04)
    arrivals = steady(20 * int(camera_fps), 1 / camera_fps)
    moments = ticks(clock, steady(len(arrivals), 1 / 25), arrivals)
    assert clock.kind == "arrival"
    assert len(jumps(moments)) == 1
    assert "do not keep pace" in jumps(moments)[0]
    late, later = moments[-2:]
    assert later.time_s - late.time_s == pytest.approx(1 / camera_fps)


def test_a_clock_that_is_told_what_to_believe_does() -> None:
    arrivals = steady(300, 0.1)
    clock = Clock("container", True, 0.04)
    assert times(ticks(clock, steady(300, 0.04), arrivals)) == pytest.approx(steady(300, 0.04))
    clock = Clock("arrival", False, 0.04)
    assert times(ticks(clock, steady(300, 0.04), arrivals)) == pytest.approx(arrivals)


@pytest.mark.parametrize("live", [True, False])
def test_a_jump_back_is_one_and_time_goes_on(live: bool) -> None:
    moments = ticks(Clock("auto", live, 0.04), [9.0, 9.04, 0.0, 0.04], [1.0, 1.04, 1.08, 1.12])
    assert jumps(moments) == ["the timestamps jumped back by 9.0 s"]
    assert moments[2].time_s - moments[1].time_s == pytest.approx(0.04)
    assert moments[3].time_s - moments[2].time_s == pytest.approx(0.04)


def test_a_jump_forward_counts_as_much_as_was_waited_for() -> None:
    moments = ticks(Clock("auto", True, 0.04), [0.0, 0.04, 1000.0, 1000.04], [1.0, 1.04, 1.08, 1.12])
    assert jumps(moments) == ["no frame for 1000.0 s"]
    assert moments[2].time_s == pytest.approx(0.08)
    moments = ticks(Clock("auto", True, 0.04), [0.0, 8.0], [1.0, 9.0])
    assert moments[1] == Moment(8.0, "no frame for 8.0 s")


def test_a_hole_in_a_file_is_kept_and_a_splice_is_not() -> None:
    moments = ticks(Clock("auto", False, 0.04), [0.0, 60.0, 95_000.0], [1.0, 1.0, 1.0])
    assert times(moments) == pytest.approx([0.0, 60.0, 60.04])
    assert len(jumps(moments)) == 2


def test_frames_of_one_time_or_in_the_wrong_order_follow_each_other() -> None:
    moments = ticks(Clock("auto", False, 0.04), [0.0, 0.0, 0.08, 0.04, 0.12], [1.0] * 5)
    assert not jumps(moments)
    assert all(early < late for early, late in itertools.pairwise(times(moments)))
    assert moments[-1].time_s == pytest.approx(0.12)


def test_what_has_no_timestamps_has_the_time_of_its_arrival() -> None:
    moments = ticks(Clock("auto", True, 0.04), [math.nan] * 3, [5.0, 5.1, 5.3])
    assert times(moments) == pytest.approx([0.0, 0.1, 0.3])
    moments = ticks(Clock("container", False, 0.04), [math.nan] * 3, [5.0, 5.1, 5.3])
    assert times(moments) == pytest.approx([0.0, 0.04, 0.08])


def test_a_source_that_begins_again_goes_on_by_one_interval() -> None:
    clock = Clock("auto", False, 0.04)
    ticks(clock, [0.0, 0.04], [1.0, 1.0])
    clock.begin_again()
    moments = ticks(clock, [0.0, 0.04], [1.0, 1.0])
    assert times(moments) == pytest.approx([0.08, 0.12])
    assert [moment.jump for moment in moments] == ["the source began again", None]


@pytest.mark.parametrize("kind", ["auto", "container", "arrival"])
def test_the_first_frame_follows_nothing(kind: Kind) -> None:
    assert Clock(kind, True, 0.04).tick(17.0, 3.0) == Moment(0.0, None)


def test_the_wall_clock_goes_by_the_most_prompt_frame() -> None:
    wall = WallClock()
    assert wall.at(1.0) is None
    wall.take(0.0, 102.0)  # two seconds late
    wall.take(2.0, 102.0)
    first = wall.at(0.0)
    wall.take(3.0, 103.5)
    assert wall.at(0.0) == pytest.approx(first, abs=0.05)
    assert wall.at(5.0) == pytest.approx((first or 0) + 5, abs=0.05)


def test_the_wall_clock_follows_a_camera_whose_clock_is_slow() -> None:
    wall = WallClock()
    for second in range(200):
        wall.take(second * 0.99, 100.0 + second)
    start = wall.at(0.0)
    wall.take(199.0, 300.0)
    assert start == wall.at(0.0) or abs((start or 0) - (wall.at(0.0) or 0)) < 1
