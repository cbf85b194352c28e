"""The features of a clip, put in the order that the recurrent head reads them in."""

import numpy as np
import pytest

from service.inference.card import LENGTHS, Evidence
from service.inference.sequence import Sequence


def kind(name: str, cadence: int, features: int = 1) -> Evidence:
    return Evidence(name=name, picture="rgb", size=8, cadence=cadence, features=features, file=f"{name}.onnx")


def filled(cadence: int, windows: int = 1, steps: int = 5) -> Sequence:
    """Features that say where they are from: 100 for each window, 1 for each step."""
    sequence = Sequence([kind("look", cadence)])
    for window in range(windows):
        for step in range(0, steps, cadence):
            sequence.put("look", window, step, np.array([100 * window + step], dtype=np.float32))
    return sequence


def test_features_come_in_the_order_of_windows_and_steps_whatever_order_they_were_put_in() -> None:
    sequence = Sequence([kind("look", 1, features=2)])
    for step in (2, 0, 1):
        sequence.put("look", 0, step, np.array([step, 10 * step], dtype=np.float32))
    inputs = sequence.inputs([3])
    np.testing.assert_array_equal(inputs["look"], [[[0, 0], [1, 10], [2, 20]]])
    np.testing.assert_array_equal(inputs[LENGTHS], [3])
    assert [str(inputs[name].dtype) for name in ("look", LENGTHS)] == ["float32", "int64"]


@pytest.mark.parametrize(
    ("cadence", "held"), [(1, [0, 1, 2, 3, 4]), (2, [0, 0, 2, 2, 4]), (3, [0, 0, 0, 3, 3]), (9, [0, 0, 0, 0, 0])]
)
def test_a_slower_kind_is_held_until_its_next_picture(cadence: int, held: list[int]) -> None:
    np.testing.assert_array_equal(filled(cadence).inputs([5])["look"][0, :, 0], held)


def test_each_window_is_a_row_padded_with_zeros_to_the_longest() -> None:
    inputs = filled(cadence=2, windows=3).inputs([5, 1, 3])
    np.testing.assert_array_equal(inputs["look"][..., 0], [[0, 0, 2, 2, 4], [100, 0, 0, 0, 0], [200, 200, 202, 0, 0]])
    np.testing.assert_array_equal(inputs[LENGTHS], [5, 1, 3])


def test_every_kind_has_rows_of_its_own() -> None:
    sequence = Sequence([kind("look", 2), kind("drift", 1, features=3)])
    sequence.put("look", 0, 0, np.array([1], dtype=np.float32))
    for step in range(2):
        sequence.put("drift", 0, step, np.array([2, 3, step], dtype=np.float32))
    inputs = sequence.inputs([2])
    np.testing.assert_array_equal(inputs["look"], [[[1], [1]]])
    np.testing.assert_array_equal(inputs["drift"], [[[2, 3, 0], [2, 3, 1]]])


def test_features_that_are_missing_are_an_error_and_not_zeros() -> None:
    with pytest.raises(KeyError):
        filled(cadence=1, steps=4).inputs([5])


def test_its_length_is_the_number_of_pictures_encoded() -> None:
    assert len(filled(cadence=2, windows=2)) == 6
