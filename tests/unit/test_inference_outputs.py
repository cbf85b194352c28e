"""Bundles with a map, further outputs and shared files: what they must have, and what they give."""

import shutil
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from bench.peers.work import Work
from service.alone import answer
from service.errors import BundleError, BundleMismatch
from service.http.schemas import OutputsOut
from service.inference.batcher import Batcher, Order
from service.inference.bundle import Bundle, metadata
from service.inference.card import Card, Output
from service.inference.outputs import WindowOutputs, by_window
from service.inference.sequence import Sequence
from service.inference.session import Device
from service.video.decode import DecodeTask, MadePicture, decode
from service.video.source import NO_LIMITS
from tests.bundles import (
    COLUMNS,
    HOPS,
    ROWS,
    SHARED,
    SIZE,
    Edit,
    edit,
    make_bundle,
    parts,
    relist,
    save_encoder,
    save_recurrent,
    stamp,
)
from tests.orders import alone_and_together
from tests.samples import BUNDLE, clip

CPU = Device.choose("cpu", 1)
STEPS = 6


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bundle(tmp_path_factory.mktemp("bundles"))


@pytest.fixture(scope="module")
def loaded(made: Path) -> Bundle:
    return Bundle.load(made, CPU)


@pytest.fixture
def bundle(made: Path, tmp_path: Path) -> Path:
    """A copy of the bundle and of the encoders beside it, to be broken."""
    return Path(shutil.copytree(made.parent, tmp_path / "copy")) / made.name


def test_a_file_is_in_the_bundle_or_where_the_card_says_beside_it(made: Path) -> None:
    card = Card.read(made)
    assert card.path(made, "recurrent.onnx") == made.resolve() / "recurrent.onnx"
    assert card.path(made, "look.onnx") == made.resolve().parent / SHARED / "look.onnx"
    with pytest.raises(KeyError):
        card.path(made, "other.onnx")
    shipped = Card.read(BUNDLE)
    assert all(shipped.path(BUNDLE, name) == BUNDLE / name for name in shipped.files)


