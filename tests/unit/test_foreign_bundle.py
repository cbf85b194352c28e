"""Graphs that others exported, made bundles of: their scores are those that onnxruntime gives by hand."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
from numpy.typing import NDArray

from service.alone import answer
from service.errors import BundleError, BundleMismatch, ImportRefused
from service.foreign.bundle import import_graph
from service.inference.bundle import Bundle
from service.inference.card import Card, sha256
from service.inference.session import Device
from service.inference.window import WindowReader
from service.video.decode import DecodeTask, MadePicture, decode
from service.video.source import NO_LIMITS
from tests.foreign import FLOATS, LABELS, MEAN, NEEDED, ONNX, STD, TITLE, given, imported
from tests.samples import clip

CPU = Device.choose("cpu", 1)
Floats = NDArray[Any]


def windows(card: Card, data: bytes) -> list[NDArray[np.uint8]]:
    """The pictures of each window as the decoder makes them, the last one repeated where a window is short."""
    made: dict[int, list[NDArray[np.uint8]]] = {}

    def take(picture: MadePicture) -> None:
        made.setdefault(picture.window, []).append(picture.pixels.copy())

    decode(data, DecodeTask(card.plan, card.evidence, NO_LIMITS), take)
    full = card.sampling.clip_len
    return [np.stack([*pictures, *[pictures[-1]] * (full - len(pictures))]) for pictures in made.values()]


def normalised(window: NDArray[np.uint8]) -> Floats:
    return np.asarray((window / 255 - np.array(MEAN)) / np.array(STD), dtype=np.float32)


def softmax(logits: Floats) -> Floats:
    exponentials = np.exp(logits.astype(np.float64))
    return np.asarray(exponentials / exponentials.sum())


Run = Callable[..., list[Floats]]


def torchscript(run: Run, window: NDArray[np.uint8]) -> Floats:
    (logits,) = run(None, {"frames": normalised(window).transpose(0, 3, 1, 2)[None]})
    return logits[:1]


def dynamo(run: Run, window: NDArray[np.uint8]) -> Floats:
    volume = normalised(window).transpose(3, 0, 1, 2)
    (logits,) = run(None, {"clip": np.stack([volume, volume])})
    return logits[:1]


def half(run: Run, window: NDArray[np.uint8]) -> Floats:
    (logits,) = run(None, {"frames": normalised(window).transpose(0, 3, 1, 2)[None].astype(np.float16)})
    return logits[:, -1].astype(np.float32)


def state(run: Run, window: NDArray[np.uint8]) -> Floats:
    zeros = np.zeros((1, 1, 8), dtype=np.float32)
    frames = normalised(window).transpose(0, 3, 1, 2)[None]
    (logits,) = run(["logits"], {"frames": frames, "h0": zeros, "c0": zeros})
    return logits


def handmade(run: Run, window: NDArray[np.uint8]) -> Floats:
    (probabilities,) = run(None, {"video": window[None], "lengths": np.array([len(window)])})
    return np.asarray(np.log(probabilities))


BY_HAND = {"torchscript": torchscript, "dynamo": dynamo, "half": half, "state": state, "handmade": handmade}
# float16 has eleven bits; normalising in another order moves the last of them.
APART = {"half": 2e-3}


@pytest.mark.parametrize("name", BY_HAND)
def test_scores_are_those_that_onnxruntime_gives_by_hand(name: str, tmp_path: Path) -> None:
    card = imported(name, tmp_path / "bundle").card
    bundle = Bundle.load(tmp_path / "bundle", CPU, "auto")
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
    run = ort.InferenceSession(ONNX / f"{name}.onnx", options).run
    seen = set()
    for sample in ("h264.mp4", "real-golf.mp4", "short.mp4"):
        by_hand = [BY_HAND[name](run, window) for window in windows(card, clip(sample))]
        expected = softmax(np.concatenate(by_hand).mean(axis=0))
        found = answer(bundle, clip(sample))
        np.testing.assert_allclose(found, expected, rtol=0, atol=APART.get(name, 1e-5))
        seen.add(tuple(found.round(3)))
    assert len(seen) == 3, "clips are told apart"
    assert len(windows(card, clip("h264.mp4"))) == 2


@pytest.mark.parametrize("name", NEEDED)
def test_the_card_says_what_the_graph_says_and_states_golden_scores(name: str, tmp_path: Path) -> None:
    made = imported(name, tmp_path / "bundle").card
    card = Card.read(tmp_path / "bundle")
    assert card == made
    assert (card.recurrent.head, card.recurrent.streams) == ("whole", False)
    assert card.whole is not None
    assert card.whole.batch == (2 if name == "dynamo" else None)
    assert card.whole.gives == ("probabilities" if name == "handmade" else "logits")
    assert card.whole.half == (name == "half")
    assert card.golden.tolerance == (1e-2 if name == "half" else 1e-3)
    assert card.golden.scores == tuple(answer(Bundle.load(tmp_path / "bundle", CPU), clip("real-golf.mp4")).tolist())
    assert set(card.files) == {f"{name}.onnx", "golden.clip"}
    assert (tmp_path / "bundle" / f"{name}.onnx").read_bytes() == (ONNX / f"{name}.onnx").read_bytes()


def test_the_last_steps_answer_is_not_their_mean(tmp_path: Path) -> None:
    last = imported("half", tmp_path / "last").card.golden.scores
    mean = imported("half", tmp_path / "mean", steps="mean").card.golden.scores
    assert np.abs(np.subtract(last, mean)).max() > 0.01


def test_a_graph_that_takes_one_clip_at_a_time_whatever_it_says_is_given_one(tmp_path: Path) -> None:
    made = imported("odd-batch-of-one", tmp_path / "bundle")
    assert made.tried.whole.batch == 1
    bundle = Bundle.load(tmp_path / "bundle", Device.choose("cpu", 1, max_batch=8))
    assert bundle.max_batch == 1
    (reader,) = bundle.encoders.values()
    window = reader.blank(4)
    np.testing.assert_array_equal(*reader.encode([window, window])["clip"])


def test_a_graph_that_mixes_the_clips_of_a_batch_is_given_one(tmp_path: Path) -> None:
    assert imported("odd-mixing", tmp_path / "bundle").tried.whole.batch == 1


@pytest.mark.parametrize(
    ("name", "changes", "words"),
    [
        ("odd-mixing-two", {}, "the graph's answer to a clip depends on the others in its batch"),
        ("odd-training", {}, "the graph's answer to the same clip is another one each time"),
        ("odd-not-finite", {}, "the graph's answer to a random clip has numbers that are not finite"),
        ("odd-time-first", {"steps": "last"}, "the graph's answer has no row for each clip of a batch"),
        (
            "odd-open-answer",
            {"labels": LABELS[:3]},
            "--labels has 3 labels, but the graph's answer to a window is 4 numbers",
        ),
        (
            "odd-open-axes",
            {"layout": "btchw", "clip_len": 4, "size": 8},
            "the graph does not run on a window of 4 frames of 8 pixels: ",
        ),
    ],
)
def test_a_graph_whose_answers_cannot_be_relied_on_is_refused(
    name: str, changes: dict[str, Any], words: str, tmp_path: Path
) -> None:
    with pytest.raises(ImportRefused) as refused:
        imported(name, tmp_path / "bundle", **changes)
    assert words in refused.value.detail
    assert refused.value.advice
    assert not list(tmp_path.iterdir()), "nothing is left behind"


def test_probabilities_of_labels_that_do_not_exclude_each_other_are_warned_of(tmp_path: Path) -> None:
    made = imported("odd-sigmoid", tmp_path / "bundle")
    assert made.tried.whole.gives == "logits"
    assert "do not exclude each other" in made.tried.warning
    assert not imported("torchscript", tmp_path / "other").tried.warning


def test_weights_in_another_file_come_along(tmp_path: Path) -> None:
    card = imported("odd-external", tmp_path / "bundle").card
    assert "odd-external.weights" in card.files
    Bundle.load(tmp_path / "bundle", CPU)


def test_a_graph_without_its_weights_is_refused(tmp_path: Path) -> None:
    shutil.copy(ONNX / "odd-external.onnx", tmp_path / "alone.onnx")
    with pytest.raises(ImportRefused) as refused:
        import_graph(tmp_path / "alone.onnx", given(**FLOATS), TITLE, tmp_path / "bundle")
    assert "alone.onnx is not a graph that onnxruntime can load" in refused.value.detail
    assert "beside it" in refused.value.advice


def test_what_is_no_graph_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text.onnx").write_text("no graph")
    for name, words in (("text.onnx", "is not a graph"), ("none.onnx", "is no file")):
        with pytest.raises(ImportRefused, match=words):
            import_graph(tmp_path / name, given(), TITLE, tmp_path / "bundle")


def test_a_file_with_an_odd_name_is_renamed(tmp_path: Path) -> None:
    shutil.copy(ONNX / "torchscript.onnx", tmp_path / "my model (1).onnx")
    card = import_graph(tmp_path / "my model (1).onnx", given(**FLOATS), TITLE, tmp_path / "bundle").card
    assert "clip.onnx" in card.files


def test_a_bundle_is_replaced_and_nothing_else_is(tmp_path: Path) -> None:
    imported("torchscript", tmp_path / "bundle")
    card = imported("state", tmp_path / "bundle").card
    assert {path.name for path in (tmp_path / "bundle").iterdir()} == {*card.files, "card.json"}
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("kept")
    for place in (tmp_path / "mine", tmp_path / "mine" / "notes.txt"):
        with pytest.raises(BundleError, match="is there and is no bundle"):
            imported("state", place)
    with pytest.raises(BundleError, match=r"cannot be written: .*(Not a directory|File exists)"):
        imported("state", tmp_path / "mine" / "notes.txt" / "bundle")
    assert (tmp_path / "mine" / "notes.txt").read_text() == "kept"
    assert {path.name for path in tmp_path.iterdir()} == {"bundle", "mine"}


def test_a_golden_clip_that_is_none_leaves_the_older_bundle_as_it_was(tmp_path: Path) -> None:
    before = imported("torchscript", tmp_path / "bundle").card
    with pytest.raises(Exception, match="text, not a video"):
        imported("state", tmp_path / "bundle", golden=clip("text.mp4"))
    assert Card.read(tmp_path / "bundle") == before


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("made") / "bundle"
    imported("state", directory)
    return directory


Edit = Callable[[dict[str, Any]], None]


def another_layout(card: dict[str, Any]) -> None:
    card["whole"]["layout"] = "ncthw"


def another_size(card: dict[str, Any]) -> None:
    card["evidence"][0]["size"] = 64


def another_state(card: dict[str, Any]) -> None:
    card["whole"]["zeros"][0]["shape"] = [1, "batch", 9]


def a_state_less(card: dict[str, Any]) -> None:
    del card["whole"]["zeros"][0]


def another_answer(card: dict[str, Any]) -> None:
    card["whole"]["output"] = "scores"


def one_label_less(card: dict[str, Any]) -> None:
    card["labels"].pop()
    card["golden"]["scores"].pop()
    card["evidence"][0]["features"] = 3


@pytest.mark.parametrize(
    ("change", "both_sides"),
    [
        (
            another_layout,
            "has the input frames float [?, 3, 8, 32, 32], but the graph's inputs are frames float",
        ),
        (another_size, "has the input frames float [?, 8, 3, 64, 64], but the graph's"),
        (another_state, "has the input h0 float [1, ?, 9], but the graph's"),
        (a_state_less, "knows no input h0 of state.onnx, but the graph needs it"),
        (another_answer, "has the output scores float [?, 4], but the graph's outputs are logits"),
        (one_label_less, "tells 3 labels apart, but the graph's answer to one window is 1 x 4 numbers"),
    ],
)
def test_a_card_that_contradicts_its_graph_is_refused(
    made: Path, change: Edit, both_sides: str, tmp_path: Path
) -> None:
    bundle = Path(shutil.copytree(made, tmp_path / "bundle"))
    card = json.loads((bundle / "card.json").read_text())
    change(card)
    (bundle / "card.json").write_text(json.dumps(card))
    with pytest.raises(BundleMismatch) as refused:
        Bundle.load(bundle, CPU)
    assert both_sides in refused.value.detail


def another_head(card: dict[str, Any]) -> None:
    card["recurrent"]["head"] = "lstm"


def streaming(card: dict[str, Any]) -> None:
    card["recurrent"]["streams"] = True


def slow_cadence(card: dict[str, Any]) -> None:
    card["evidence"][0]["cadence"] = 2


def no_mean(card: dict[str, Any]) -> None:
    del card["whole"]["mean"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (another_head, "with 'whole', 'recurrent' has the head 'whole', the file state.onnx and nothing to carry"),
        (streaming, "with 'whole', 'recurrent' has the head"),
        (slow_cadence, "with 'whole' there is one kind of evidence"),
        (no_mean, "'mean' and 'std' belong to graphs that read floats"),
    ],
)
def test_a_card_that_contradicts_itself_is_refused(made: Path, change: Edit, words: str) -> None:
    card = json.loads((made / "card.json").read_text())
    change(card)
    with pytest.raises(ValueError, match=words):
        Card.model_validate(card)


def test_int8_is_refused_as_for_every_bundle_without_twins(made: Path) -> None:
    with pytest.raises(BundleError, match="has no int8 twins"):
        Bundle.load(made, CPU, "int8")
    assert Bundle.load(made, CPU, "auto").precision == "fp32"


def test_files_are_vouched_for(made: Path) -> None:
    for name, record in Card.read(made).files.items():
        assert sha256(made / name) == record.sha256
    (reader,) = Bundle.load(made, CPU).encoders.values()
    assert isinstance(reader, WindowReader)
    assert reader.reads == 8
