"""Pictures of all clips in flight, encoded together.

There is no timer. Whenever a slot is free it takes what is waiting: pictures of one kind, one of each clip in turn, up
to the device's best batch. So a long clip cannot starve a short one, and a single clip is spread over all slots.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Mapping
from collections.abc import Sequence as Items
from concurrent.futures import Future
from dataclasses import dataclass
from typing import NamedTuple

from service.errors import EngineDead
from service.events import BatchEncoded, Observe, PicturesDropped, ignore
from service.inference.card import Evidence
from service.inference.sequence import Sequence
from service.inference.session import Encoder
from service.priority import compute_in_long_turns
from service.video.decode import MadePicture

# How far encoding stands back behind decoding.
_NICENESS = 10


class Order:
    """What one clip wants of the encoders. Made by `Batcher.order`; every method may be called from any thread."""

    def __init__(self, batcher: Batcher, evidence: Items[Evidence]) -> None:
        self._batcher = batcher
        self.sequence = Sequence(evidence)
        self.done: Future[None] = Future()
        """Resolved when the order is closed and all its pictures are encoded; fails if one of its batches fails."""
        # The batcher's own account, written under its lock.
        self.waiting: deque[MadePicture] = deque()
        self.running = 0
        self.closed = False
        self.settled = False
        self.first_put_s: float | None = None
        self.last_encoded_s: float | None = None

    def put(self, picture: MadePicture) -> None:
        """Hands over a picture; it is dropped where nobody waits for the order any more."""
        self._batcher.put(self, picture)

    def close(self) -> None:
        """Says that no picture follows."""
        self._batcher.close_order(self)

    def abandon(self) -> None:
        """Drops what waits; what a slot has already taken is finished and thrown away."""
        self._batcher.abandon(self)


class _Job(NamedTuple):
    order: Order
    picture: MadePicture


@dataclass(slots=True)
class _Queue:
    """The orders that have a picture waiting, the one served longest ago first."""

    orders: deque[Order]

    def take(self, most: int) -> list[_Job]:
        """Takes a batch of one kind, which is what the first order needs next: one picture of each order in turn."""
        kind = self.orders[0].waiting[0].kind
        jobs: list[_Job] = []
        passes = deque(self.orders)
        while passes and len(jobs) < most:
            order = passes.popleft()
            if order.waiting and order.waiting[0].kind == kind:
                jobs.append(_Job(order, order.waiting.popleft()))
                order.running += 1
                passes.append(order)
        served = dict.fromkeys(job.order for job in jobs)
        unserved = [order for order in self.orders if order not in served]
        self.orders = deque(order for order in (*unserved, *served) if order.waiting)
        return jobs


class _Slot:
    """A place where one batch runs at a time, and the thread that it runs in."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.thread: threading.Thread | None = None
        self.since_s: float | None = None
        """When its batch began, by `time.monotonic`; None while it waits."""

    def alive(self, stuck_s: float) -> bool:
        since_s = self.since_s
        stuck = since_s is not None and time.monotonic() - since_s > stuck_s
        return self.thread is not None and self.thread.is_alive() and not stuck

    def join(self) -> None:
        if self.thread is not None:
            self.thread.join()


