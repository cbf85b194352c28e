"""From torch to ONNX: the graphs say what the networks say, both say what numpy says, and a clip in chunks is whole."""

from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import numpy as np
import onnxruntime as ort
import pytest

from model import cli
from service.errors import BundleError
from tests.model import numpy_heads
from tests.model.clips import TORCH, WITHOUT_TORCH
from tests.require import need

if TORCH or TYPE_CHECKING:
    import torch
    from torch import Tensor

    from model.net.classifier import MAP_HEADS, Classifier, ClassifierConfig, HeadName
    from model.net.encoder import MAP_CHANNELS, pretrained
    from model.net.lstm import LstmConfig
    from model.net.reader import Grid
    from model.net.recurrent import Recurrent
    from model.onnx.graph import read_recurrent, write_encoder, write_recurrent

ENCODER_TOLERANCE = 1e-4  # absolute; features lie between 0 and 6
RECURRENT_TOLERANCE = 1e-5  # absolute; logits lie between -5 and 5 here

KINDS = {"appearance": 24, "motion": 16, "sound": 8}
MAPPED = "appearance"
LABELS = 5
HEADS: "tuple[HeadName, ...]" = get_args(cli.Head)
STREAMING = [head for head in HEADS if head != "bidirectional"]


@pytest.fixture(autouse=True, scope="module")
def _torch() -> None:
    need("train", TORCH, WITHOUT_TORCH)


def make_head(name: "HeadName", kinds: Mapping[str, int]) -> "Classifier":
    """A head whose weights are all drawn, those too that training starts at zero."""
    torch.manual_seed(7)
    maps = {next(iter(kinds)): Grid(5, 7, 12)} if name in MAP_HEADS else {}
    lstm = LstmConfig(bottleneck=6, hidden=10)
    head = Classifier(ClassifierConfig(kinds, LABELS, name, lstm, maps, spread=True)).eval()
    for parameter in head.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    for given, mean in head.means.items():
        head.standardise(given, torch.rand(len(mean)), 0.5 + torch.rand(len(mean)))
    assert head.spread is not None
    for kind, length in kinds.items():
        head.spread.standardise(kind, torch.rand(length), 0.5 + torch.rand(length))
    return head


def make_inputs(head: "Classifier", batch: int, steps: int) -> "dict[str, Tensor]":
    torch.manual_seed(batch * 100 + steps)
    shape = head.config.shape
    inputs = {kind: 2 * torch.rand(batch, steps, length) for kind, length in shape.features.items()}
    return inputs | {f"{kind}_map": 2 * torch.rand(batch, steps, *grid) for kind, grid in shape.maps.items()}


class Graph:
    """A head, written to a file and opened again."""

    def __init__(self, name: "HeadName", kinds: Mapping[str, int], directory: Path) -> None:
        self.head = make_head(name, kinds)
        self.path = directory / "recurrent.onnx"
        write_recurrent(self.head, self.path)
        self.session = ort.InferenceSession(self.path)

    def ask(
        self, inputs: "Mapping[str, Tensor]", lengths: "Tensor", state: "Mapping[str, Tensor]"
    ) -> "dict[str, Tensor]":
        given = {name: value.numpy() for name, value in {**inputs, "lengths": lengths, **state}.items()}
        names = [output.name for output in self.session.get_outputs()]
        return dict(zip(names, map(torch.from_numpy, self.session.run(None, given)), strict=True))


@pytest.fixture(scope="module")
def graph_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Graph]:
    @cache
    def made(name: "HeadName", kinds: tuple[str, ...] = tuple(KINDS)) -> Graph:
        return Graph(name, {kind: KINDS[kind] for kind in kinds}, tmp_path_factory.mktemp(name))

    return made


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


