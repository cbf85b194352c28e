"""Int8 twins: the same input and output, the same metadata, nearly the same features, and integers where it counts."""

from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import onnxruntime as ort
import pytest

from model.data.dataset import Clip
from tests.model.clips import TINY, TORCH, WITHOUT_TORCH, write_clip
from tests.require import need

if TORCH or TYPE_CHECKING:
    import onnx

    from model.data.dataset import DataError
    from model.net.encoder import pretrained
    from model.onnx.graph import write_encoder, write_metadata
    from model.onnx.quantization import CLIPS_OF_AN_ACTION, Pictures, calibration_clips, calibration_pictures, quantize

SIZE = 64


@pytest.fixture(autouse=True, scope="module")
def _torch() -> None:
    need("train", TORCH, WITHOUT_TORCH)


def make_pictures(count: int, seed: int) -> "Pictures":
    random = np.random.default_rng(seed)
    noise = random.integers(0, 256, (count, SIZE, SIZE, 3), dtype=np.uint8)
    return np.stack([cv2.GaussianBlur(one, (0, 0), random.uniform(1, 9)) for one in noise]).astype(np.uint8)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    directory = tmp_path_factory.mktemp("twins")
    encoder, twin = directory / "look.onnx", directory / "look.int8.onnx"
    write_encoder(pretrained(), SIZE, encoder)
    write_metadata(encoder, {"kinema.name": "tiny"})
    quantize(encoder, make_pictures(24, seed=0), twin)
    return encoder, twin


def test_a_twin_reads_and_answers_what_its_encoder_does(pair: tuple[Path, Path]) -> None:
    sessions = [ort.InferenceSession(path) for path in pair]
    described = [
        [(one.name, one.shape, one.type) for one in (*session.get_inputs(), *session.get_outputs())]
        for session in sessions
    ]
    assert described[0] == described[1]
    assert sessions[1].get_modelmeta().custom_metadata_map == {"kinema.name": "tiny"}
    features, features_int8 = (session.run(None, {"pictures": make_pictures(8, seed=1)})[0] for session in sessions)
    apart = np.linalg.norm(features - features_int8) / np.linalg.norm(features)
    assert 0 < apart < 0.25
    assert pair[1].stat().st_size < 0.3 * pair[0].stat().st_size


def test_a_twin_begins_in_float_and_goes_on_in_integers(pair: tuple[Path, Path]) -> None:
    graph = onnx.load(pair[1]).graph
    makers = {node.output[0]: node.op_type for node in graph.node}
    convs = [node for node in graph.node if node.op_type == "Conv"]
    in_integers = [all(makers.get(name) == "DequantizeLinear" for name in node.input[:2]) for node in convs]
    assert in_integers == [False] * 5 + [True] * 44
    read = {name for node in graph.node for name in node.input}
    assert {tensor.name for tensor in graph.initializer} <= read


def test_only_weights_whose_products_are_added_in_16_bits_are_kept_small(pair: tuple[Path, Path]) -> None:
    for tensor in onnx.load(pair[1]).graph.initializer:
        weights = onnx.numpy_helper.to_array(tensor)
        if weights.ndim == 4 and weights.dtype == np.int8:
            depthwise = weights.shape[1] == 1
            assert np.abs(weights.astype(int)).max() == (127 if depthwise else 64), tensor.name


def test_quantising_again_gives_the_same_twin(pair: tuple[Path, Path], tmp_path: Path) -> None:
    quantize(pair[0], make_pictures(24, seed=0), tmp_path / "again.onnx")
    assert (tmp_path / "again.onnx").read_bytes() == pair[1].read_bytes()


def test_calibration_takes_some_clips_of_every_action() -> None:
    clips = [Clip(Path(f"{number}.avi"), "ab"[number > 90], "", 0) for number in range(95)]
    chosen = calibration_clips(clips)
    assert [clip.label for clip in chosen] == ["a"] * CLIPS_OF_AN_ACTION + ["b"] * 4
    assert {clip.path.stem for clip in chosen} >= {"0", "90", "91", "94"}


def test_calibration_pictures_are_those_that_serving_sees(tmp_path: Path) -> None:
    pictures = calibration_pictures(TINY, Clip(write_clip(tmp_path / "a.avi", 4), "left", "", 0))
    assert {kind: one.shape for kind, one in pictures.items()} == {"look": (2, 64, 64, 3), "drift": (2, 48, 48, 3)}
    assert all(one.dtype == np.uint8 for one in pictures.values())


def test_a_clip_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "text.avi").write_text("no clip")
    for name, fault in (("text.avi", "cannot be used"), ("missing.avi", "cannot be read")):
        with pytest.raises(DataError, match=rf"{name} {fault}"):
            calibration_pictures(TINY, Clip(tmp_path / name, "left", "", 0))
