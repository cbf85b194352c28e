"""Post-processors one by one: what they do to scores that a person can follow."""

import json
import math
from typing import Any

import numpy as np
import pytest

from service.errors import MalformedRequest
from service.post.chain import Chain
from service.post.event import Event
from service.post.observation import Observation

LABELS = ("rest", "run", "jump")


def scored(time_s: float, **scores: float) -> Observation:
    """A step with these scores; the rest is rest."""
    values = [1 - sum(scores.values()), scores.get("run", 0.0), scores.get("jump", 0.0)]
    return Observation(time_s, np.asarray(values))


def told(chain: Chain, *steps: Observation) -> list[Event]:
    return [event for step in steps for event in chain.see(step)]


def spans(events: list[Event]) -> list[tuple[str, float, float | None]]:
    return [(event.label, event.start_s, event.end_s) for event in events]


def test_after_tau_63_percent_of_a_change_have_arrived() -> None:
    chain = Chain.parse("ema:tau_s=2", LABELS)
    told(chain, scored(0, run=0.0), scored(2, run=1.0))
    assert chain.scores is not None
    assert chain.scores[1] == pytest.approx(1 - math.exp(-1))
    assert chain.scores.sum() == pytest.approx(1)


def test_before_the_first_step_there_are_no_scores() -> None:
    assert Chain.parse("ema", LABELS).scores is None


def test_an_action_lasts_from_on_until_off() -> None:
    chain = Chain.parse("hysteresis:on=0.6:off=0.4", LABELS)
    rising = told(chain, scored(0, run=0.5), scored(1, run=0.6), scored(2, run=0.9), scored(3, run=0.45))
    assert [one for one in rising if one.label == "run"] == [Event("hysteresis", "run", 1, 1, None, 0.6)]
    falling = told(chain, scored(4, run=0.3))
    assert falling[0] == Event("hysteresis", "run", 1, 1, 4, 0.9)


def test_a_gap_ends_what_was_going_on_where_it_was_last_seen() -> None:
    chain = Chain.parse("hysteresis:gap_s=2", LABELS)
    events = told(chain, scored(0, run=0.9), scored(1, run=0.9), scored(9, run=0.9))
    assert spans(events) == [("run", 0, None), ("run", 0, 1), ("run", 9, None)]


def test_the_end_closes_what_is_open_once() -> None:
    chain = Chain.parse("hysteresis", LABELS)
    told(chain, scored(0, run=0.9), scored(1, run=0.8))
    assert spans(chain.end()) == [("run", 0, 1)]
    assert chain.end() == []


def test_smoothing_before_thresholds_keeps_a_flicker_out() -> None:
    flicker = [scored(step / 10, run=0.9 if step == 5 else 0.1) for step in range(10)]
    assert [one.label for one in told(Chain.parse("ema,hysteresis", LABELS), *flicker)] == ["rest"]
    assert "run" in [one.label for one in told(Chain.parse("hysteresis", LABELS), *flicker)]


def test_a_short_event_is_never_told() -> None:
    chain = Chain.parse("hysteresis,min_length:seconds=2", LABELS)
    assert not told(
        chain, scored(0, run=0.9), scored(1, run=0.9), scored(1.5, run=0.5, jump=0.3), scored(1.9, jump=0.3)
    )


def test_a_long_event_is_told_when_it_has_lasted_long_enough() -> None:
    chain = Chain.parse("hysteresis,min_length:seconds=2", LABELS)
    assert not told(chain, scored(0, run=0.7), scored(1, run=0.9))
    assert chain.see(scored(2, run=0.8)) == [Event("hysteresis", "run", 1, 0, None, 0.9)]
    assert spans(chain.see(scored(3, jump=0.5))) == [("run", 0, 3)]


def test_an_event_that_is_long_enough_only_at_its_end_is_told_whole() -> None:
    chain = Chain.parse("hysteresis,min_length:seconds=2", LABELS)
    told(chain, scored(0, run=0.7), scored(1, run=0.9))
    assert spans(chain.see(scored(2.5, jump=0.5))) == [("run", 0, None), ("run", 0, 2.5)]


def test_an_end_withholds_what_was_short_and_closes_what_was_told() -> None:
    chain = Chain.parse("hysteresis,min_length:seconds=2", LABELS)
    told(chain, scored(0, run=0.7), scored(1, run=0.9))
    assert chain.end() == []
    told(chain, scored(2, run=0.7), scored(4, run=0.9))
    assert spans(chain.end()) == [("run", 2, 4)]


def test_a_step_that_is_not_later_or_has_no_scores_is_passed_by() -> None:
    chain = Chain.parse("hysteresis", LABELS)
    told(chain, scored(1, run=0.9))
    nothing = Observation(2, np.asarray([math.nan, 0.5, 0.5]))
    assert not told(chain, scored(1, jump=0.9), scored(0.5, jump=0.9), nothing)
    assert spans(chain.see(scored(2, jump=0.9))) == [("run", 1, 2), ("jump", 2, None)]


def test_scores_of_another_model_are_a_mistake() -> None:
    with pytest.raises(ValueError, match="for 3 labels"):
        Chain.parse("ema", LABELS).see(Observation(0, np.ones(2)))