def test_an_encoder_with_a_map_gives_the_same_features_and_where_they_are(tmp_path: Path) -> None:
    size = 96
    encoder = pretrained(with_map=True).eval()
    write_encoder(encoder, size, tmp_path / "encoder.onnx")
    write_encoder(pretrained().eval(), size, tmp_path / "plain.onnx")
    pictures = np.random.default_rng(size).integers(0, 256, (2, size, size, 3), dtype=np.uint8)
    features, maps = ort.InferenceSession(tmp_path / "encoder.onnx").run(None, {"pictures": pictures})
    (plain,) = ort.InferenceSession(tmp_path / "plain.onnx").run(None, {"pictures": pictures})
    np.testing.assert_allclose(features, plain, rtol=0, atol=ENCODER_TOLERANCE)
    assert maps.shape == (2, 3, 3, MAP_CHANNELS)
    with torch.no_grad():
        planes = torch.from_numpy(maps).permute(0, 3, 1, 2)
        again = encoder.head(planes).mean((2, 3)).numpy()
    np.testing.assert_allclose(again, features, rtol=0, atol=ENCODER_TOLERANCE)


@pytest.mark.parametrize("kinds", [tuple(KINDS), ("motion",)], ids=["three kinds", "one kind"])
@pytest.mark.parametrize("name", HEADS)
def test_torch_numpy_and_the_graph_agree(
    name: "HeadName", kinds: tuple[str, ...], graph_of: Callable[..., Graph]
) -> None:
    graph = graph_of(name, kinds)
    head = graph.head
    lengths = torch.tensor([7, 2, 5])
    inputs, state = make_inputs(head, 3, 7), head.start(3)
    with torch.no_grad():
        in_torch = head(inputs, lengths, state)
    in_onnx = graph.ask(inputs, lengths, state)
    weights = {key: value.numpy() for key, value in head.state_dict().items()}
    for row, length in enumerate(lengths.tolist()):
        alone = {key: value[row, :length].numpy() for key, value in inputs.items()}
        logits, outputs = numpy_heads.answer(name, weights, list(kinds), kinds[0], alone)
        for found in (in_torch.logits, in_onnx["logits"]):
            np.testing.assert_allclose(found[row, :length], logits, rtol=0, atol=RECURRENT_TOLERANCE)
        for output in head.outputs:
            live = tuple(slice(length if side == "steps" else None) for side in output.axes)
            for found in (in_torch.outputs[output.name], in_onnx[output.name]):
                np.testing.assert_allclose(
                    found[row][live], outputs[output.name], rtol=0, atol=RECURRENT_TOLERANCE, err_msg=output.name
                )
    assert set(in_torch.outputs) == {output.name for output in head.outputs}


@pytest.mark.parametrize("name", HEADS)
def test_the_graph_goes_on_from_a_state_as_torch_does(name: "HeadName", graph_of: Callable[..., Graph]) -> None:
    graph = graph_of(name)
    head = graph.head
    state = head.start(3)
    for lengths in (torch.tensor([7, 2, 5]), torch.tensor([1, 1, 1])):
        inputs = make_inputs(head, 3, int(lengths.max()))
        with torch.no_grad():
            expected = head(inputs, lengths, state)
        found = graph.ask(inputs, lengths, state)
        for row, length in enumerate(lengths.tolist()):
            assert differ(found["logits"][row, :length], expected.logits[row, :length]) <= RECURRENT_TOLERANCE
        for part in state:  # votes and weighted states are sums
            assert differ(found[f"next_{part}"], expected.state[part]) <= RECURRENT_TOLERANCE * 10, part
        state = expected.state


@pytest.mark.parametrize("name", STREAMING)
def test_a_clip_in_chunks_is_the_whole_clip(name: "HeadName", graph_of: Callable[..., Graph]) -> None:
    graph = graph_of(name)
    head = graph.head
    assert head.streams
    whole = make_inputs(head, 2, 12)
    with torch.no_grad():
        expected = head(whole, torch.tensor([12, 12]), head.start(2)).logits
    in_torch = in_onnx = head.start(2)
    for start, end in ((0, 1), (1, 6), (6, 12)):
        chunk = {given: values[:, start:end].contiguous() for given, values in whole.items()}
        lengths = torch.full((2,), end - start)
        with torch.no_grad():
            answer = head(chunk, lengths, in_torch)
        found = graph.ask(chunk, lengths, in_onnx)
        in_torch, in_onnx = answer.state, {part: found[f"next_{part}"] for part in in_onnx}
        assert differ(answer.logits, expected[:, start:end]) <= RECURRENT_TOLERANCE
        assert differ(found["logits"], expected[:, start:end]) <= RECURRENT_TOLERANCE


