"""How familiar a clip is: graph, torch and numpy agree, chunks are the whole, and thresholds keep what they promise."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnxruntime as ort
import pytest
from numpy.typing import NDArray

from tests.model.clips import TORCH, WITHOUT_TORCH
from tests.require import need

if TORCH or TYPE_CHECKING:
    import torch

    from model.metrics.auroc import auroc
    from model.net.classifier import Classifier, ClassifierConfig
    from model.net.lstm import LstmConfig
    from model.onnx.graph import read_recurrent, write_recurrent
    from model.training import familiarity

LOOK, DRIFT, CLIPS = 20, 8, 60


@pytest.fixture(autouse=True, scope="module")
def _torch() -> None:
    need("train", TORCH, WITHOUT_TORCH)


def make_means() -> NDArray[np.float64]:
    """Clips that vary in five directions, float64 [CLIPS, LOOK]."""
    draw = np.random.default_rng(3)
    return 2 + draw.normal(size=(CLIPS, 5)) @ draw.normal(size=(5, LOOK)) + 0.1 * draw.normal(size=(CLIPS, LOOK))


FOLDS = np.arange(CLIPS) % 3


@pytest.fixture(scope="module")
def head() -> "Classifier":
    need("train", TORCH, WITHOUT_TORCH)
    torch.manual_seed(7)
    made = Classifier(
        ClassifierConfig({"look": LOOK, "drift": DRIFT}, 4, "lstm", LstmConfig(bottleneck=4, hidden=6))
    ).eval()
    for parameter in made.parameters():
        if parameter.requires_grad:
            torch.nn.init.normal_(parameter, std=0.2)
    draw = np.random.default_rng(4)
    score, _ = familiarity.judge({"look": make_means()}, FOLDS, draw.normal(size=CLIPS), np.ones(CLIPS))
    return familiarity.attach(made, score)


def by_hand(head: "Classifier", look: NDArray[np.float64], logits: NDArray[np.float64]) -> float:
    """The familiarity of one window, its features [T, LOOK], with its last logits [C]."""
    assert head.familiar is not None
    weights = {name: value.double().numpy() for name, value in head.familiar.state_dict().items()}
    part = {name.split(".")[-1]: value for name, value in weights.items()}
    mean = look.mean(0)
    within = np.linalg.norm((mean - part["centre"]) @ part["whitening"])
    unit = mean / (np.linalg.norm(mean) + 1e-6) - part["unit_centre"]
    off = np.linalg.norm(unit - unit @ part["directions"] @ part["directions"].T)
    strange = np.array([within, off, -logits.max()])
    return float(-((strange - part["usual"]) / part["spread"]).sum())


def test_the_graph_says_what_numpy_says_and_chunks_are_the_whole(head: "Classifier", tmp_path: Path) -> None:
    path = tmp_path / "recurrent.onnx"
    write_recurrent(head, path)
    session = ort.InferenceSession(path)
    draw = np.random.default_rng(5)
    look, drift = (draw.normal(2, 1, (2, 7, size)).astype(np.float32) for size in (LOOK, DRIFT))
    lengths = np.array([7, 4])
    names = [one.name for one in session.get_outputs()]
    start = {name: np.zeros((2, size), dtype=np.float32) for name, size in head.state_sizes.items()}

    def ask(
        steps: slice, counts: NDArray[np.int64], state: dict[str, NDArray[np.float32]]
    ) -> dict[str, NDArray[np.float32]]:
        given = {"look": look[:, steps], "drift": drift[:, steps], "lengths": counts, **state}
        return dict(zip(names, session.run(None, given), strict=True))

    whole = ask(slice(None), lengths, start)
    assert whole["familiarity"].shape == (2, 1)
    for row, length in enumerate(lengths):
        expected = by_hand(head, look[row, :length].astype(np.float64), whole["logits"][row, length - 1])
        assert whole["familiarity"][row, 0] == pytest.approx(expected, rel=1e-5, abs=1e-5)
    first = ask(slice(3), np.array([3, 3]), start)
    second = ask(slice(3, 7), lengths - 3, {name: first[f"next_{name}"] for name in start})
    np.testing.assert_allclose(second["familiarity"], whole["familiarity"], rtol=1e-5, atol=1e-5)
    again = read_recurrent(path).state_dict()
    assert all(torch.equal(again[name], value) for name, value in head.state_dict().items())


def test_a_known_clip_is_familiar_and_a_stranger_is_not() -> None:
    means = make_means()
    highest = np.full(CLIPS, 3.0)
    score, found = familiarity.judge({"look": means}, FOLDS, highest, np.ones(CLIPS))
    scale = familiarity.Scale(familiarity.out_of_fold({"look": means}, FOLDS, highest))
    strange = 2 + np.random.default_rng(6).normal(size=(30, LOOK)) * 2
    distances = familiarity.distances(score, {"look": strange}, np.arange(30))
    scores = scale.scores(np.column_stack([distances, np.full(30, -3.0)]))
    unseen = scale.scores(familiarity.out_of_fold({"look": means}, FOLDS, highest))
    assert auroc(unseen, scores) > 0.95
    assert (scores < found.threshold).mean() > 0.8
    assert found.false_alarms <= 0.05
    assert found.accuracy_cost <= 3
    assert found == familiarity.judge({"look": means}, FOLDS, highest, np.ones(CLIPS))[1]


def test_features_without_any_variation_can_be_fitted() -> None:
    score, found = familiarity.judge({"look": np.ones((8, 4))}, np.arange(8) % 2, np.ones(8), np.ones(8))
    assert np.isfinite(found.threshold)
    assert np.isfinite(familiarity.distances(score, {"look": np.zeros((1, 4))}, np.arange(1))).all()


@pytest.mark.parametrize(("share", "cost", "rejected"), [(0.05, 3.0, 3), (0.05, 100.0, 5), (0.0, 3.0, 0)])
def test_a_threshold_keeps_to_its_rates(share: float, cost: float, rejected: int) -> None:
    scores = np.random.default_rng(0).permutation(100).astype(np.float64)
    least = familiarity.threshold(scores, np.ones(100), share, cost)
    assert (scores < least).sum() == rejected


def test_answers_that_were_wrong_cost_nothing_when_they_are_rejected() -> None:
    least = familiarity.threshold(np.arange(100.0), np.repeat([0.0, 1.0], 50), 0.2, 3.0)
    assert (np.arange(100.0) < least).sum() == 20


def test_auroc_counts_pairs() -> None:
    assert auroc(np.array([1.0, 2.0]), np.array([0.0])) == 1
    assert auroc(np.array([0.0, 1.0]), np.array([1.0, 2.0])) == 0.125
    assert auroc(np.ones(3), np.ones(2)) == 0.5