class Batcher:
    """The queue and the slots that work it off.

    Args:
        encoders: by kind of evidence.
        evidence: the kinds, as the card has them.
        slots: batches that run at the same time, each in a thread of its own.
        max_batch: pictures in a batch.
        stuck_s: a batch that takes longer is a sign that the device hangs.
        observe: told of every batch.
    """

    def __init__(
        self,
        encoders: Mapping[str, Encoder],
        evidence: Items[Evidence],
        *,
        slots: int,
        max_batch: int,
        stuck_s: float = 30.0,
        observe: Observe = ignore,
    ) -> None:
        self._encoders = encoders
        self._evidence = tuple(evidence)
        self._max_batch = max_batch
        self._observe = observe
        self._queue = _Queue(deque())
        self._changed = threading.Condition()
        self._stopping = False
        self._stuck_s = stuck_s
        self._slots = [_Slot(number) for number in range(slots)]
        for slot in self._slots:
            self._start(slot)

    def _start(self, slot: _Slot) -> None:
        slot.since_s = None
        slot.thread = threading.Thread(target=self._serve, args=(slot,), name=f"slot-{slot.number}", daemon=True)
        slot.thread.start()

    @property
    def alive(self) -> bool:
        """Whether every slot works, and none has been at the same batch for too long."""
        return not self._stopping and all(slot.alive(self._stuck_s) for slot in self._slots)

    @property
    def depth(self) -> int:
        """Pictures waiting."""
        with self._changed:
            return sum(len(order.waiting) for order in self._queue.orders)

    def order(self) -> Order:
        """An order for a clip."""
        return Order(self, self._evidence)

    def put(self, order: Order, picture: MadePicture) -> None:
        """See `Order.put`."""
        with self._changed:
            if order.settled:
                return
            if self._stopping:
                self._drop(order)
            else:
                if order.first_put_s is None:
                    order.first_put_s = time.perf_counter()
                if not order.waiting:
                    self._queue.orders.append(order)
                order.waiting.append(picture)
                self._changed.notify()
                return
        order.done.set_exception(_stopped())

    def close_order(self, order: Order) -> None:
        """See `Order.close`."""
        with self._changed:
            order.closed = True
            complete = self._settles(order)
        if complete:
            order.done.set_result(None)

    def abandon(self, order: Order) -> None:
        """See `Order.abandon`."""
        with self._changed:
            if order.settled:
                return
            dropped = self._drop(order)
        order.done.cancel()
        if dropped:
            self._observe(PicturesDropped(dropped))

    def stop(self) -> None:
        """Ends the slots after the batches that they run; orders still open fail."""
        with self._changed:
            self._stopping = True
            unserved = list(self._queue.orders)
            for order in unserved:
                self._drop(order)
            self._changed.notify_all()
        for order in unserved:
            order.done.set_exception(_stopped())
        for slot in self._slots:
            slot.join()

    def _serve(self, slot: _Slot) -> None:
        # What decoders have not made yet cannot be encoded: they go first.
        compute_in_long_turns(_NICENESS)
        try:
            self._work_off(slot)
        finally:
            if not self._stopping:  # whatever ended this thread, others wait for the slot
                self._start(slot)

    def _work_off(self, slot: _Slot) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._stopping or self._queue.orders)
                if self._stopping:
                    return
                jobs = self._queue.take(self._max_batch)
            slot.since_s = time.monotonic()
            self._run(jobs)
            slot.since_s = None
            del jobs  # while the slot waits, nothing of its last batch is kept

    def _run(self, jobs: list[_Job]) -> None:
        kind = jobs[0].picture.kind
        started_s = time.perf_counter()
        failure: Exception | None = _stopped()  # unless it ends otherwise
        try:
            encoded = self._encoders[kind].encode([job.picture.pixels for job in jobs])
            for name, rows in encoded.items():
                for job, row in zip(jobs, rows, strict=True):
                    job.order.sequence.put(name, job.picture.window, job.picture.step, row)
            failure = None
        except Exception as error:  # noqa: BLE001 - whatever a batch raises concerns its own clips, never the slot
            failure = error
        finally:
            self._settle(jobs, failure, time.perf_counter())
        self._observe(BatchEncoded(kind, len(jobs), time.perf_counter() - started_s))

    def _settle(self, jobs: list[_Job], failure: Exception | None, ended_s: float) -> None:
        """Tells the orders of a batch how it ended."""
        complete: list[Order] = []
        failed: list[Order] = []
        with self._changed:
            for order, _ in jobs:
                order.running -= 1
                order.last_encoded_s = ended_s
                if failure is None:
                    complete += [order] if self._settles(order) else []
                elif not order.settled:
                    self._drop(order)
                    failed.append(order)
        # Outside the lock: whoever waits for these is told by callbacks, which may come back to the batcher.
        for order in complete:
            order.done.set_result(None)
        for order in failed:
            order.done.set_exception(failure)

    def _settles(self, order: Order) -> bool:
        """Whether this is the moment at which an order has all its features; true once."""
        if order.settled or not order.closed or order.waiting or order.running:
            return False
        order.settled = True
        return True

    def _drop(self, order: Order) -> int:
        """Settles an order without its features; returns how many of its pictures were waiting."""
        order.settled = True
        dropped = len(order.waiting)
        order.waiting.clear()
        if order in self._queue.orders:
            self._queue.orders.remove(order)
        return dropped


def _stopped() -> EngineDead:
    return EngineDead("the engine stopped before the clip was encoded", "Send the clip again.")