def test_reset_forgets_and_closes_nothing() -> None:
    chain = Chain.parse("ema,hysteresis,min_length,repetitions", LABELS)
    told(chain, *(moving(step, 1.0) for step in range(60)))
    chain.reset()
    assert chain.scores is None
    assert chain.end() == []
    assert chain.dump() == Chain.parse("ema,hysteresis,min_length,repetitions", LABELS).dump()


# What moves about a circle in some plane of 1280 features, as a limb does in those of an encoder.
_PLANE = np.random.default_rng(1).normal(size=(2, 1280))
_NOISE = np.random.default_rng(2).normal(size=(1000, 1280))


def moving(step: int, period_s: float, noise: float = 0.3, rate: float = 10.0) -> Observation:
    angle = 2 * math.pi * step / rate / period_s if period_s else 0.0
    motion = math.cos(angle) * _PLANE[0] + math.sin(angle) * _PLANE[1] + noise * _NOISE[step % 1000]
    return Observation(step / rate, np.asarray([0.1, 0.1, 0.8]), motion.astype(np.float32))


@pytest.mark.parametrize("period_s", [0.5, 0.73, 1.0, 1.37, 2.5])
def test_cycles_are_counted(period_s: float) -> None:
    chain = Chain.parse("repetitions", LABELS)
    told(chain, *(moving(step, period_s) for step in range(201)))
    (event,) = chain.end()
    assert (event.label, event.processor) == ("jump", "repetitions")
    assert event.count is not None
    assert event.count == pytest.approx(20 / period_s, abs=1)


def test_each_cycle_is_told_when_it_is_complete() -> None:
    events = told(Chain.parse("repetitions", LABELS), *(moving(step, 1.0) for step in range(101)))
    assert [event.count for event in events] == list(range(2, 11))
    assert {(event.start_s, event.end_s) for event in events} == {(0.0, None)}


def test_counting_ends_soon_after_the_motion() -> None:
    steps = [moving(step, 1.0) for step in range(80)]
    still = [moving(step, 0.0) for step in range(80, 140)]
    ended = [event for event in told(Chain.parse("repetitions", LABELS), *steps, *still) if event.end_s is not None]
    (event,) = ended
    assert event.end_s == pytest.approx(8, abs=1)
    assert event.count == pytest.approx(8, abs=1)


@pytest.mark.parametrize("period_s", [0.0, 100.0])
def test_what_does_not_repeat_is_not_counted(period_s: float) -> None:
    assert not told(Chain.parse("repetitions", LABELS), *(moving(step, period_s) for step in range(200)))


def test_a_pause_in_the_stream_ends_the_count() -> None:
    chain = Chain.parse("repetitions", LABELS)
    events = told(chain, *(moving(step, 1.0) for step in range(50)), moving(60, 1.0))
    assert events[-1].end_s == pytest.approx(4.9)


def test_steps_without_motion_or_with_a_motion_repeated_do_not_count() -> None:
    chain = Chain.parse("repetitions", LABELS)
    for step in range(100):
        seen = moving(step, 1.0)
        assert not chain.see(Observation(seen.time_s, seen.scores, seen.motion, fresh=False))
    assert not told(chain, *(Observation(10 + step / 10, np.ones(3) / 3) for step in range(50)))


def test_a_model_that_looks_at_motion_at_every_second_step_counts_too() -> None:
    chain = Chain.parse("repetitions", LABELS)
    for step in range(200):
        seen = moving(step, 1.2)
        chain.see(Observation(seen.time_s, seen.scores, seen.motion, fresh=step % 2 == 0))
    (event,) = chain.end()
    assert event.count == pytest.approx(16, abs=1)


def state_of(text: str) -> dict[str, Any]:
    chain = Chain.parse(text, LABELS)
    told(chain, *(moving(step, 1.0) for step in range(40)))
    state: dict[str, Any] = json.loads(json.dumps(chain.dump()))
    return state


@pytest.mark.parametrize(
    ("text", "labels"), [("ema:tau_s=0.5,hysteresis", LABELS), ("ema", LABELS), ("ema,hysteresis", ("run", "rest"))]
)
def test_the_state_of_another_chain_is_refused(text: str, labels: tuple[str, ...]) -> None:
    with pytest.raises(MalformedRequest, match=r"the state is that of ema:tau_s=0\.8,hysteresis"):
        Chain.parse(text, labels).load(state_of("ema,hysteresis"))


def cut(state: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in state.items() if key != "states"}


@pytest.mark.parametrize("broken", [{}, [], {"format": 1}, cut(state_of("repetitions"))])
def test_what_is_no_state_is_refused_and_nothing_is_remembered(broken: dict[str, Any]) -> None:
    chain = Chain.parse("repetitions", LABELS)
    told(chain, *(moving(step, 1.0) for step in range(40)))
    with pytest.raises(MalformedRequest, match="no state"):
        chain.load(broken)
    assert chain.end() == []


def test_a_state_whose_parts_do_not_fit_is_refused() -> None:
    state = state_of("repetitions")
    state["states"][0]["times_s"].pop()
    with pytest.raises(MalformedRequest, match="no state"):
        Chain.parse("repetitions", LABELS).load(state)