def test_a_bundle_is_loaded_by_any_of_its_names(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    link = tmp_path / "link"
    link.symlink_to(made)
    assert Bundle.load(link, CPU).card == Card.read(made)
    monkeypatch.chdir(made)
    assert Bundle.load(Path(), CPU).card == Card.read(made)


def test_bundles_of_other_names_share_encoders(bundle: Path) -> None:
    other = make_bundle(bundle.parent, "other")
    before = {path.name for path in other.iterdir()}
    assert before == {"card.json", "golden.mp4", "recurrent.onnx"}
    assert [Bundle.load(one, CPU).card.name for one in (bundle, other)] == ["small", "other"]


def test_a_shared_file_that_is_missing_is_refused_with_what_belongs_together(bundle: Path) -> None:
    (bundle.parent / SHARED).rename(bundle.parent / "elsewhere")
    with pytest.raises(
        BundleMismatch, match=r"lists look\.onnx in encoders, but .*encoders has no such file"
    ) as caught:
        Bundle.load(bundle, CPU)
    assert "have to be kept together" in caught.value.advice
    assert f"put the directory {SHARED} beside {bundle.name}" in caught.value.advice


def test_a_shared_file_that_is_another_is_refused(bundle: Path) -> None:
    with (bundle.parent / SHARED / "look.onnx").open("ab") as file:
        file.write(b"\0")
    with pytest.raises(BundleMismatch, match=r"gives look\.onnx the sha256 [0-9a-f]{64}, but the file's is"):
        Bundle.load(bundle, CPU)


def a_wider_map(card: dict[str, Any]) -> None:
    card["evidence"][0]["map"]["columns"] = 7


def no_map(card: dict[str, Any]) -> None:
    del card["evidence"][0]["map"]


def a_map_that_no_encoder_gives(card: dict[str, Any]) -> None:
    card["evidence"][1]["map"] = {"rows": 2, "columns": 2, "channels": 3}


def an_output_more(card: dict[str, Any]) -> None:
    card["recurrent"]["outputs"].append({"name": "gates", "axes": ["steps"], "description": ""})


def more_hops(card: dict[str, Any]) -> None:
    card["recurrent"]["outputs"][0]["axes"] = [4, "steps"]


def steps_for_hops(card: dict[str, Any]) -> None:
    card["recurrent"]["outputs"][0]["axes"] = ["steps", 3]


def an_axis_less(card: dict[str, Any]) -> None:
    card["recurrent"]["outputs"][1]["axes"] = ["steps", 8]


@pytest.mark.parametrize(
    ("change", "card_side", "graph_side"),
    [
        (a_wider_map, r"look\.onnx has the output map float \[\?, 2, 7, 3\]", r"map float \[\?, 2, 4, 3\]"),
        (no_map, r"knows no input look_map of recurrent\.onnx", "the graph needs it"),
        (a_map_that_no_encoder_gives, r"drift\.onnx has the output map", r"features float \[\?, 3\]$"),
        (an_output_more, r"recurrent\.onnx has the output gates float \[\?, \?\]", r"attention float \[\?, 3, \?\]"),
        (more_hops, r"the output attention float \[\?, 4, \?\]", r"attention float \[\?, 3, \?\]"),
        (steps_for_hops, r"the output attention float \[\?, \?, 3\]", r"attention float \[\?, 3, \?\]"),
        (an_axis_less, r"the output attention_map float \[\?, \?, 8\]", r"attention_map float \[\?, \?, 2, 4\]"),
    ],
)
def test_a_contradiction_is_refused_naming_both_sides(
    bundle: Path, change: Edit, card_side: str, graph_side: str
) -> None:
    edit(bundle, change)
    with pytest.raises(BundleMismatch, match=f"{card_side}.*, but .*{graph_side}"):
        Bundle.load(bundle, CPU)


def a_grid_of_other_sides(bundle: Path) -> None:
    save_encoder(bundle.parent / SHARED / "look.onnx", open_sides=True)
    edit(bundle, lambda card: card["evidence"][0]["map"].update(rows=COLUMNS, columns=ROWS))


def hops_that_are_steps(bundle: Path) -> None:
    save_recurrent(bundle / "recurrent.onnx", hops=None)
    stamp(bundle / "recurrent.onnx", metadata(Card.read(bundle)))
    edit(bundle, lambda card: card["recurrent"]["outputs"][0].update(axes=["steps", "steps"]))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (a_grid_of_other_sides, r"gives look_map of \(4, 2, 3\) for a picture, but the graph \(2, 4, 3\)"),
        (hops_that_are_steps, r"gives attention of \(2, 2\) for 2 steps, but the graph gives \(3, 2\)"),
    ],
)
def test_what_a_graph_leaves_open_is_found_out_by_running_it(
    bundle: Path, change: Callable[[Path], None], told: str
) -> None:
    change(bundle)
    relist(bundle)
    with pytest.raises(BundleMismatch, match=told):
        Bundle.load(bundle, CPU)


def test_a_head_that_cannot_read_what_the_card_says_is_refused(bundle: Path) -> None:
    save_recurrent(bundle / "recurrent.onnx", channels=None, reads=5)
    stamp(bundle / "recurrent.onnx", metadata(Card.read(bundle)))
    relist(bundle)
    with pytest.raises(BundleMismatch, match=r"recurrent\.onnx reads what encoders give, but it fails: .*MatMul"):
        Bundle.load(bundle, CPU)


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda card: card["recurrent"]["outputs"][0].update(name="next_h"), "the recurrent graph's outputs repeats a"),
        (lambda card: card["recurrent"]["outputs"][0].update(name="attention_map"), "the recurrent graph's outputs"),
        (lambda card: card["recurrent"]["state"][0].update(name="look_map"), "the recurrent graph's inputs repeats a"),
        (lambda card: card["recurrent"]["outputs"][0].update(axes=["frames"]), r"recurrent\.outputs\.0\.axes"),
        (lambda card: card["files"]["look.onnx"].update(beside="../elsewhere"), r"files\.look\.onnx\.beside"),
        (lambda card: card["evidence"][0]["map"].pop("rows"), r"evidence\.0\.map\.rows"),
    ],
)
def test_a_card_that_is_not_valid_is_refused_by_its_fault(bundle: Path, change: Edit, fault: str) -> None:
    edit(bundle, change)
    with pytest.raises(BundleError, match=fault):
        Card.read(bundle)


