"""The queue of pictures and the slots that work it off."""

import threading
from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from service.errors import EngineDead
from service.events import BatchEncoded, Event, PicturesDropped
from service.inference.batcher import Batcher, Order
from service.inference.card import Evidence
from service.inference.session import Encoder
from service.video.decode import MadePicture
from service.video.preprocess import Picture
from service.video.spec import Flow

PATIENCE_S = 30
FLOW = Flow(size=8, preset="fast", scale=10, magnitude_scale=16)
EVIDENCE = (
    Evidence(name="appearance", picture="rgb", size=8, cadence=1, features=1, file="a.onnx"),
    Evidence(name="motion", picture="flow", size=8, cadence=1, features=1, file="m.onnx", flow=FLOW),
)


class Adder(Encoder):
    """Encodes a picture as its first pixel plus one, when it is let; fails on pictures of 255."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.may_run = threading.Event()
        self.running = threading.Event()

    def encode(self, pictures: Sequence[Picture]) -> NDArray[np.float32]:
        self.running.set()
        assert self.may_run.wait(PATIENCE_S)
        values = [int(picture[0, 0, 0]) for picture in pictures]
        self.batches.append(values)
        if 255 in values:
            raise RuntimeError("poison")
        return np.array([[value + 1] for value in values], dtype=np.float32)


class Bench:
    """A batcher with one slot that starts to work when it is told."""

    def __init__(self, max_batch: int = 2, slots: int = 1) -> None:
        self.encoder = Adder()
        self.events: list[Event] = []
        self.batcher = Batcher(
            {"appearance": self.encoder, "motion": self.encoder},
            EVIDENCE,
            slots=slots,
            max_batch=max_batch,
            observe=self.events.append,
        )

    def order(self, *values: int, kind: str = "appearance") -> Order:
        order = self.batcher.order()
        for step, value in enumerate(values):
            order.put(picture(value, step, kind))
        order.close()
        return order

    def occupy(self) -> Order:
        """Keeps the slot busy, so that what comes next has to wait."""
        order = self.order(0)
        assert self.encoder.running.wait(PATIENCE_S)
        return order

    def go(self, *orders: Order) -> list[BaseException | None]:
        """Lets the slot work until the orders are done; returns how each ended."""
        self.encoder.may_run.set()
        return [order.done.exception(PATIENCE_S) for order in orders]


def picture(value: int, step: int, kind: str = "appearance") -> MadePicture:
    return MadePicture(kind, 0, step, np.full((8, 8, 3), value, dtype=np.uint8))


def features(order: Order, steps: int, kind: str = "appearance") -> list[float]:
    return [float(order.sequence._features[kind, 0, step][0]) for step in range(steps)]


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_every_picture_gets_its_own_features(bench: Bench) -> None:
    orders = [bench.order(10, 11, 12), bench.order(20), bench.order(30, 31)]
    assert bench.go(*orders) == [None] * 3
    assert [features(order, n) for order, n in zip(orders, (3, 1, 2), strict=True)] == [[11, 12, 13], [21], [31, 32]]
    bench.batcher.stop()


def test_a_long_clip_does_not_starve_a_short_one(bench: Bench) -> None:
    first = bench.occupy()
    long, short = bench.order(*range(1, 21)), bench.order(100, 101)
    bench.go(first, long, short)
    place = next(index for index, batch in enumerate(bench.encoder.batches) if 101 in batch)
    assert place <= 3, bench.encoder.batches
    bench.batcher.stop()


def test_a_batch_holds_one_kind_and_no_more_than_it_may() -> None:
    bench = Bench(max_batch=3)
    first = bench.occupy()
    frames, flows = bench.order(1, 2, 3, 4, 5), bench.order(101, 102, kind="motion")
    bench.go(first, frames, flows)
    bench.batcher.stop()
    assert all(len(batch) <= 3 for batch in bench.encoder.batches)
    assert all(len({value > 100 for value in batch}) == 1 for batch in bench.encoder.batches)
    told = [(one.kind, one.pictures) for one in bench.events if isinstance(one, BatchEncoded)]
    assert sum(pictures for kind, pictures in told if kind == "motion") == 2


def test_one_clip_fills_a_batch_alone() -> None:
    bench = Bench(max_batch=4)
    first = bench.occupy()
    bench.go(first, bench.order(1, 2, 3, 4))
    bench.batcher.stop()
    assert [1, 2, 3, 4] in bench.encoder.batches


def test_a_failing_batch_fails_only_the_clips_in_it(bench: Bench) -> None:
    first = bench.occupy()
    bad, together, later = bench.order(255, 7, 8), bench.order(40), bench.order(50)
    ends = bench.go(first, bad, together, later)
    assert ends[0] is None
    assert isinstance(ends[1], RuntimeError)
    assert isinstance(ends[2], RuntimeError), "it was in the same batch"
    assert ends[3] is None
    assert bench.batcher.alive
    assert bench.go(bench.order(60)) == [None]
    assert 8 not in [value for batch in bench.encoder.batches for value in batch], "the failed clip's rest is dropped"
    bench.batcher.stop()


def test_an_abandoned_clips_pictures_are_dropped_and_counted(bench: Bench) -> None:
    first = bench.occupy()
    gone, stays = bench.order(1, 2, 3), bench.order(4)
    gone.abandon()
    gone.abandon()
    gone.put(picture(9, 9))
    assert bench.batcher.depth == 1
    assert bench.go(first, stays) == [None, None]
    assert gone.done.cancelled()
    assert bench.encoder.batches == [[0], [4]]
    assert PicturesDropped(3) in bench.events
    bench.batcher.stop()


def test_a_clip_abandoned_while_a_slot_has_it_disturbs_nobody(bench: Bench) -> None:
    running = bench.occupy()
    waiting = bench.order(5)
    running.abandon()
    assert bench.go(waiting) == [None]
    assert running.done.cancelled()
    bench.batcher.stop()


def test_an_order_without_pictures_is_done_when_it_is_closed(bench: Bench) -> None:
    order = bench.batcher.order()
    assert not order.done.done()
    order.close()
    assert order.done.result(PATIENCE_S) is None
    bench.batcher.stop()


def test_stopping_fails_what_waits_and_is_seen(bench: Bench) -> None:
    bench.occupy()
    waiting = bench.order(1, 2)
    stopping = threading.Thread(target=bench.batcher.stop)
    stopping.start()
    assert isinstance(waiting.done.exception(PATIENCE_S), EngineDead)
    bench.encoder.may_run.set()
    stopping.join(PATIENCE_S)
    assert not bench.batcher.alive
    assert bench.batcher.depth == 0


def test_several_slots_work_at_the_same_time() -> None:
    bench = Bench(max_batch=1, slots=2)
    orders = [bench.order(*range(n * 10, n * 10 + 5)) for n in range(6)]
    assert bench.go(*orders) == [None] * 6
    assert [features(order, 5) for order in orders] == [[n * 10 + i + 1.0 for i in range(5)] for n in range(6)]
    bench.batcher.stop()
