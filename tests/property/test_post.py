"""Chains of post-processors, whatever the scores and whenever they come."""

import json
from collections import defaultdict
from collections.abc import Iterable
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from numpy.typing import NDArray

from service.post.chain import Chain
from service.post.event import Event
from service.post.observation import Observation

LABELS = ("rest", "run", "jump")
WHOLE = "ema:tau_s=0.3,hysteresis:on=0.5:off=0.3:gap_s=1,repetitions:on=0.1:off=0.05,min_length:seconds=0.4"

pauses = st.one_of(st.floats(0.02, 0.3), st.sampled_from([0.1, 0.1, 5.0]))
scores = npst.arrays(np.float64, len(LABELS), elements=st.floats(0, 1))


@st.composite
def streams(draw: st.DrawFn, most: int = 60) -> list[Observation]:
    """Steps at uneven times, with motion that repeats, noise that does not, or none."""
    steps = draw(st.lists(st.tuples(pauses, scores), min_size=1, max_size=most))
    kind = draw(st.sampled_from(["none", "noise", "wave"]))
    noise = np.random.default_rng(draw(st.integers(0, 100))).normal(size=(len(steps), 20))
    period_s, time_s, made = draw(st.floats(0.5, 2)), 0.0, []
    for (pause_s, values), extra in zip(steps, noise, strict=True):
        time_s += pause_s
        wave = np.sin(2 * np.pi * (time_s / period_s + np.arange(20) / 20))
        motion = {"none": None, "noise": extra, "wave": wave + extra / 10}[kind]
        fresh = bool(draw(st.sampled_from([True, True, True, False])))
        made.append(Observation(time_s, values, None if motion is None else motion.astype(np.float32), fresh))
    return made


def told(chain: Chain, steps: Iterable[Observation]) -> list[Event]:
    return [event for step in steps for event in chain.see(step)]


@given(streams(), st.data())
def test_a_run_in_two_pieces_with_the_state_moved_between_is_the_whole_run(
    steps: list[Observation], data: st.DataObject
) -> None:
    cut = data.draw(st.integers(0, len(steps)))
    whole, first, second = (Chain.parse(WHOLE, LABELS) for _ in range(3))
    expected = told(whole, steps) + whole.end()
    before = told(first, steps[:cut])
    second.load(json.loads(json.dumps(first.dump(), allow_nan=False)))
    assert before + told(second, steps[cut:]) + second.end() == expected
    np.testing.assert_array_equal(second.scores, whole.scores)
    assert second.dump() == whole.dump()


@given(scores, scores, st.floats(0.05, 5), st.integers(1, 20), st.integers(1, 20))
def test_smoothing_does_not_depend_on_the_rate(
    before: NDArray[np.float64], after: NDArray[np.float64], tau_s: float, slow: int, fast: int
) -> None:
    ends = []
    for rate in (slow, fast):
        chain = Chain.parse(f"ema:tau_s={tau_s}", LABELS)
        chain.see(Observation(0, before))
        for step in range(1, 2 * rate + 1):
            chain.see(Observation(step / rate, after))
        ends.append(chain.scores)
    np.testing.assert_allclose(ends[0], ends[1], rtol=1e-9, atol=1e-12)  # type: ignore[arg-type]


@given(streams())
def test_smoothed_scores_lie_between_those_seen(steps: list[Observation]) -> None:
    chain = Chain.parse("ema", LABELS)
    told(chain, steps)
    seen = np.asarray([step.scores for step in steps])
    assert chain.scores is not None
    assert (chain.scores <= seen.max(axis=0) + 1e-12).all()
    assert (chain.scores >= seen.min(axis=0) - 1e-12).all()


@pytest.mark.parametrize("text", ["hysteresis", WHOLE, "repetitions:on=0.1:off=0.05", "hysteresis,min_length"])
@given(steps=streams())
def test_events_begin_once_end_once_and_never_overlap_those_of_their_label(text: str, steps: list[Observation]) -> None:
    chain = Chain.parse(text, LABELS)
    events = told(chain, steps) + chain.end()
    by_label: defaultdict[tuple[str, int], list[Event]] = defaultdict(list)
    going: dict[tuple[str, int], Event] = {}
    for event in events:
        key = event.processor, event.label_id
        assert event.label == LABELS[event.label_id]
        if event.end_s is None:
            counted = key in going and (event.count or 0) > (going[key].count or 0)
            assert key not in going or counted
            going[key] = event
        else:
            assert going.pop(key).start_s == event.start_s
            assert event.start_s <= event.end_s
            by_label[key].append(event)
    assert not going
    for one in by_label.values():
        assert all(a.end_s is not None and a.end_s <= b.start_s for a, b in pairwise(one))


@given(streams(), st.floats(0, 2))
def test_no_event_told_is_shorter_than_was_asked(steps: list[Observation], seconds: float) -> None:
    chain = Chain.parse(f"hysteresis:on=0.5:off=0.4,min_length:seconds={seconds}", LABELS)
    ended = [event for event in told(chain, steps) + chain.end() if event.end_s is not None]
    assert all(event.end_s is not None and event.end_s - event.start_s >= seconds for event in ended)


@pytest.mark.parametrize("rate", [10.0, 60.0, 1000.0])
def test_what_is_remembered_is_bounded_however_long_and_fast_the_stream(rate: float) -> None:
    chain = Chain.parse("ema,hysteresis,repetitions:window_s=4:max_period_s=2:min_period_s=0.1,min_length", LABELS)
    random = np.random.default_rng(0)
    sizes = []
    for step in range(1200):
        chain.see(Observation(step / rate, random.random(3), random.normal(size=20).astype(np.float32)))
        if step % 100 == 99:
            sizes.append(len(json.dumps(chain.dump())))
    assert max(sizes) < 100_000
    if rate < 1000:  # else the window is not full yet
        assert sizes[-1] < 1.02 * sizes[len(sizes) // 2] + 500