def test_a_twin_has_the_map_too(bundle: Path) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)
    encoded = Bundle.load(bundle, CPU, "int8").encoders["look"].encode([picture])
    np.testing.assert_allclose(encoded["look_map"][0], parts(picture), atol=1e-6)
    save_encoder(bundle.parent / SHARED / "look.int8.onnx", maps=False)
    relist(bundle)
    with pytest.raises(BundleMismatch, match=r"look\.int8\.onnx has the output map"):
        Bundle.load(bundle, CPU, "int8")


def test_an_encoder_answers_by_the_inputs_of_the_head_and_only_what_it_reads(loaded: Bundle) -> None:
    pictures = np.random.default_rng(0).integers(0, 256, (3, SIZE, SIZE, 3), dtype=np.uint8)
    encoded = loaded.encoders["look"].encode(list(pictures))
    assert {name: rows.shape for name, rows in encoded.items()} == {"look": (3, 3), "look_map": (3, ROWS, COLUMNS, 3)}
    assert set(loaded.encoders["drift"].encode(list(pictures))) == {"drift"}
    for row, picture in zip(encoded["look_map"], pictures, strict=True):
        np.testing.assert_allclose(row, parts(picture), atol=1e-6)


def test_a_map_is_held_like_the_features_and_padded_with_zeros(loaded: Bundle) -> None:
    sequence = Sequence(loaded.card.evidence)
    maps = np.random.default_rng(0).random((2, 2, ROWS, COLUMNS, 3), dtype=np.float32)
    for window in range(2):
        for step in range(STEPS):
            sequence.put("drift", window, step, np.zeros(3, dtype=np.float32))
        for place, step in enumerate((0, 4)):
            sequence.put("look", window, step, np.zeros(3, dtype=np.float32))
            sequence.put("look_map", window, step, maps[window, place])
    held = sequence.inputs([6, 2])["look_map"]
    zero = np.zeros((ROWS, COLUMNS, 3))
    np.testing.assert_array_equal(held[0], [maps[0, 0]] * 4 + [maps[0, 1]] * 2)
    np.testing.assert_array_equal(held[1], [maps[1, 0]] * 2 + [zero] * 4)
    assert held.dtype == np.float32


def test_what_is_put_does_not_keep_its_batch(loaded: Bundle) -> None:
    sequence, batch = Sequence(loaded.card.evidence), np.ones((8, 3), dtype=np.float32)
    sequence.put("drift", 0, 0, batch[0])
    batch[:] = 2
    sequence.put("look", 0, 0, batch[0])
    sequence.put("look_map", 0, 0, np.zeros((ROWS, COLUMNS, 3), dtype=np.float32))
    np.testing.assert_array_equal(sequence.inputs([1])["drift"], [[[1, 1, 1]]])


def test_a_clip_is_read_as_by_hand(loaded: Bundle) -> None:
    order, pictures, steps = _encoded(loaded)
    inputs = order.inputs(steps)
    for window, count in enumerate(steps):
        for step in range(count):
            by_hand = parts(pictures["look"][window, step - step % 4])
            np.testing.assert_allclose(inputs["look_map"][window, step], by_hand, atol=1e-6)
    reading = loaded.recurrent.read(inputs, outputs=["attention_map", "attention"])
    np.testing.assert_allclose(reading.outputs["attention_map"], inputs["look_map"].mean(axis=-1), atol=1e-6)
    np.testing.assert_array_equal(reading.outputs["attention"], inputs["drift"].transpose(0, 2, 1))
    logits, state = loaded.recurrent.run(inputs)
    np.testing.assert_array_equal(logits, reading.logits)
    assert state.keys() == reading.state.keys() == {"h"}


def test_those_who_answer_without_the_service_give_the_golden_scores_too(made: Path, loaded: Bundle) -> None:
    golden = loaded.card.golden
    np.testing.assert_allclose(answer(loaded, loaded.golden_clip), golden.scores, atol=1e-6)
    best = Work(made, threads=1).answer(loaded.golden_clip)["predictions"][0]
    assert (best["label"], best["score"]) == ("light", pytest.approx(golden.scores[1], abs=1e-6))
    assert Work(made, "int8", threads=1).answer(loaded.golden_clip)["predictions"][0] == best


