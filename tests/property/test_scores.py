"""From logits to ranked predictions, whatever the logits."""

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from numpy.typing import NDArray

from service.inference.postprocess import rank, scores

logits = npst.arrays(
    np.float32,
    st.tuples(st.integers(1, 4), st.integers(2, 30)),
    elements=st.floats(-1e4, 1e4, width=32),
)
temperatures = st.floats(0.05, 20)


@given(logits, temperatures)
def test_scores_are_probabilities_that_sum_to_one(values: NDArray[np.float32], temperature: float) -> None:
    given_scores = scores(values, temperature)
    assert given_scores.shape == values.shape[1:]
    assert np.isfinite(given_scores).all()
    assert (given_scores >= 0).all()
    assert math.isclose(given_scores.sum(), 1, rel_tol=1e-9)


@given(logits, temperatures)
def test_a_higher_logit_never_scores_lower(values: NDArray[np.float32], temperature: float) -> None:
    mean = values.astype(np.float64).mean(axis=0)
    in_order = scores(values, temperature)[np.argsort(mean, kind="stable")]
    assert (np.diff(in_order) >= 0).all()


@given(logits, st.floats(-100, 100))
def test_a_constant_added_to_all_logits_changes_nothing(values: NDArray[np.float32], more: float) -> None:
    small = np.clip(values, -100, 100)
    np.testing.assert_allclose(scores(small + np.float32(more), 1), scores(small, 1), atol=1e-4)


@given(logits, st.integers(1, 40), st.floats(0, 1))
def test_ranking_is_sorted_cut_and_leaves_out_nothing_better(
    values: NDArray[np.float32], top_k: int, min_score: float
) -> None:
    given_scores = scores(values, 1)
    labels = [f"label-{index}" for index in range(len(given_scores))]
    predictions = rank(given_scores, labels, top_k, min_score)
    told = [one.score for one in predictions]
    assert told == sorted(told, reverse=True)
    assert len(told) == min(top_k, int((given_scores >= min_score).sum()))
    assert all(one.label == labels[one.label_id] for one in predictions)
    assert all(one.score == given_scores[one.label_id] for one in predictions)
    left_out = np.delete(given_scores, [one.label_id for one in predictions])
    assert len(told) < top_k or not left_out.size or left_out.max() <= min(told)


@given(st.integers(2, 30), st.integers(1, 30))
def test_equals_keep_the_cards_order(labels: int, top_k: int) -> None:
    equal = np.full(labels, 1 / labels)
    assert [one.label_id for one in rank(equal, [""] * labels, top_k)] == list(range(min(labels, top_k)))
