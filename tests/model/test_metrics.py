"""The numbers that a model is judged by, against values computed by hand."""

from pathlib import Path

import numpy as np
import pytest

from model.data.dataset import Clip, Dataset
from model.metrics.auroc import auroc
from model.metrics.calibration import calibration, calibration_error, reliability, softmax
from model.metrics.confusion import per_class
from model.metrics.interval import cluster_bootstrap, effective_number, wilson
from model.metrics.judgement import Judgement


def test_wilsons_interval_is_that_of_the_books() -> None:
    # 8 of 10: (0.8 + 1.92073/10 ± 1.95996 sqrt(0.016 + 3.84146/400)) / (1 + 3.84146/10)
    found = wilson(8, 10)
    assert (found.low, found.high) == pytest.approx((0.49016, 0.94332), abs=1e-5)
    assert (wilson(0, 10).low, wilson(10, 10).high) == pytest.approx((0, 1))
    assert wilson(0, 10).high == pytest.approx(3.84146 / 13.84146, abs=1e-5)
    with pytest.raises(ValueError, match="nothing was tested"):
        wilson(0, 0)


def test_clips_of_one_source_that_go_together_count_as_one() -> None:
    right = np.array([1.0, 1, 0, 0, 1, 1, 0, 0])
    # Four sources, each all right or all wrong: variance 4/3 * 4 * (2 * 0.5)² / 8² = 1/12, alone 1/4: three.
    assert effective_number(right, list("aabbccdd")) == pytest.approx(3)
    assert effective_number(right, list("abcdefgh")) == 8
    assert effective_number(np.ones(8), list("aabbccdd")) == 4
    # Each source half right and half wrong: nothing varies between them, and nothing says that they are more than four.
    assert effective_number(right, list("abababab")) <= 8


def test_drawing_sources_anew_spreads_as_sources_do() -> None:
    draw = np.random.default_rng(3)
    sources = [f"{number // 10}" for number in range(1000)]
    right = np.repeat(draw.random(100) < 0.6, 10).astype(float)
    found = cluster_bootstrap(right, sources)
    expected = 1.96 * float(np.sqrt(right.mean() * (1 - right.mean()) / 100))
    assert found.high - found.low == pytest.approx(2 * expected, rel=0.12)
    assert found.low < right.mean() < found.high
    assert found == cluster_bootstrap(right, sources)
    assert cluster_bootstrap(np.ones(4), list("aabb")).low == 1


def test_auroc_counts_pairs_and_ties_by_half() -> None:
    # 0.9 beats both, 0.5 ties one and beats the other, 0.1 loses to both: 2 + 1.5 + 0 of 6.
    assert auroc(np.array([0.9, 0.5, 0.1]), np.array([0.5, 0.2])) == pytest.approx(3.5 / 6)
    assert auroc(np.array([2.0, 3.0]), np.array([1.0])) == 1
    assert auroc(np.array([1.0]), np.array([1.0, 1.0])) == 0.5


def test_the_figures_of_each_action() -> None:
    first, second, third = per_class(np.array([[3, 1, 0], [2, 2, 0], [0, 0, 0]]))
    assert (first.recall, first.precision, first.f1) == pytest.approx((3 / 4, 3 / 5, 6 / 9))
    assert (second.recall, second.precision) == pytest.approx((1 / 2, 2 / 3))
    assert (third.recall, third.precision, third.f1) == (None, None, None)


def test_bins_hold_answers_by_score_and_their_gaps_are_the_calibration_error() -> None:
    scores = np.array([[0.9, 0.1], [0.9, 0.1], [0.6, 0.4], [0.45, 0.55]])
    labels = np.array([0, 1, 0, 1])
    bins = reliability(np.log(scores), labels)
    held = [one for one in bins if one.count]
    assert [one.count for one in held] == [1, 1, 2]
    assert [one.score for one in held] == pytest.approx([0.55, 0.6, 0.9])
    assert [one.right for one in held] == pytest.approx([1, 1, 0.5])
    assert held[2].low == pytest.approx(13 / 15)
    by_hand = (0.45 + 0.4 + 2 * 0.4) / 4
    assert calibration_error(bins) == pytest.approx(by_hand)
    assert calibration(np.log(scores), labels).ece == pytest.approx(by_hand)
    assert sum(one.count for one in reliability(np.array([[1000.0, 0.0]]), np.array([0]))) == 1


def _clip(label: str, source: str = "", number: int = 0) -> Clip:
    return Clip(Path(f"{number}.avi"), label, source, 0)


def test_strangers_are_kept_apart_and_told_by_how_sure_the_answers_are() -> None:
    clips = tuple(_clip(label, number=number) for number, label in enumerate(("run", "moon", "walk")))
    logits = np.log(np.array([[0.9, 0.1], [0.6, 0.4], [0.7, 0.3]]))
    told = Judgement.of(("run", "walk"), Dataset(clips), logits, temperature=1.0)
    assert [clip.label for clip in told.clips] == ["run", "walk"]
    assert told.accuracy == 0.5
    assert told.stranger_auroc == 1
    (mistake,) = told.mistakes(5)
    assert (mistake.clip.label, mistake.answer) == ("walk", "run")
    assert (mistake.score, mistake.truth) == pytest.approx((0.7, 0.3))
    with pytest.raises(ValueError, match="no clip shows an action"):
        Judgement.of(("sit",), Dataset(clips), logits, temperature=1.0)


def test_a_clip_that_was_answered_several_times_counts_once_for_how_sure_one_can_be() -> None:
    clips = tuple(_clip("run" if number < 5 else "walk", number=number) for number in range(10))
    places = np.tile(np.arange(10), 3)
    logits = np.tile(np.array([[2.0, 0.0]] * 9 + [[0.0, 2.0]]), (3, 1))
    told = Judgement(("run", "walk"), clips, places, logits)
    assert told.repetitions == 3
    assert told.accuracy == pytest.approx(0.6)
    assert told.interval == wilson(6, 10)
    assert told.majority == 0.5
    assert len(told.mistakes(99)) == 4
    assert told.matrix.sum() == 30


def test_scores_sum_to_one_and_a_temperature_flattens_them() -> None:
    logits = np.array([[3.0, 1.0, 0.0]])
    assert softmax(logits).sum() == pytest.approx(1)
    assert softmax(logits, 2).max() < softmax(logits).max()