def test_bound_inputs_and_outputs_change_no_answer(made: Path) -> None:
    loaded = Bundle.load(made, CPU)
    pictures = list(np.random.default_rng(0).integers(0, 256, (3, SIZE, SIZE, 3), dtype=np.uint8))
    plain = loaded.encoders["look"].encode(pictures)
    loaded.encoders["look"].session.binding = True
    bound = loaded.encoders["look"].encode(pictures)
    assert bound.keys() == plain.keys()
    for name in plain:
        np.testing.assert_array_equal(bound[name], plain[name])


@pytest.fixture
def batcher(loaded: Bundle) -> Iterator[Batcher]:
    working = Batcher(loaded.encoders, loaded.card.evidence, slots=2, max_batch=4)
    yield working
    working.stop()


def test_what_a_clip_gets_does_not_depend_on_what_else_is_in_flight(loaded: Bundle, batcher: Batcher) -> None:
    def given(order: Order) -> NDArray[np.float32]:
        return loaded.recurrent.read(order.sequence.inputs([STEPS]), outputs=["attention_map"]).outputs["attention_map"]

    for alone, together in alone_and_together(loaded, batcher, STEPS, clips=4):
        np.testing.assert_allclose(given(together), given(alone), atol=1e-6)


def test_outputs_are_cut_to_the_steps_of_their_window() -> None:
    outputs = (
        Output(name="hops", axes=(HOPS, "steps"), description=""),
        Output(name="pairs", axes=("steps", "steps"), description=""),
        Output(name="whole", axes=(), description=""),
    )
    values = {
        "hops": np.arange(24, dtype=np.float32).reshape(2, HOPS, 4),
        "pairs": np.arange(32, dtype=np.float32).reshape(2, 4, 4),
        "whole": np.asarray([5, 6], dtype=np.float32),
    }
    first, second = by_window(values, outputs, [(0.1, 0.2, 0.3, 0.4), (1.1, 1.2)])
    assert (first.window, first.times_s, second.window, second.times_s) == (0, (0.1, 0.2, 0.3, 0.4), 1, (1.1, 1.2))
    for name in ("hops", "pairs"):
        np.testing.assert_array_equal(first.values[name], values[name][0])
    np.testing.assert_array_equal(second.values["hops"], values["hops"][1, :, :2])
    np.testing.assert_array_equal(second.values["pairs"], values["pairs"][1, :2, :2])
    assert float(second.values["whole"]) == 6


def test_outputs_go_over_the_wire_as_numbers_or_null() -> None:
    values = np.asarray([[1 / 3, np.inf], [np.nan, 12345678]], dtype=np.float32)
    sent = OutputsOut.of(WindowOutputs(1, (0.5, 0.6), {"gates": values, "whole": np.asarray(2.5, dtype=np.float32)}))
    assert sent.model_dump() == {
        "window": 1,
        "times_s": [0.5, 0.6],
        "values": {"gates": [[0.333333, None], [None, 12345700.0]], "whole": 2.5},
    }


def _encoded(bundle: Bundle) -> tuple[Sequence, dict[str, dict[tuple[int, int], NDArray[np.uint8]]], tuple[int, ...]]:
    """A clip of two windows, each picture encoded alone, and those pictures by kind, window and step."""
    sequence = Sequence(bundle.card.evidence)
    pictures: defaultdict[str, dict[tuple[int, int], NDArray[np.uint8]]] = defaultdict(dict)

    def take(made: MadePicture) -> None:
        pictures[made.kind][made.window, made.step] = made.pixels
        for name, rows in bundle.encoders[made.kind].encode([made.pixels]).items():
            sequence.put(name, made.window, made.step, rows[0])

    receipt = decode(clip("h264.mp4"), DecodeTask(bundle.card.plan, bundle.card.evidence, NO_LIMITS), take)
    assert len(receipt.steps) == 2
    return sequence, pictures, receipt.steps
