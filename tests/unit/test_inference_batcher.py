"""The queue of pictures: fair, without a timer, and each clip's trouble its own."""

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import CancelledError
from contextlib import contextmanager
from typing import Any

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

PATIENCE_S = 30.0
BAD = 255


class Scripted(Encoder):
    """An encoder whose features are the number in each picture; it waits for its gate and fails at BAD pictures."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.gate = threading.Event()
        self.entered = threading.Semaphore(0)

    def encode(self, pictures: Sequence[Picture]) -> Mapping[str, NDArray[np.float32]]:
        numbers = [int(picture[0, 0, 0]) for picture in pictures]
        self.batches.append(numbers)
        self.entered.release()
        assert self.gate.wait(PATIENCE_S)
        if BAD in numbers:
            raise RuntimeError("no memory on the device")
        return {"look": np.asarray([[number] * 2 for number in numbers], dtype=np.float32)}


def kind(name: str) -> Evidence:
    return Evidence(name=name, picture="rgb", size=1, cadence=1, features=2, file=f"{name}.onnx")


LOOK, GLANCE = kind("look"), kind("glance")


def picture(number: int, step: int = 0, name: str = "look") -> MadePicture:
    return MadePicture(name, 0, step, np.full((1, 1, 3), number, dtype=np.uint8))


class Bench:
    """A batcher with one scripted encoder for both kinds, and what it reports."""

    def __init__(self, **more: Any) -> None:
        self.encoder = Scripted()
        self.events: list[Event] = []
        self.batcher = Batcher(
            {"look": self.encoder, "glance": self.encoder},
            (LOOK,),
            **{"slots": 1, "max_batch": 2, "observe": self.events.append, **more},
        )

    def order(self, *numbers: int, name: str = "look", close: bool = True) -> Order:
        order = self.batcher.order()
        for step, number in enumerate(numbers):
            order.put(picture(number, step, name))
        if close:
            order.close()
        return order

    def busy(self) -> Order:
        """An order that holds the only slot until the gate opens."""
        order = self.order(0)
        assert self.encoder.entered.acquire(timeout=PATIENCE_S)
        return order


@contextmanager
def bench(**more: Any) -> Iterator[Bench]:
    made = Bench(**more)
    try:
        yield made
    finally:
        made.encoder.gate.set()
        made.batcher.stop()


def steps_of(order: Order) -> list[float]:
    """The features of an order that is done, step by step."""
    order.done.result(PATIENCE_S)
    return [float(one[0]) for one in order.sequence.inputs([len(order.sequence)])["look"][0]]


def test_features_come_back_to_the_order_and_step_of_their_picture() -> None:
    with bench(slots=2) as it:
        it.encoder.gate.set()
        orders = [it.order(*range(first, first + 5)) for first in (10, 20, 30)]
        assert [steps_of(order) for order in orders] == [list(range(first, first + 5)) for first in (10, 20, 30)]


def test_an_order_without_pictures_is_done_when_it_is_closed() -> None:
    with bench() as it:
        it.order().done.result(0)


def test_an_order_is_done_only_when_it_is_closed() -> None:
    with bench() as it:
        it.encoder.gate.set()
        order = it.order(1, close=False)
        assert it.encoder.entered.acquire(timeout=PATIENCE_S)
        assert not order.done.done()
        order.close()
        order.done.result(PATIENCE_S)


def test_a_free_slot_takes_what_is_waiting_without_waiting_for_more() -> None:
    with bench(max_batch=64) as it:
        it.encoder.gate.set()
        steps_of(it.order(1))
        assert it.encoder.batches == [[1]]


def test_clips_take_turns() -> None:
    with bench() as it:
        it.busy()
        orders = [it.order(11, 12, 13, 14, 15), it.order(21, 22, 23, 24), it.order(31)]
        assert it.batcher.depth == 10
        it.encoder.gate.set()
        for order in orders:
            order.done.result(PATIENCE_S)
        assert it.encoder.batches[1:] == [[11, 21], [31, 12], [22, 13], [23, 14], [24, 15]]


def test_the_kind_of_picture_that_was_left_out_of_a_batch_is_the_nexts() -> None:
    with bench(max_batch=8) as it:
        it.busy()
        looks = it.order(11, 12, close=False)
        glances = it.order(21, 22, name="glance", close=False)
        looks.put(picture(13, 2, "glance"))
        it.encoder.gate.set()
        for order in (looks, glances):
            order.close()
            order.done.result(PATIENCE_S)
        assert it.encoder.batches[1:] == [[11, 12], [21, 13, 22]]


def test_a_long_clip_does_not_hold_up_a_short_one_that_comes_later() -> None:
    with bench(max_batch=1) as it:
        it.busy()
        it.order(*range(100, 200))
        short = it.order(1, 2, 3)
        it.encoder.gate.set()
        short.done.result(PATIENCE_S)
        assert it.encoder.batches.index([3]) <= 6


def test_a_single_clip_fills_a_batch() -> None:
    with bench(max_batch=4) as it:
        it.busy()
        order = it.order(*range(1, 10))
        it.encoder.gate.set()
        order.done.result(PATIENCE_S)
        assert it.encoder.batches[1:] == [[1, 2, 3, 4], [5, 6, 7, 8], [9]]


def test_a_batch_holds_one_kind_of_picture() -> None:
    with bench(max_batch=8) as it:
        it.busy()
        looks, glances = it.order(11, 12), it.order(21, 22, name="glance")
        it.encoder.gate.set()
        looks.done.result(PATIENCE_S)
        glances.done.result(PATIENCE_S)
        assert sorted(it.encoder.batches[1:]) == [[11, 12], [21, 22]]


def test_several_slots_work_at_the_same_time() -> None:
    with bench(slots=3, max_batch=1) as it:
        order = it.order(1, 2, 3)
        for _ in range(3):
            assert it.encoder.entered.acquire(timeout=PATIENCE_S)
        assert sorted(it.encoder.batches) == [[1], [2], [3]], "all three are being encoded"
        it.encoder.gate.set()
        order.done.result(PATIENCE_S)


def test_every_batch_is_reported_with_its_size() -> None:
    with bench(max_batch=2) as it:
        it.busy()
        order = it.order(1, 2, 3)
        it.encoder.gate.set()
        order.done.result(PATIENCE_S)
    batches = [one for one in it.events if isinstance(one, BatchEncoded)]
    assert [(one.kind, one.pictures) for one in batches] == [("look", 1), ("look", 2), ("look", 1)]
    assert all(one.seconds >= 0 for one in batches)


def test_a_batch_that_fails_fails_the_clips_in_it_and_no_other() -> None:
    with bench(max_batch=2) as it:
        it.busy()
        bad, beside, after = it.order(BAD, 12), it.order(21), it.order(31)
        it.encoder.gate.set()
        for failed in (bad, beside):
            with pytest.raises(RuntimeError, match="no memory"):
                failed.done.result(PATIENCE_S)
        assert steps_of(after) == [31]
        assert [12] not in it.encoder.batches, "what a failed clip still had waiting is not encoded"
        assert it.batcher.alive


def test_a_slot_whose_thread_dies_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    class Dying(Exception):
        pass

    ends: list[type[BaseException]] = []
    monkeypatch.setattr(threading, "excepthook", lambda end: ends.append(end.exc_type))

    def die(event: Event) -> None:
        if died.acquire(blocking=False):
            raise Dying

    died = threading.Semaphore(1)
    with bench(observe=die) as it:
        it.encoder.gate.set()
        mortal = it.batcher._slots[0].thread
        assert mortal is not None
        assert steps_of(it.order(1)) == [1], "its features were there before"
        mortal.join(PATIENCE_S)
        assert steps_of(it.order(2)) == [2], "another thread has taken over"
        assert it.batcher.alive
    assert ends == [Dying]


def test_a_device_that_hangs_is_no_living_engine_until_it_goes_on() -> None:
    with bench(stuck_s=0.05) as it:
        it.busy()
        deadline_s = time.monotonic() + PATIENCE_S
        while it.batcher.alive:
            assert time.monotonic() < deadline_s
            time.sleep(0.01)
        it.encoder.gate.set()
        assert steps_of(it.order(3)) == [3]
        assert it.batcher.alive


def test_a_clip_whose_batch_failed_stays_failed_whatever_it_still_puts() -> None:
    with bench() as it:
        it.encoder.gate.set()
        order = it.order(BAD, close=False)
        with pytest.raises(RuntimeError):
            order.done.result(PATIENCE_S)
        order.put(picture(1, 1))
        order.close()
        assert it.batcher.depth == 0
        assert isinstance(order.done.exception(), RuntimeError)


def test_a_clip_that_fails_in_two_batches_at_once_fails_once() -> None:
    with bench(slots=2, max_batch=1) as it:
        order = it.order(BAD, BAD)
        for _ in range(2):
            assert it.encoder.entered.acquire(timeout=PATIENCE_S)
        it.encoder.gate.set()
        with pytest.raises(RuntimeError, match="no memory"):
            order.done.result(PATIENCE_S)
        assert it.batcher.alive


def test_what_an_abandoned_clip_has_waiting_is_dropped_and_counted() -> None:
    with bench() as it:
        it.busy()
        abandoned, other = it.order(11, 12, 13), it.order(21)
        abandoned.abandon()
        assert it.batcher.depth == 1
        abandoned.put(picture(14, 3))
        abandoned.abandon()
        assert it.batcher.depth == 1, "what comes later is dropped at the door"
        it.encoder.gate.set()
        assert steps_of(other) == [21]
        with pytest.raises(CancelledError):
            abandoned.done.result(PATIENCE_S)
        assert [one for one in it.events if isinstance(one, PicturesDropped)] == [PicturesDropped(3)]
        assert it.encoder.batches == [[0], [21]]


def test_what_a_slot_has_already_taken_of_an_abandoned_clip_is_thrown_away() -> None:
    with bench() as it:
        running = it.busy()
        running.abandon()
        it.encoder.gate.set()
        assert steps_of(it.order(21)) == [21]
        assert running.done.cancelled()
        assert not any(isinstance(one, PicturesDropped) for one in it.events), "nothing of it was waiting"


def test_abandoning_a_clip_that_is_done_changes_nothing() -> None:
    with bench() as it:
        it.encoder.gate.set()
        order = it.order(1)
        order.done.result(PATIENCE_S)
        order.abandon()
        assert order.done.exception() is None


def test_stopping_finishes_what_runs_and_fails_what_waits() -> None:
    with bench() as it:
        running, waiting = it.busy(), it.order(11, 12)
        stopping = threading.Thread(target=it.batcher.stop)
        stopping.start()
        with pytest.raises(EngineDead, match="stopped before"):
            waiting.done.result(PATIENCE_S)
        it.encoder.gate.set()
        stopping.join(PATIENCE_S)
        running.done.result(PATIENCE_S)
        assert not it.batcher.alive
        assert it.encoder.batches == [[0]]


def test_a_clip_that_is_still_being_decoded_when_the_engine_stops_fails_too() -> None:
    with bench() as it:
        it.encoder.gate.set()
        order = it.order(1, close=False)
        assert it.encoder.entered.acquire(timeout=PATIENCE_S)
        it.batcher.stop()
        order.put(picture(2, 1))
        order.put(picture(3, 2))
        order.close()
        with pytest.raises(EngineDead, match="stopped before"):
            order.done.result(0)
        assert it.batcher.depth == 0


def test_first_and_last_moments_of_an_order_are_noted() -> None:
    with bench() as it:
        it.encoder.gate.set()
        order = it.order(1, 2)
        order.done.result(PATIENCE_S)
        assert order.first_put_s is not None
        assert order.last_encoded_s is not None
        assert order.first_put_s <= order.last_encoded_s
