"""The pose encoder: what it says of bodies, and that its graph, its network and the published weights agree."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import onnxruntime as ort
import pytest

from model.data.views import LIMITS
from service.video.scan import Scan
from tests.model.clips import TORCH, WITHOUT_TORCH
from tests.require import need

if TORCH or TYPE_CHECKING:
    import torch

    from model.data.recipe import RecipeError
    from model.net.movenet import JOINTS, SIZE, MoveNet, Pose
    from model.net.pose import FEATURES, PoseEncoder, held
    from model.onnx.encoders import POSE, share_encoder
    from model.onnx.graph import write_encoder
    from model.onnx.pose import published, read
    from model.onnx.tfjs import GraphModel, WeightsError

CLIP = Path(__file__).parents[1] / "clips" / "real-golf.mp4"


@pytest.fixture(autouse=True, scope="module")
def _torch() -> None:
    need("train", TORCH, WITHOUT_TORCH)


@pytest.fixture(scope="module")
def pictures() -> "torch.Tensor":
    scan = Scan(CLIP.read_bytes(), LIMITS)
    frames = [scan.retrieve() for _ in zip(range(3), scan, strict=False)]
    squeezed = [cv2.resize(frame, (SIZE, SIZE), interpolation=cv2.INTER_AREA)[:, :, ::-1] for frame in frames]
    return torch.from_numpy(np.stack(squeezed))


def test_the_shipped_graph_is_the_network(pictures: "torch.Tensor") -> None:
    (found,) = ort.InferenceSession(POSE).run(None, {"pictures": pictures.numpy()})
    with torch.no_grad():
        expected = read(POSE)(pictures).numpy()
    assert found.shape == (3, FEATURES)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-3)


def test_a_golfer_is_found_where_he_stands(pictures: "torch.Tensor") -> None:
    with torch.no_grad():
        pose = read(POSE).network(pictures.permute(0, 3, 1, 2).float())
    assert float(pose.presence.min()) > 0.3
    nose, ankles = pose.places[:, 0, 0], pose.places[:, 15:, 0]
    assert bool((nose < ankles.min(1).values).all()), "the head is above the feet"


def drawn(batch: int = 2) -> "Pose":
    torch.manual_seed(5)
    return Pose(
        torch.rand(batch, JOINTS, 2), torch.rand(batch, JOINTS), torch.rand(batch, 1), torch.zeros(batch, 1, 1, 1)
    )


def test_how_a_body_is_held_does_not_depend_on_where_it_is_and_how_large() -> None:
    pose = drawn()
    other = pose._replace(places=0.5 * pose.places + torch.tensor([0.1, 0.3]))
    moved = (held(other) - held(pose)).abs().amax(0) > 1e-5
    centre_and_size = torch.zeros(FEATURES - 1280, dtype=torch.bool)
    centre_and_size[3 * JOINTS : 3 * JOINTS + 3] = True
    assert not bool((moved & ~centre_and_size).any())
    assert bool(moved[centre_and_size].all())


def test_a_joint_that_was_not_found_says_nothing_of_its_place() -> None:
    pose = drawn()
    confidence = pose.confidence.clone()
    confidence[:, 9] = 0.1
    elsewhere = pose.places.clone()
    elsewhere[:, 9] = 0.0
    one, other = (held(pose._replace(places=places, confidence=confidence)) for places in (pose.places, elsewhere))
    # Its weight in the body's size is small, and not zero.
    assert float((one - other).abs().max()) < 0.05


def published_as(directory: Path, network: "MoveNet") -> Path:
    """Writes a network as a graph model of TensorFlow.js, its numbers in half precision."""
    nodes, stated, numbers = [], [], b""

    def keep(name: str, values: "np.ndarray[tuple[int, ...], np.dtype[np.float32]]") -> str:
        nonlocal numbers
        stated.append({"name": name, "shape": values.shape, "dtype": "float32", "quantization": {"dtype": "float16"}})
        numbers += values.astype(np.float16).tobytes()
        return name

    for place, layer in enumerate(network.convolutions):
        weight = layer.weight.detach().numpy()
        depthwise = layer.groups > 1
        inputs = ["before", keep(f"{place}/weight", weight.transpose((2, 3, 0, 1) if depthwise else (2, 3, 1, 0)))]
        if layer.bias is not None:
            inputs.append(keep(f"{place}/bias", layer.bias.detach().numpy()))
        nodes.append(
            {"op": "DepthwiseConv2dNative" if depthwise else "_FusedConv2D", "name": f"{place}", "input": inputs}
        )
    keep("truediv_2_recip", network.prior.detach().numpy()[..., None])
    path = directory / "movenet.json"
    path.write_text(json.dumps({"modelTopology": {"node": nodes}, "weightsManifest": [{"weights": stated}]}))
    path.with_suffix(".bin").write_bytes(numbers)
    return path


def test_weights_as_they_were_published_are_read_layer_by_layer(tmp_path: Path, pictures: "torch.Tensor") -> None:
    shipped = read(POSE)
    again = published(published_as(tmp_path, shipped.network))
    with torch.no_grad():
        assert float((again(pictures)[:, :1280] - shipped(pictures)[:, :1280]).abs().max()) < 2e-2
    write_encoder(again, SIZE, tmp_path / "pose.onnx")
    written = read(tmp_path / "pose.onnx").state_dict()
    assert all(torch.equal(one, written[name]) for name, one in again.state_dict().items())


def test_other_weights_are_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="cannot be read"):
        GraphModel(tmp_path / "missing.json")
    path = published_as(tmp_path, PoseEncoder().network)
    whole = json.loads(path.read_text())
    wrongs: list[object] = [
        {},
        whole | {"modelTopology": {}},
        [],
        whole | {"weightsManifest": [{"weights": [{"name": "a"}]}]},
    ]
    for wrong in wrongs:
        path.write_text(json.dumps(wrong))
        with pytest.raises(WeightsError, match="no graph model"):
            published(path)
    path.write_text(json.dumps(whole | {"modelTopology": {"node": whole["modelTopology"]["node"][1:]}}))
    with pytest.raises(WeightsError, match="another network"):
        published(path)


def test_the_pose_encoder_is_shared_as_it_ships_and_has_neither_map_nor_other_sizes(tmp_path: Path) -> None:
    share_encoder(tmp_path / "cache", "movenet", SIZE, tmp_path / "run" / "pose.onnx", with_map=False)
    assert (tmp_path / "run" / "pose.onnx").read_bytes() == POSE.read_bytes()
    for size, with_map in ((SIZE, True), (128, False)):
        with pytest.raises(RecipeError, match="no map"):
            share_encoder(tmp_path / "cache", "movenet", size, tmp_path / "other.onnx", with_map=with_map)
