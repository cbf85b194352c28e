"""From torch to ONNX: the graphs say what the networks say, and a clip in chunks is the whole clip."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnxruntime as ort
import pytest

from tests.require import need
from tests.unit.model_clips import TORCH, WITHOUT_TORCH

if TORCH or TYPE_CHECKING:
    import torch
    from torch import Tensor

    from model.graph import write_encoder, write_recurrent
    from model.net.classifier import Classifier, ClassifierConfig, HeadName
    from model.net.encoder import pretrained
    from model.net.lstm import LstmConfig

ENCODER_TOLERANCE = 1e-4  # absolute; features lie between 0 and 6
RECURRENT_TOLERANCE = 1e-5  # absolute; logits lie between -5 and 5 here

KINDS = {"appearance": 24, "motion": 16, "sound": 8}
LABELS = 5


@pytest.fixture(autouse=True, scope="module")
def _torch() -> None:
    need("train", TORCH, WITHOUT_TORCH)


def make_head(name: "HeadName", kinds: Mapping[str, int]) -> "Classifier":
    torch.manual_seed(7)
    head = Classifier(ClassifierConfig(kinds, LABELS, name, LstmConfig(bottleneck=6, hidden=10))).eval()
    for kind, length in kinds.items():
        torch.nn.init.normal_(head.experts[kind].weight, std=0.1)  # type: ignore[arg-type]
        head.standardise(kind, torch.rand(length), 0.5 + torch.rand(length))
    return head


def make_features(kinds: Mapping[str, int], batch: int, steps: int) -> "dict[str, Tensor]":
    torch.manual_seed(batch * 100 + steps)
    return {kind: 2 * torch.rand(batch, steps, length) for kind, length in kinds.items()}


def ask(
    session: ort.InferenceSession,
    features: "Mapping[str, Tensor]",
    lengths: "Tensor",
    state: "Mapping[str, Tensor]",
) -> "tuple[Tensor, dict[str, Tensor]]":
    inputs = {**features, "lengths": lengths, **state}
    logits, *following = session.run(None, {name: value.numpy() for name, value in inputs.items()})
    return torch.from_numpy(logits), dict(zip(state, map(torch.from_numpy, following), strict=True))


def differ(one: "Tensor", other: "Tensor") -> float:
    return float((one - other).abs().max())


def test_the_encoders_graph_agrees_with_torch(tmp_path: Path) -> None:
    size = 112
    encoder = pretrained().eval()
    write_encoder(encoder, size, tmp_path / "encoder.onnx")
    pictures = np.random.default_rng(size).integers(0, 256, (3, size, size, 3), dtype=np.uint8)
    with torch.no_grad():
        expected = encoder(torch.from_numpy(pictures)).numpy()
    (found,) = ort.InferenceSession(tmp_path / "encoder.onnx").run(None, {"pictures": pictures})
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=0, atol=ENCODER_TOLERANCE)


@pytest.mark.parametrize("kinds", [KINDS, {"motion": 16}], ids=["three kinds", "one kind"])
@pytest.mark.parametrize("name", ["lstm", "mean"])
def test_the_heads_graph_agrees_with_torch(name: "HeadName", kinds: dict[str, int], tmp_path: Path) -> None:
    head = make_head(name, kinds)
    write_recurrent(head, tmp_path / "recurrent.onnx")
    session = ort.InferenceSession(tmp_path / "recurrent.onnx")
    state = head.start(3)
    for lengths in (torch.tensor([7, 2, 5]), torch.tensor([1, 1, 1])):  # the second call goes on from the first
        features = make_features(kinds, 3, int(lengths.max()))
        with torch.no_grad():
            expected = head(features, lengths, state)
        logits, following = ask(session, features, lengths, state)
        for row, length in enumerate(lengths.tolist()):
            assert differ(logits[row, :length], expected.logits[row, :length]) <= RECURRENT_TOLERANCE
        for part in state:
            assert differ(following[part], expected.state[part]) <= RECURRENT_TOLERANCE * 10, part  # votes are sums
        state = expected.state


@pytest.mark.parametrize("name", ["lstm", "mean"])
def test_a_clip_in_chunks_is_the_whole_clip(name: "HeadName", tmp_path: Path) -> None:
    head = make_head(name, KINDS)
    write_recurrent(head, tmp_path / "recurrent.onnx")
    session = ort.InferenceSession(tmp_path / "recurrent.onnx")
    whole = make_features(KINDS, 2, 12)
    with torch.no_grad():
        expected = head(whole, torch.tensor([12, 12]), head.start(2)).logits
    in_torch = in_onnx = head.start(2)
    for start, end in ((0, 1), (1, 6), (6, 12)):
        chunk = {kind: values[:, start:end].contiguous() for kind, values in whole.items()}
        lengths = torch.full((2,), end - start)
        with torch.no_grad():
            answer = head(chunk, lengths, in_torch)
        logits, in_onnx = ask(session, chunk, lengths, in_onnx)
        in_torch = answer.state
        assert differ(answer.logits, expected[:, start:end]) <= RECURRENT_TOLERANCE
        assert differ(logits, expected[:, start:end]) <= RECURRENT_TOLERANCE


@pytest.mark.parametrize("name", ["lstm", "mean"])
def test_what_lies_beyond_a_clips_length_changes_nothing(name: "HeadName", tmp_path: Path) -> None:
    head = make_head(name, KINDS)
    write_recurrent(head, tmp_path / "recurrent.onnx")
    session = ort.InferenceSession(tmp_path / "recurrent.onnx")
    alone = make_features(KINDS, 1, 4)
    padded = {kind: torch.cat([values, torch.full_like(values, 99.0)], 1) for kind, values in alone.items()}
    expected, state = ask(session, alone, torch.tensor([4]), head.start(1))
    logits, padded_state = ask(session, padded, torch.tensor([4]), head.start(1))
    with torch.no_grad():
        in_torch = head(padded, torch.tensor([4]), head.start(1))
    assert differ(logits[:, :4], expected) <= RECURRENT_TOLERANCE
    assert differ(in_torch.logits[:, :4], expected) <= RECURRENT_TOLERANCE
    for part in state:
        assert differ(padded_state[part], state[part]) <= RECURRENT_TOLERANCE
        assert differ(in_torch.state[part], state[part]) <= RECURRENT_TOLERANCE * 10


def test_the_lstm_is_onnxs_own_operator(tmp_path: Path) -> None:
    import onnx

    write_recurrent(make_head("lstm", KINDS), tmp_path / "recurrent.onnx")
    operators = [node.op_type for node in onnx.load(tmp_path / "recurrent.onnx").graph.node]
    assert operators.count("LSTM") == 1
    assert not {"Loop", "Scan", "If"} & set(operators)


def test_an_untrained_head_answers_like_the_mean_of_its_features() -> None:
    head = make_head("mean", KINDS)
    features = make_features(KINDS, 2, 6)
    lengths = torch.tensor([6, 3])
    with torch.no_grad():
        logits = head(features, lengths, head.start(2)).logits
        for row, length in enumerate(lengths.tolist()):
            means = {kind: values[row : row + 1, :length].mean(1, keepdim=True) for kind, values in features.items()}
            expected = head(means, torch.tensor([1]), head.start(1)).logits[0, 0]
            assert differ(logits[row, length - 1], expected) <= RECURRENT_TOLERANCE