def test_a_head_that_reads_backwards_says_that_it_does_not_stream() -> None:
    head = make_head("bidirectional", KINDS)
    assert not head.streams
    whole = make_inputs(head, 1, 6)
    first = {given: values[:, :3] for given, values in whole.items()}
    with torch.no_grad():
        early = head(first, torch.tensor([3]), head.start(1)).logits
        assert differ(early, head(whole, torch.tensor([6]), head.start(1)).logits[:, :3]) > 1e-3


@pytest.mark.parametrize("name", HEADS)
def test_what_lies_beyond_a_clips_length_changes_nothing(name: "HeadName", graph_of: Callable[..., Graph]) -> None:
    graph = graph_of(name)
    head = graph.head
    alone = make_inputs(head, 1, 4)
    padded = {given: torch.cat([values, torch.full_like(values, 99.0)], 1) for given, values in alone.items()}
    expected = graph.ask(alone, torch.tensor([4]), head.start(1))
    found = graph.ask(padded, torch.tensor([4]), head.start(1))
    with torch.no_grad():
        in_torch = head(padded, torch.tensor([4]), head.start(1))
    assert differ(found["logits"][:, :4], expected["logits"]) <= RECURRENT_TOLERANCE
    assert differ(in_torch.logits[:, :4], expected["logits"]) <= RECURRENT_TOLERANCE
    for part in head.state_sizes:
        assert differ(found[f"next_{part}"], expected[f"next_{part}"]) <= RECURRENT_TOLERANCE
        assert differ(in_torch.state[part], expected[f"next_{part}"]) <= RECURRENT_TOLERANCE * 10


@pytest.mark.parametrize("name", HEADS)
def test_a_head_is_read_back_from_its_graph(name: "HeadName", graph_of: Callable[..., Graph]) -> None:
    head = graph_of(name).head
    again = read_recurrent(graph_of(name).path)
    assert again.config == head.config
    assert not again.training
    for part, values in head.state_dict().items():
        assert torch.equal(again.state_dict()[part], values), part


@pytest.mark.parametrize("name", HEADS)
def test_a_head_is_read_back_though_many_of_its_weights_are_alike(name: "HeadName", tmp_path: Path) -> None:
    maps = {"appearance": Grid(3, 3, 24)} if name in MAP_HEADS else {}
    kinds = {"appearance": 24, "motion": 24}
    head = Classifier(ClassifierConfig(kinds, LABELS, name, LstmConfig(bottleneck=6, hidden=10), maps)).eval()
    write_recurrent(head, tmp_path / "recurrent.onnx")
    again = read_recurrent(tmp_path / "recurrent.onnx").state_dict()
    assert all(torch.equal(again[part], values) for part, values in head.state_dict().items())


def test_only_a_head_of_ours_is_read_back(graph_of: Callable[..., Graph], tmp_path: Path) -> None:
    import onnx

    strange = onnx.load(graph_of("mean").path)
    del strange.metadata_props[:]
    onnx.save(strange, tmp_path / "strange.onnx")
    for path in (tmp_path / "strange.onnx", tmp_path / "missing.onnx"):
        with pytest.raises(BundleError, match="does not say which network it is"):
            read_recurrent(path)


@pytest.mark.parametrize(
    ("name", "operator"),
    [("lstm", "LSTM"), ("peephole", "LSTM"), ("bidirectional", "LSTM"), ("attention", "LSTM")]
    + [(head, "Scan") for head in ("article", "layernorm", "spatial", "convlstm")],
)
def test_a_sequence_is_one_operator(name: "HeadName", operator: str, graph_of: Callable[..., Graph]) -> None:
    import onnx

    operators = [node.op_type for node in onnx.load(graph_of(name).path).graph.node]
    assert [one for one in operators if one in {"LSTM", "Loop", "Scan", "If"}] == [operator]


