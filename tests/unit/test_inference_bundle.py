"""A bundle is refused where its card and its files contradict each other, naming both sides."""

import json
import math
import shutil
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from service.errors import BundleError, BundleMismatch
from service.inference.bundle import Bundle, metadata
from service.inference.card import Card, sha256
from service.inference.session import Device, Session
from tests.require import need
from tests.samples import BUNDLE

CPU = Device.choose("cpu", 1)
Edit = Callable[[dict[str, Any]], None]


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """A copy of the shipped bundle, to be broken."""
    return Path(shutil.copytree(BUNDLE, tmp_path / "bundle"))


def edit(bundle: Path, change: Edit) -> None:
    path = bundle / "card.json"
    card = json.loads(path.read_text())
    change(card)
    path.write_text(json.dumps(card))


def test_the_shipped_bundle_loads_and_its_metadata_is_its_cards() -> None:
    bundle = Bundle.load(BUNDLE, CPU)
    assert metadata(bundle.card).items() <= dict(bundle.recurrent.session.metadata).items()


def test_a_missing_file_is_refused(bundle: Path) -> None:
    (bundle / "appearance.onnx").unlink()
    with pytest.raises(BundleMismatch, match=r"card\.json lists appearance\.onnx, but .* has no such file"):
        Bundle.load(bundle, CPU)


def test_another_file_is_refused(bundle: Path) -> None:
    with (bundle / "recurrent.onnx").open("ab") as file:
        file.write(b"\0")
    with pytest.raises(BundleMismatch, match=r"the sha256 [0-9a-f]{64}, but the file's is [0-9a-f]{64}"):
        Bundle.load(bundle, CPU)


def one_label_less(card: dict[str, Any]) -> None:
    card["labels"].pop()
    card["golden"]["scores"].pop()
    card["int8"]["scores"].pop()


def labels_in_another_order(card: dict[str, Any]) -> None:
    card["labels"].reverse()


def another_rate(card: dict[str, Any]) -> None:
    card["sampling"]["fps"] = 25


def another_version(card: dict[str, Any]) -> None:
    card["version"] = "9.9.9"


def a_larger_picture(card: dict[str, Any]) -> None:
    card["evidence"][0]["size"] = 256


def fewer_features(card: dict[str, Any]) -> None:
    card["evidence"][1]["features"] = 640


def another_state(card: dict[str, Any]) -> None:
    card["recurrent"]["state"][-1]["name"] = "memory"


def a_smaller_state(card: dict[str, Any]) -> None:
    card["recurrent"]["state"][-1]["size"] = 8


def one_kind_less(card: dict[str, Any]) -> None:
    card["evidence"].pop()


def abstaining(**changed: Any) -> Edit:
    """Has a card say how the model tells that it does not know a clip."""
    told = {
        "output": "certainty",
        "score": "how sure the head is",
        "threshold": -2.5,
        "false_alarms": 0.05,
        "accuracy_cost": 1,
        "clips": 669,
        "split": "none",
    }
    return lambda card: card.update(abstention=told | changed)


def strangers(**changed: Any) -> Edit:
    return abstaining(strangers=[{"name": "others", "clips": 90, "auroc": 0.9, "rejected": 0.4} | changed])


@pytest.mark.parametrize(
    ("change", "card_side", "graph_side"),
    [
        (one_label_less, r"output logits float \[\?, \?, 20\]", r"logits float \[\?, \?, 21\]"),
        (labels_in_another_order, r"kinema\.labels as .*wave.*brush_hair", "the metadata of .* as .*brush_hair.*wave"),
        (another_rate, r"kinema\.sampling as .*25", "the metadata of .* as .*10"),
        (another_version, r"kinema\.version as 9\.9\.9", r"the metadata of .* as 1\.2\.0"),
        (a_larger_picture, r"pictures uint8 \[\?, 256, 256, 3\]", r"pictures uint8 \[\?, 224, 224, 3\]"),
        (fewer_features, r"features float \[\?, 640\]", r"features float \[\?, 1280\]"),
        (another_state, "input memory", "the graph's inputs are"),
        (a_smaller_state, r"float \[\?, 8\]", r"float \[\?, 96\]"),
        (one_kind_less, "knows no input pose", "the graph needs it"),
        (abstaining(), "output certainty", "the graph's outputs are"),
    ],
)
def test_a_contradiction_is_refused_naming_both_sides(
    bundle: Path, change: Edit, card_side: str, graph_side: str
) -> None:
    edit(bundle, change)
    with pytest.raises(BundleMismatch, match=f"{card_side}.*, but .*{graph_side}"):
        Bundle.load(bundle, CPU)


