"""Clips encoded together by the shipped encoders: what one gets does not depend on the others."""

from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray

from service.inference.batcher import Batcher, Order
from service.inference.bundle import Bundle
from service.inference.session import Device
from tests.orders import PATIENCE_S, alone_and_together, pictures
from tests.samples import BUNDLE

STEPS = 3
# Kernels for other batch sizes add in another order; features lie between 0 and 6.
TOLERANCE = 1e-5


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return Bundle.load(BUNDLE, Device.choose("cpu", 1))


@pytest.fixture
def batcher(bundle: Bundle) -> Iterator[Batcher]:
    working = Batcher(bundle.encoders, bundle.card.evidence, slots=2, max_batch=4)
    yield working
    working.stop()


def features(order: Order) -> dict[str, NDArray[np.float32]]:
    order.done.result(PATIENCE_S)
    return {name: rows.astype(np.float32) for name, rows in order.sequence.inputs([STEPS]).items()}


def test_what_a_clip_gets_does_not_depend_on_what_else_is_in_flight(bundle: Bundle, batcher: Batcher) -> None:
    for alone, together in alone_and_together(bundle, batcher, STEPS, clips=3):
        expected = features(alone)
        for name, rows in features(together).items():
            np.testing.assert_allclose(rows, expected[name], rtol=0, atol=TOLERANCE)


def test_what_a_clip_gets_does_not_depend_on_others_being_abandoned(bundle: Bundle, batcher: Batcher) -> None:
    def encode() -> Order:
        order = batcher.order()
        for picture in pictures(bundle, STEPS, 0):
            order.put(picture)
        order.close()
        return order

    expected = features(encode())
    others = [batcher.order() for _ in range(2)]
    for other in others:
        for picture in pictures(bundle, STEPS, 9):
            other.put(picture)
    kept = encode()
    for other in others:
        other.abandon()
    for name, rows in features(kept).items():
        np.testing.assert_allclose(rows, expected[name], rtol=0, atol=TOLERANCE)
