"""Calibration, with a clock and encoders whose time is known."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from service.inference.calibrate import best_batch, seconds_a_step
from service.inference.card import Evidence


def test_the_smallest_batch_near_the_best_is_taken() -> None:
    costs = {1: 10.0, 2: 6.0, 4: 4.1, 8: 4.0, 16: 4.2}
    assert best_batch(costs.__getitem__, costs) == 4


def test_a_single_size_is_taken_without_trying() -> None:
    def untried(size: int) -> float:
        raise AssertionError(size)

    assert best_batch(untried, (48,)) == 48


def test_sizes_beyond_the_devices_memory_are_left_out() -> None:
    tried: list[int] = []

    def cost(size: int) -> float:
        tried.append(size)
        if size > 4:
            raise RuntimeError("no memory on the device")
        return 1 / size

    assert best_batch(cost, (1, 2, 4, 8, 16)) == 4
    assert tried == [1, 2, 4, 8]


def test_a_device_that_cannot_run_one_picture_is_at_fault() -> None:
    def broken(size: int) -> float:
        raise RuntimeError("no device")

    with pytest.raises(RuntimeError, match="no device"):
        best_batch(broken, (1, 2))


class Timed:
    """An encoder that takes as long as it is told to, on a clock of its own."""

    def __init__(self, takes: dict[int, list[float]]) -> None:
        self.now = 0.0
        self._takes = takes

    def blank(self, size: int) -> Any:
        return np.zeros((size, size, 3), dtype=np.uint8)

    def encode(self, pictures: Sequence[Any]) -> Any:
        self.now += self._takes[pictures[0].shape[0]].pop(0)
        return {}


def test_a_step_costs_the_least_time_of_each_kind_shared_by_batch_and_cadence() -> None:
    timed = Timed({32: [50.0, 9.0, 8.0, 8.5], 16: [50.0, 2.0, 3.0, 1.0]})
    evidence = [
        Evidence(name="appearance", picture="rgb", size=32, cadence=4, features=8, file="a.onnx"),
        Evidence(name="motion", picture="rgb", size=16, cadence=1, features=8, file="m.onnx"),
    ]
    encoders: Any = {"appearance": timed, "motion": timed}
    assert seconds_a_step(encoders, evidence, 2, lambda: timed.now) == pytest.approx(8.0 / 2 / 4 + 1.0 / 2)