def test_a_graph_with_more_labels_than_card_and_metadata_say_is_refused(bundle: Path) -> None:
    need("train", find_spec("onnx") is not None, "the metadata of a graph is changed with the package onnx")
    import onnx

    edit(bundle, one_label_less)
    card = json.loads((bundle / "card.json").read_text())
    path = bundle / "recurrent.onnx"
    graph = onnx.load(path)
    onnx.helper.set_model_props(graph, metadata(Card.read(bundle)))
    onnx.save(graph, path)
    card["files"][path.name]["sha256"] = sha256(path)
    (bundle / "card.json").write_text(json.dumps(card))
    with pytest.raises(BundleMismatch, match=r"logits float \[\?, \?, 20\], but the graph's outputs are .* 21\]"):
        Bundle.load(bundle, CPU)


def test_a_file_that_is_no_graph_is_refused(bundle: Path) -> None:
    path = bundle / "motion.onnx"
    path.write_bytes(b"no graph")
    edit(bundle, lambda card: card["files"]["motion.onnx"].update(sha256=sha256(path)))
    with pytest.raises(BundleError, match=r"motion\.onnx is not a graph"):
        Bundle.load(bundle, CPU)


def test_a_directory_without_a_card_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="is not a bundle"):
        Card.read(tmp_path)


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda card: card.update(colour="red"), "colour"),
        (lambda card: card.pop("temperature"), "temperature"),
        (lambda card: card.update(format=2), "format"),
        (lambda card: card["labels"].__setitem__(1, card["labels"][0]), "labels repeats a name"),
        (lambda card: card["evidence"][1].update(name=card["evidence"][0]["name"]), "evidence repeats a name"),
        (lambda card: card["recurrent"]["state"].append(card["recurrent"]["state"][0]), "state repeats a name"),
        (lambda card: card["golden"]["scores"].pop(), "20 golden scores for 21 labels"),
        (lambda card: card["evidence"][0].update(flow=card["evidence"][1]["flow"]), "belongs to pictures of flow"),
        (lambda card: card["evidence"][1].pop("flow"), "belongs to pictures of flow"),
        (lambda card: card["files"].pop("motion.onnx"), r"'files' does not list motion\.onnx"),
        (lambda card: card["recurrent"].update(file="../outside.onnx"), r"recurrent\.file"),
        (lambda card: card.update(temperature=0), "temperature"),
        (lambda card: card.pop("int8"), "what int8 twins cost"),
        (lambda card: [kind.pop("int8") for kind in card["evidence"]], "what int8 twins cost"),
        (lambda card: card["int8"]["scores"].pop(), "20 golden scores in int8 for 21 labels"),
        (lambda card: card["files"].pop("motion.int8.onnx"), r"'files' does not list motion\.int8\.onnx"),
        (abstaining(output="logits"), "the recurrent graph's outputs repeats a name"),
        (abstaining(threshold=math.nan), r"abstention\.threshold"),
        (abstaining(false_alarms=1.5), r"abstention\.false_alarms"),
        (abstaining(false_alarms_int8=-0.1), r"abstention\.false_alarms_int8"),
        (abstaining(clips=0), r"abstention\.clips"),
        (abstaining(sure=True), r"abstention\.sure"),
        (strangers(auroc=2), r"abstention\.strangers\.0\.auroc"),
        (strangers(rejected=-1), r"abstention\.strangers\.0\.rejected"),
    ],
)
def test_a_card_that_is_not_valid_is_refused_by_its_fault(bundle: Path, change: Edit, fault: str) -> None:
    edit(bundle, change)
    with pytest.raises(BundleError, match=fault):
        Card.read(bundle)


def test_a_card_that_is_no_json_is_refused(bundle: Path) -> None:
    (bundle / "card.json").write_text("{")
    with pytest.raises(BundleError, match="not a valid card"):
        Card.read(bundle)


