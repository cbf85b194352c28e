"""What a stream remembers: two states in relay, the last steps, or the last pictures."""

from collections.abc import AsyncIterator, Iterable
from typing import Any

import numpy as np
import pytest

from service.errors import StateRefused
from service.inference.bundle import Bundle
from service.inference.card import Card
from service.inference.session import Reading
from service.stream.memory import Memory, Relay, Sliding, Step, period
from service.stream.stepper import Row, Stepper
from service.stream.wishes import Wishes
from tests.bundles import make_bundle
from tests.streaming import load, make_streaming

TOLERANCE = 1e-6


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return load(make_streaming(tmp_path_factory.mktemp("bundles"), abstains=True))


@pytest.fixture(scope="module")
def windowed(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return load(make_bundle(tmp_path_factory.mktemp("bundles")))


@pytest.fixture
async def stepper(bundle: Bundle) -> AsyncIterator[Stepper]:
    working = Stepper(bundle.recurrent, ("familiarity",))
    yield working
    await working.stop()


@pytest.fixture
async def windows(windowed: Bundle) -> AsyncIterator[Stepper]:
    working = Stepper(windowed.recurrent, ())
    yield working
    await working.stop()


def steps(card: Card, count: int, seed: int = 0) -> list[Step]:
    """Steps as they come of a stream: a kind with a slower cadence is held."""
    drawn = np.random.default_rng(seed)
    found: list[Step] = []
    held: dict[str, Any] = {}
    for step in range(count):
        for kind in card.evidence:
            if step % kind.cadence == 0:
                held |= {name: drawn.random(shape, dtype=np.float32) for name, shape in kind.inputs.items()}
        found.append(dict(held))
    return found


def whole(bundle: Bundle, taken: Iterable[Step]) -> Reading:
    """What the head says of these steps as of one window."""
    rows = list(taken)
    inputs: dict[str, Any] = {name: np.stack([step[name] for step in rows])[np.newaxis] for name in rows[0]}
    return bundle.recurrent.read(inputs | {"lengths": np.asarray([len(rows)])})


async def last(memory: Memory, taken: Iterable[Step]) -> Reading:
    for step in taken:
        await memory.take(step)
    reading = await memory.read()
    assert reading is not None
    return reading


def agree(one: Reading, other: Reading) -> None:
    np.testing.assert_allclose(one.logits, other.logits, rtol=0, atol=TOLERANCE)


def test_states_begin_where_every_kind_of_evidence_is_due(bundle: Bundle) -> None:
    assert period(bundle.card) == 4
    assert Wishes(memory_s="endless").every(bundle.card) is None
    for memory_s, steps_between in (("auto", 8), (0.01, 4), (1.0, 8), (1.3, 12), (3600.0, 36_000)):
        assert Wishes(memory_s=memory_s).every(bundle.card) == steps_between  # type: ignore[arg-type]


async def test_a_state_handed_on_says_what_the_whole_window_says(bundle: Bundle, stepper: Stepper) -> None:
    memory, taken = Relay(stepper, bundle.card, None), steps(bundle.card, 20)
    for count, step in enumerate(taken, 1):
        agree(await last(memory, [step]), whole(bundle, taken[:count]))
        assert memory.age == count


@pytest.mark.parametrize("every", [4, 8])
async def test_what_a_relay_says_is_what_the_window_says_that_began_with_its_elder_state(
    bundle: Bundle, stepper: Stepper, every: int
) -> None:
    memory, taken = Relay(stepper, bundle.card, every), steps(bundle.card, 61)
    for count, step in enumerate(taken, 1):
        said = await last(memory, [step])
        assert memory.age <= 2 * every, "nothing is remembered for longer"
        assert memory.age == count or memory.age > every, "nor is anything forgotten sooner"
        assert (count - memory.age) % every == 0, "an elder state began where all evidence was due"
        agree(said, whole(bundle, taken[count - memory.age : count]))


async def test_an_endless_memory_keeps_one_state_for_ever(bundle: Bundle, stepper: Stepper) -> None:
    memory, taken = Relay(stepper, bundle.card, None), steps(bundle.card, 60)
    agree(await last(memory, taken), whole(bundle, taken))
    assert memory.age == 60


async def test_nothing_is_said_before_the_first_step(bundle: Bundle, stepper: Stepper, windows: Stepper) -> None:
    for memory in (Relay(stepper, bundle.card, 8), Sliding(windows, bundle.card)):
        assert await memory.read() is None
        assert memory.age == 0


async def test_a_sliding_window_says_what_the_clip_of_those_steps_says(windowed: Bundle, windows: Stepper) -> None:
    memory, taken = Sliding(windows, windowed.card), steps(windowed.card, 40)
    least, beat = windowed.card.sampling.clip_len, period(windowed.card)
    for count, step in enumerate(taken, 1):
        said = await last(memory, [step])
        assert memory.age == count or least <= memory.age < least + beat
        assert (count - memory.age) % beat == 0, "a window begins where all evidence was due"
        agree(said, whole(windowed, taken[count - memory.age : count]))


async def test_a_window_is_read_only_when_it_has_changed(windowed: Bundle, windows: Stepper) -> None:
    memory = Sliding(windows, windowed.card)
    said = await last(memory, steps(windowed.card, 5))
    assert await memory.read() is said


@pytest.mark.parametrize("count", [0, 1, 4, 8, 9, 16, 17, 30])
async def test_a_relay_goes_on_elsewhere_as_it_would_have_here(bundle: Bundle, stepper: Stepper, count: int) -> None:
    taken = steps(bundle.card, count + 20)
    memory, other = Relay(stepper, bundle.card, 8), Relay(stepper, bundle.card, 8)
    for step in taken[:count]:
        await memory.take(step)
    other.load(*memory.dump())
    assert other.age == memory.age
    if count:
        said, kept = await memory.read(), await other.read()
        assert said is not None
        assert kept is not None
        np.testing.assert_array_equal(kept.logits, said.logits)
        np.testing.assert_array_equal(kept.outputs["familiarity"], said.outputs["familiarity"])
    for step in taken[count:]:
        np.testing.assert_array_equal((await last(other, [step])).logits, (await last(memory, [step])).logits)


@pytest.mark.parametrize("count", [0, 1, 6, 25])
async def test_a_window_goes_on_elsewhere_as_it_would_have_here(windowed: Bundle, windows: Stepper, count: int) -> None:
    taken = steps(windowed.card, count + 10)
    memory, other = Sliding(windows, windowed.card), Sliding(windows, windowed.card)
    for step in taken[:count]:
        await memory.take(step)
    other.load(*memory.dump())
    for step in taken[count:]:
        np.testing.assert_array_equal((await last(other, [step])).logits, (await last(memory, [step])).logits)


async def test_a_state_of_a_stream_with_another_memory_is_refused(bundle: Bundle, stepper: Stepper) -> None:
    memory = Relay(stepper, bundle.card, 8)
    await memory.take(steps(bundle.card, 1)[0])
    with pytest.raises(StateRefused, match="begins anew every 8 steps, this stream's every 4") as refused:
        Relay(stepper, bundle.card, 4).load(*memory.dump())
    assert "memory_s" in refused.value.advice


@pytest.mark.parametrize(
    "ages",
    [None, [], [-1], ["1"], [1.5], [9], [8, 1], [9, 2], [8, 0], [9, 1, 1], [10**400], 3, {"a": 1}],
)
async def test_ages_that_no_relay_has_are_refused(bundle: Bundle, stepper: Stepper, ages: object) -> None:
    memory = Relay(stepper, bundle.card, 8)
    for step in steps(bundle.card, 9):
        await memory.take(step)
    values, arrays = memory.dump()
    assert values["ages"] == [9, 1]
    with pytest.raises(StateRefused, match="ages"):
        Relay(stepper, bundle.card, 8).load(values | {"ages": ages}, arrays)


@pytest.mark.parametrize("name", ["state.0.h", "state.1.votes", "logits", "output.familiarity"])
@pytest.mark.parametrize("change", ["missing", "longer", "type"])
async def test_arrays_that_do_not_fit_are_refused(bundle: Bundle, stepper: Stepper, name: str, change: str) -> None:
    memory, other = Relay(stepper, bundle.card, 8), Relay(stepper, bundle.card, 8)
    for step in steps(bundle.card, 9):
        await memory.take(step)
    values, arrays = memory.dump()
    kept = arrays.pop(name)
    if change != "missing":
        arrays[name] = np.zeros((1, 9), np.float32) if change == "longer" else kept.astype(np.uint8)
    with pytest.raises(StateRefused, match=name):
        other.load(values, arrays)


@pytest.mark.parametrize("count", [None, -1, 10, 10**400, "6", 5])
async def test_windows_that_do_not_fit_are_refused(windowed: Bundle, windows: Stepper, count: object) -> None:
    memory = Sliding(windows, windowed.card)
    for step in steps(windowed.card, 6):
        await memory.take(step)
    _, arrays = memory.dump()
    with pytest.raises(StateRefused, match="steps"):
        Sliding(windows, windowed.card).load({"steps": count}, arrays)


def test_a_row_knows_its_steps() -> None:
    assert Row({"look": np.zeros((5, 3), np.float32)}, None).steps == 5
