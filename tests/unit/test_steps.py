"""What the steps of a clip are to post-processors."""

from pathlib import Path

import numpy as np
import pytest

from service.inference.card import Card
from service.post.observation import Observation
from service.post.spec import Spec
from service.steps import events, observations
from service.video.decode import Decoded, Media
from tests.foreign import imported
from tests.samples import BUNDLE

CARD = Card.read(BUNDLE)
MEDIA = Media(2.0, 160, 120, 30.0, "container", "h264", 60)


def decoded(times_s: tuple[float, ...], steps: tuple[int, ...]) -> Decoded:
    return Decoded(MEDIA, times_s, steps, {}, 0, ())


def seen() -> tuple[list[Observation], np.ndarray, np.ndarray]:
    """Two windows, of three steps and of two, each after its anchor."""
    random = np.random.default_rng(0)
    logits = random.normal(size=(2, 3, len(CARD.labels))).astype(np.float32)
    motion = random.normal(size=(2, 3, 1280)).astype(np.float32)
    times_s = (0.0, 0.1, 0.2, 0.3, 1.0, 1.1, 1.2)
    return list(observations(CARD, decoded(times_s, (3, 2)), {"motion": motion}, logits)), logits, motion


def test_the_steps_of_all_windows_come_in_order_of_time_without_anchors_and_padding() -> None:
    assert [one.time_s for one in seen()[0]] == [0.1, 0.2, 0.3, 1.1, 1.2]


def test_scores_are_the_softmax_of_a_steps_logits_by_the_cards_temperature() -> None:
    made, logits, _ = seen()
    for one, row in zip(made, [*logits[0], *logits[1, :2]], strict=True):
        by_hand = np.exp(row.astype(np.float64) / CARD.temperature)
        np.testing.assert_allclose(one.scores, by_hand / by_hand.sum(), rtol=1e-6)


def test_each_step_has_the_motion_that_it_saw() -> None:
    made, _, motion = seen()
    assert all(one.fresh for one in made)
    for one, row in zip(made, [*motion[0], *motion[1, :2]], strict=True):
        assert one.motion is not None
        np.testing.assert_array_equal(one.motion, row)


def test_motion_of_a_slower_cadence_is_fresh_only_where_a_picture_was_made() -> None:
    slower = [kind.model_copy(update={"cadence": 2}) if kind.name == "motion" else kind for kind in CARD.evidence]
    card = CARD.model_copy(update={"evidence": tuple(slower)})
    zeros = np.zeros((1, 3, 1280), dtype=np.float32)
    logits = np.zeros((1, 3, len(CARD.labels)), dtype=np.float32)
    made = observations(card, decoded((0.0, 0.1, 0.2, 0.3), (3,)), {"motion": zeros}, logits)
    assert [one.fresh for one in made] == [True, False, True]


def test_a_graph_that_reads_whole_windows_is_heard_once_a_window_at_its_end(tmp_path: Path) -> None:
    card = imported("torchscript", tmp_path / "bundle").card
    length = card.sampling.clip_len
    times_s = tuple(step / 8 for step in range(length + 2))
    logits = np.zeros((2, 1, len(card.labels)), dtype=np.float32)
    made = list(observations(card, decoded(times_s, (1, 1)), {}, logits))
    assert [one.time_s for one in made] == [times_s[length - 1], times_s[-1]]
    assert all(one.motion is None for one in made)


@pytest.mark.parametrize("sure", [True, False])
def test_events_are_whole_and_in_order(sure: bool) -> None:
    logits = np.zeros((1, 4, len(CARD.labels)), dtype=np.float32)
    logits[0, :2, 3] = logits[0, 2:, 1] = 20 if sure else 0
    zeros = {"motion": np.zeros((1, 4, 1280), dtype=np.float32)}
    found = events(Spec.parse("hysteresis"), CARD, decoded((0.0, 0.1, 0.2, 0.3, 0.4), (4,)), zeros, logits)
    told = [(one.label_id, one.start_s, one.end_s) for one in found]
    assert told == ([(3, 0.1, 0.3), (1, 0.3, 0.4)] if sure else [])
