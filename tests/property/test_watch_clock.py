"""Whatever a container says, times rise, and a file's own times are kept."""

import itertools
import math

from hypothesis import given
from hypothesis import strategies as st

from service.watch.clock import Clock, Kind

STAMPS = st.floats(allow_nan=True, allow_infinity=True) | st.floats(-1e6, 1e6)
KINDS: st.SearchStrategy[Kind] = st.sampled_from(["auto", "container", "arrival"])


@given(st.lists(st.tuples(STAMPS, st.floats(0, 10)), min_size=1, max_size=60), KINDS, st.booleans())
def test_times_are_finite_and_rise(frames: list[tuple[float, float]], kind: Kind, live: bool) -> None:
    clock, arrived_s, times = Clock(kind, live, 0.04), 100.0, []
    for stamp_s, waited_s in frames:
        arrived_s += waited_s
        times.append(clock.tick(stamp_s, arrived_s).time_s)
    assert all(math.isfinite(time_s) and time_s >= 0 for time_s in times)
    assert all(early < late for early, late in itertools.pairwise(times))


@given(st.lists(st.floats(0.01, 3), max_size=60))
def test_a_files_own_times_are_kept_however_they_are_spread(steps: list[float]) -> None:
    stamps = list(itertools.accumulate(steps, initial=0.0))
    clock = Clock("auto", False, 0.04)
    moments = [clock.tick(stamp_s, 5.0) for stamp_s in stamps]
    assert all(abs(moment.time_s - stamp_s) < 1e-6 for moment, stamp_s in zip(moments, stamps, strict=True))
    assert not any(moment.jump for moment in moments)
