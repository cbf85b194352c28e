"""Steps of many streams, read in one batch: each gets what it would get alone."""

import asyncio
import threading
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from service.errors import EngineDead
from service.inference.bundle import Bundle
from service.inference.session import Reading, Recurrent, State
from service.stream.stepper import Row, Stepper
from tests.streaming import load, make_streaming

PATIENCE_S = 30.0
TOLERANCE = 1e-6


class Counted(Recurrent):
    """A head that notes how many rows it is given, and waits until it may read."""

    def __init__(self, session: Any, state: Mapping[str, int]) -> None:
        super().__init__(session, state)
        self.batches: list[tuple[int, int]] = []
        self.may = threading.Event()
        self.may.set()

    def read(
        self, inputs: Mapping[str, NDArray[Any]], state: State | None = None, outputs: Sequence[str] = ()
    ) -> Reading:
        assert self.may.wait(PATIENCE_S)
        self.batches.append(inputs["drift"].shape[:2])
        return super().read(inputs, state, outputs)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return load(make_streaming(tmp_path_factory.mktemp("bundles")))


@pytest.fixture
def head(bundle: Bundle) -> Counted:
    return Counted(bundle.recurrent.session, {part.name: part.size for part in bundle.card.recurrent.state})


@pytest.fixture
async def stepper(head: Counted) -> AsyncIterator[Stepper]:
    working = Stepper(head, ("attention",))
    yield working
    head.may.set()
    await working.stop()


def row(bundle: Bundle, seed: int, steps: int = 1, *, started: bool = True) -> Row:
    drawn = np.random.default_rng(seed)
    inputs = {
        name: drawn.random((steps, *shape), dtype=np.float32)
        for kind in bundle.card.evidence
        for name, shape in kind.inputs.items()
    }
    state = {part.name: drawn.random((1, part.size), dtype=np.float32) for part in bundle.card.recurrent.state}
    return Row(inputs, state if started else None)


def alone(bundle: Bundle, one: Row) -> Reading:
    inputs: dict[str, Any] = {name: value[np.newaxis] for name, value in one.inputs.items()}
    return bundle.recurrent.read(inputs | {"lengths": np.asarray([one.steps])}, one.state, ["attention"])


def agree(one: Reading, other: Reading) -> None:
    np.testing.assert_allclose(one.logits, other.logits, rtol=0, atol=TOLERANCE)
    assert one.state.keys() == other.state.keys()
    for mine, theirs in ((one.state, other.state), (one.outputs, other.outputs)):
        for name, value in mine.items():
            np.testing.assert_allclose(value, theirs[name], rtol=0, atol=TOLERANCE)


async def test_each_of_many_gets_what_it_gets_alone(bundle: Bundle, stepper: Stepper) -> None:
    rows = [row(bundle, seed, started=seed % 3 > 0) for seed in range(100)]
    read = await asyncio.gather(*(stepper.read([one]) for one in rows))
    for (one,), asked in zip(read, rows, strict=True):
        agree(one, alone(bundle, asked))


async def test_what_waits_while_the_head_is_busy_is_read_in_one_batch(
    bundle: Bundle, stepper: Stepper, head: Counted
) -> None:
    head.may.clear()
    reading = [asyncio.create_task(stepper.read([row(bundle, seed)])) for seed in range(31)]
    await asyncio.sleep(0.05)
    head.may.set()
    await asyncio.gather(*reading)
    assert sum(rows for rows, _ in head.batches) == 31
    assert len(head.batches) <= 2


async def test_a_batch_is_bounded(bundle: Bundle, stepper: Stepper, head: Counted) -> None:
    await asyncio.gather(*(stepper.read([row(bundle, seed), row(bundle, -seed - 1 + 1000)]) for seed in range(150)))
    assert sum(rows for rows, _ in head.batches) == 300
    assert max(rows for rows, _ in head.batches) <= 66


async def test_rows_of_other_lengths_wait_for_a_batch_of_their_own(
    bundle: Bundle, stepper: Stepper, head: Counted
) -> None:
    lengths = [1, 5, 1, 7, 5, 1]
    rows = [row(bundle, seed, steps) for seed, steps in enumerate(lengths)]
    head.may.clear()
    reading = [asyncio.create_task(stepper.read([one])) for one in rows]
    await asyncio.sleep(0.05)
    head.may.set()
    for (one,), asked in zip(await asyncio.gather(*reading), rows, strict=True):
        agree(one, alone(bundle, asked))
    assert sorted(steps for _, steps in head.batches) == [1, 5, 7]


async def test_a_reading_keeps_nothing_of_the_others_in_its_batch(bundle: Bundle, stepper: Stepper) -> None:
    (read,) = (await asyncio.gather(*(stepper.read([row(bundle, seed)]) for seed in range(10))))[3]
    for value in (read.logits, *read.state.values(), *read.outputs.values()):
        assert value.base is None
        assert len(value) == 1


async def test_who_goes_is_dropped_and_the_others_are_read(bundle: Bundle, stepper: Stepper, head: Counted) -> None:
    head.may.clear()
    first = asyncio.create_task(stepper.read([row(bundle, 0)]))
    await asyncio.sleep(0.02)
    gone = [asyncio.create_task(stepper.read([row(bundle, seed)])) for seed in range(1, 4)]
    stays = asyncio.create_task(stepper.read([row(bundle, 9)]))
    await asyncio.sleep(0.02)
    for task in gone:
        task.cancel()
    await asyncio.wait(gone)
    head.may.set()
    await first
    agree((await stays)[0], alone(bundle, row(bundle, 9)))
    assert head.batches == [(1, 1), (1, 1)]


async def test_a_failing_batch_fails_those_in_it_alone(bundle: Bundle, stepper: Stepper) -> None:
    broken = Row({name: value[..., :1] for name, value in row(bundle, 1, steps=2).inputs.items()}, None)
    with pytest.raises(Exception, match=r"INVALID_ARGUMENT|dimension|shape"):
        await stepper.read([broken])
    agree((await stepper.read([row(bundle, 2)]))[0], alone(bundle, row(bundle, 2)))


async def test_stopping_tells_who_waits(bundle: Bundle, stepper: Stepper, head: Counted) -> None:
    head.may.clear()
    running = asyncio.create_task(stepper.read([row(bundle, 1)]))
    await asyncio.sleep(0.02)
    waiting = asyncio.create_task(stepper.read([row(bundle, 2)]))
    await asyncio.sleep(0.02)
    stopping = asyncio.create_task(stepper.stop())
    await asyncio.sleep(0.02)
    head.may.set()
    await stopping
    assert (await running)[0].logits.shape == (1, 2), "what is being read is read to its end"
    with pytest.raises(EngineDead):
        await waiting
    with pytest.raises(EngineDead):
        await stepper.read([row(bundle, 3)])
