"""From logits to ranked predictions: known values."""

import numpy as np
import pytest

from service.inference.postprocess import Prediction, rank, scores

LABELS = ("run", "jump", "sit")


def test_scores_are_the_softmax() -> None:
    logits = np.log(np.array([[1, 2, 5]], dtype=np.float32))
    np.testing.assert_allclose(scores(logits, 1), [0.125, 0.25, 0.625], rtol=1e-6)


def test_windows_are_averaged_before_the_softmax() -> None:
    logits = np.log(np.array([[1, 1, 1], [1, 4, 16]], dtype=np.float32))
    np.testing.assert_allclose(scores(logits, 1), np.array([1, 2, 4]) / 7, rtol=1e-6)


@pytest.mark.parametrize(("temperature", "expected"), [(0.5, [1, 4, 16]), (1, [1, 2, 4]), (2, [1, 2**0.5, 2])])
def test_a_temperature_above_one_evens_scores_out(temperature: float, expected: list[float]) -> None:
    logits = np.log(np.array([[1, 2, 4]], dtype=np.float32))
    np.testing.assert_allclose(scores(logits, temperature), np.array(expected) / sum(expected), rtol=1e-6)


def test_huge_logits_do_not_overflow() -> None:
    np.testing.assert_array_equal(scores(np.array([[1e30, 0, -1e30]], dtype=np.float32), 1), [1, 0, 0])


def test_the_best_come_first_with_their_place_in_the_labels() -> None:
    assert rank(np.array([0.2, 0.5, 0.3]), LABELS, top_k=2) == (Prediction("jump", 1, 0.5), Prediction("sit", 2, 0.3))


def test_a_score_of_exactly_min_score_is_kept() -> None:
    assert [one.label for one in rank(np.array([0.2, 0.5, 0.3]), LABELS, top_k=3, min_score=0.3)] == ["jump", "sit"]