@pytest.mark.parametrize("name", ["lstm", "peephole", "article", "layernorm"])
def test_a_cells_moments_are_what_it_computes(name: "HeadName") -> None:
    reader = make_head(name, KINDS).reader
    assert isinstance(reader, Recurrent)
    sequences = torch.rand(2, 5, reader.cell.inputs)
    with torch.no_grad():
        expected, h, cell = reader.cell(sequences, torch.tensor([5, 5]), reader.cell.start(2))
        moments = reader.cell.moments(sequences, reader.cell.start(2))
    assert differ(torch.stack([moment.hidden for moment in moments], 1), expected) <= RECURRENT_TOLERANCE
    assert differ(moments[-1].hidden, h) <= RECURRENT_TOLERANCE
    assert differ(moments[-1].cell, cell) <= RECURRENT_TOLERANCE


@pytest.mark.parametrize("name", ["lstm", "peephole", "article", "layernorm"])
def test_a_cell_starts_with_an_open_forget_gate_and_orthogonal_recurrence(name: "HeadName") -> None:
    torch.manual_seed(1)
    reader = Classifier(ClassifierConfig(KINDS, LABELS, name)).reader
    assert isinstance(reader, Recurrent)
    cell, hidden = reader.cell, reader.cell.hidden
    said_by_nothing = cell.project(torch.zeros(1, cell.inputs))[0]
    assert torch.equal(said_by_nothing.chunk(4)[1], torch.ones(hidden))
    assert torch.equal(said_by_nothing.chunk(4)[0], torch.zeros(hidden))
    of_state = next(
        value for key, value in cell.state_dict().items() if key.endswith(("weight_hh_l0", "of_state.weight"))
    )
    for gate in of_state.chunk(4):
        assert differ(gate @ gate.T, torch.eye(hidden)) < 1e-5


def test_a_head_that_is_not_told_how_features_vary_says_the_same_in_its_graph(tmp_path: Path) -> None:
    torch.manual_seed(3)
    head = Classifier(ClassifierConfig(KINDS, LABELS, "lstm", LstmConfig(bottleneck=6, hidden=10))).eval()
    for parameter in head.experts.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    write_recurrent(head, tmp_path / "recurrent.onnx")
    inputs, lengths = make_inputs(head, 2, 4), torch.tensor([4, 2])
    given = {key: value.numpy() for key, value in {**inputs, "lengths": lengths, **head.start(2)}.items()}
    found = ort.InferenceSession(tmp_path / "recurrent.onnx").run(["logits"], given)[0]
    with torch.no_grad():
        expected = head(inputs, lengths, head.start(2)).logits
    assert set(head.state_sizes) == {"votes", "steps", "h", "c"}
    assert differ(torch.from_numpy(found[0]), expected[0]) <= RECURRENT_TOLERANCE
    assert differ(torch.from_numpy(found[1, :2]), expected[1, :2]) <= RECURRENT_TOLERANCE


def test_a_mean_head_answers_like_two_steps_of_the_same_mean_and_deviation() -> None:
    head = make_head("mean", KINDS)
    features = make_inputs(head, 2, 6)
    lengths = torch.tensor([6, 3])
    with torch.no_grad():
        logits = head(features, lengths, head.start(2)).logits
        for row, length in enumerate(lengths.tolist()):
            steps = {kind: values[row : row + 1, :length] for kind, values in features.items()}
            varied = {kind: values.std(1, keepdim=True, correction=0) for kind, values in steps.items()}
            pair = {
                kind: values.mean(1, keepdim=True) + torch.cat([-varied[kind], varied[kind]], 1)
                for kind, values in steps.items()
            }
            expected = head(pair, torch.tensor([2]), head.start(1)).logits[0, 1]
            assert differ(logits[row, length - 1], expected) <= RECURRENT_TOLERANCE