def test_a_clip_in_chunks_with_carried_state_equals_the_whole() -> None:
    bundle = Bundle.load(BUNDLE, CPU)
    random = np.random.default_rng(0)
    features = {kind.name: random.random((2, 12, kind.features), dtype=np.float32) for kind in bundle.card.evidence}

    def part(start: int, stop: int) -> dict[str, Any]:
        cut = {name: rows[:, start:stop] for name, rows in features.items()}
        return {**cut, "lengths": np.full(2, stop - start, dtype=np.int64)}

    whole, _ = bundle.recurrent.run(part(0, 12))
    _, state = bundle.recurrent.run(part(0, 5))
    _, state = bundle.recurrent.run(part(5, 6), state)
    chunked, _ = bundle.recurrent.run(part(6, 12), state)
    np.testing.assert_allclose(chunked, whole, rtol=1e-5)


def test_padding_beyond_the_lengths_changes_nothing() -> None:
    bundle = Bundle.load(BUNDLE, CPU)
    random = np.random.default_rng(0)
    rows = {kind.name: random.random((1, 9, kind.features), dtype=np.float32) for kind in bundle.card.evidence}
    lengths = np.array([6], dtype=np.int64)
    padded, _ = bundle.recurrent.run({**rows, "lengths": lengths})
    cut, _ = bundle.recurrent.run({**{name: one[:, :6] for name, one in rows.items()}, "lengths": lengths})
    np.testing.assert_allclose(padded, cut, rtol=1e-5)


def without_twins(card: dict[str, Any]) -> None:
    del card["int8"]
    for kind in card["evidence"]:
        del card["files"][kind.pop("int8")]


def costly(card: dict[str, Any]) -> None:
    card["int8"]["accuracy_fall"] = 0.5


def test_twins_read_what_their_encoders_read_and_say_nearly_the_same() -> None:
    loaded = [Bundle.load(BUNDLE, CPU, precision) for precision in ("fp32", "int8")]
    random = np.random.default_rng(0)
    for kind in loaded[0].card.evidence:
        picture = cv2.GaussianBlur(random.integers(0, 256, (kind.size, kind.size, 3), dtype=np.uint8), (0, 0), 6)
        full, twin = (one.encoders[kind.name].encode([np.ascontiguousarray(picture)])[kind.name][0] for one in loaded)
        likeness = float(full @ twin / np.linalg.norm(full) / np.linalg.norm(twin))
        assert 0.9 < likeness < 1


def test_the_golden_scores_are_those_of_the_precision_in_use() -> None:
    card = Card.read(BUNDLE)
    assert card.int8 is not None
    fp32, int8 = (Bundle.load(BUNDLE, CPU, precision) for precision in ("fp32", "int8"))
    assert (fp32.precision, fp32.card) == ("fp32", card)
    assert int8.precision == "int8"
    assert (int8.card.golden.scores, int8.card.golden.tolerance) == (card.int8.scores, card.int8.tolerance)


def test_a_bundle_without_twins_loads_and_int8_is_refused(bundle: Path) -> None:
    edit(bundle, without_twins)
    assert Bundle.load(bundle, CPU, "auto").precision == "fp32"
    assert Card.read(bundle).served_in("int8") == Card.read(bundle)
    with pytest.raises(BundleError, match=r"everyday-actions 1\.2\.0 has no int8 twins"):
        Bundle.load(bundle, CPU, "int8")


def test_auto_leaves_twins_that_cost_half_a_point(bundle: Path) -> None:
    edit(bundle, costly)
    assert Bundle.load(bundle, CPU, "auto").precision == "fp32"
    assert Bundle.load(bundle, CPU, "int8").precision == "int8"


def test_a_twin_of_another_kind_is_refused(bundle: Path) -> None:
    def swap(card: dict[str, Any]) -> None:
        appearance, motion = card["evidence"][:2]
        appearance["int8"], motion["int8"] = motion["int8"], appearance["int8"]

    edit(bundle, swap)
    with pytest.raises(BundleMismatch, match=r"motion\.int8\.onnx has the input pictures uint8 \[\?, 224"):
        Bundle.load(bundle, CPU, "int8")


def test_a_session_names_the_inputs_and_outputs_of_its_graph() -> None:
    session = Session(BUNDLE / "motion.onnx", CPU)
    assert [str(one) for one in session.inputs] == ["pictures uint8 [?, 112, 112, 3]"]
    assert [one.name for one in session.outputs] == ["features"]
