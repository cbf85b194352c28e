"""From torch to ONNX, and back."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory

import onnx
import torch
from onnx import numpy_helper
from pydantic import TypeAdapter, ValidationError
from torch import Tensor

from model.net.classifier import Classifier, ClassifierConfig
from model.net.encoder import Encoder
from model.net.pose import PoseEncoder
from model.net.recurrence import DOMAIN, Recurrence
from model.onnx.scan import fill_scan
from service.errors import BundleError

OPSET = 17
_CONFIG = "kinema.head"
_PREFIX = "head."


def write_encoder(encoder: Encoder | PoseEncoder, size: int, path: Path) -> None:
    """Writes an encoder: `pictures` uint8 [N, size, size, 3] → `features` float32 [N, D].

    One with a map has it as a second output: `map` float32 [N, rows, columns, channels].
    """
    # onnxruntime folds the batch norms into the convolutions when it loads the graph.
    outputs = ["features", "map"] if encoder.with_map else ["features"]
    _export(
        encoder,
        (torch.zeros(2, size, size, 3, dtype=torch.uint8),),
        path,
        ["pictures"],
        outputs,
        {name: {0: "pictures"} for name in ("pictures", *outputs)},
    )
    _check(path)


class _Flat(torch.nn.Module):
    """A head whose inputs and outputs are tensors in a row, as the exporter wants them."""

    def __init__(self, head: Classifier) -> None:
        super().__init__()
        self.head = head

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        names = self.head.config.shape.inputs
        inputs = dict(zip(names, tensors[: len(names)], strict=True))
        state = dict(zip(self.head.state_sizes, tensors[len(names) + 1 :], strict=True))
        answer = self.head(inputs, tensors[len(names)], state)
        return (answer.logits, *answer.state.values(), *(answer.outputs[one.name] for one in self.head.outputs))


def write_recurrent(head: Classifier, path: Path) -> None:
    """Writes a head.

    Inputs are the features of each kind of evidence under its name, float32 [B, T, D]; where the head reads a map, that
    under the kind's name and `_map`, float32 [B, T, rows, columns, channels]; `lengths`, int64 [B]; and the state.
    Outputs are `logits`, float32 [B, T, C]; the state at the lengths, each part under `next_` and its name; and the
    head's further outputs. The weights keep the names of the network's parameters, so `read_recurrent` finds them.
    """
    names, state = list(head.config.shape.inputs), list(head.state_sizes)
    example = _example(head)
    following = [f"next_{name}" for name in state]
    axes: dict[str, dict[int, str]] = {name: {0: "batch", 1: "steps"} for name in (*names, "logits")}
    axes |= {name: {0: "batch"} for name in ("lengths", *state, *following)}
    for output in head.outputs:
        axes[output.name] = {0: "batch", **{1 + i: side for i, side in enumerate(output.axes) if isinstance(side, str)}}
    outputs = ["logits", *following, *(one.name for one in head.outputs)]
    # The peephole LSTM has a recurrence in torch, and an operator of its own in ONNX.
    scans = [name for name, module in head.named_modules() if isinstance(module, Recurrence)]
    scans = [] if head.config.head == "peephole" else scans
    opsets = {DOMAIN: 1} if scans else {}
    _export(_Flat(head), example, path, [*names, "lengths", *state], outputs, axes, opsets)
    for name in scans:
        _fill(path, head, name, example)
    write_metadata(path, {_CONFIG: json.dumps(asdict(head.config))})
    _check(path)


def _example(head: Classifier) -> tuple[Tensor, ...]:
    batch, steps = 2, 3
    features = [torch.zeros(batch, steps, length) for length in head.config.features.values()]
    maps = [torch.zeros(batch, steps, *grid) for grid in head.config.maps.values()]
    return (*features, *maps, torch.tensor([steps, steps - 1]), *head.start(batch).values())


def _fill(path: Path, head: Classifier, name: str, example: Sequence[Tensor]) -> None:
    """Writes the body of the graph's `Scan`, which the exporter left open."""
    recurrence = head.get_submodule(name)
    assert isinstance(recurrence, Recurrence)
    given: list[tuple[Sequence[Tensor], Tensor, Sequence[Tensor]]] = []
    hook = recurrence.register_forward_pre_hook(lambda _, tensors: given.append(tensors))
    with torch.no_grad():
        _Flat(head)(*example)
    hook.remove()
    ((scanned, lengths, state),) = given
    tensors = (*state, lengths.unsqueeze(1) > 0, *(values[:, 0] for values in scanned))
    inputs = [f"in_{place}" for place in range(len(tensors))]
    outputs = [f"out_{place}" for place in range(recurrence.states + len(recurrence.step.emits))]
    with TemporaryDirectory() as directory:
        body = Path(directory) / "body.onnx"
        _export(_Body(recurrence), tensors, body, inputs, outputs, {one: {0: "batch"} for one in inputs + outputs})
        filled = fill_scan(onnx.load(path), onnx.load(body), recurrence.states, f"{_PREFIX}{name}.")
    onnx.save(filled, path)


class _Body(torch.nn.Module):
    """A recurrence's step with its tensors in the order that `Scan` hands them: state, whether a row lives, moment."""

    def __init__(self, recurrence: Recurrence) -> None:
        super().__init__()
        self.step = recurrence.step
        self._take, self._states = recurrence.take, recurrence.states

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        states = self._states
        after, emitted = self._take(tensors[states], tensors[states + 1 :], tensors[:states])
        return (*after, *emitted)


def read_recurrent(path: Path) -> Classifier:
    """The head that `write_recurrent` wrote, in evaluation mode.

    Raises:
        BundleError: the graph is not one of those, or cannot be read.
    """
    try:
        model = onnx.load(path)
        stated = {entry.key: entry.value for entry in model.metadata_props}
        head = Classifier(TypeAdapter(ClassifierConfig).validate_json(stated[_CONFIG]))
    except (OSError, KeyError, ValidationError) as error:
        raise BundleError(
            f"{path} does not say which network it is",
            "Only heads that this version's `kinema export` wrote can be read back: export the bundle anew.",
        ) from error
    stored = {one.name: one for one in model.graph.initializer}
    # Of weights that are alike the exporter writes one, and makes the others of it.
    same = {node.output[0]: node.input[0] for node in model.graph.node if node.op_type == "Identity"}
    names = {part: same.get(_PREFIX + part, _PREFIX + part) for part in head.state_dict()}
    weights = {part: torch.from_numpy(numpy_helper.to_array(stored[name]).copy()) for part, name in names.items()}
    head.load_state_dict(weights)
    return head.eval()


def write_metadata(path: Path, metadata: Mapping[str, str]) -> None:
    """Adds metadata to a graph, in place; what it says already stays."""
    model = onnx.load(path)
    stated = {entry.key: entry.value for entry in model.metadata_props}
    onnx.helper.set_model_props(model, stated | dict(metadata))
    onnx.save(model, path)


def _check(path: Path) -> None:
    onnx.checker.check_model(onnx.load(path), full_check=True)


def _export(
    network: torch.nn.Module,
    example: tuple[Tensor, ...],
    path: Path,
    inputs: list[str],
    outputs: list[str],
    axes: Mapping[str, Mapping[int, str]],
    opsets: Mapping[str, int] | None = None,
) -> None:
    with warnings.catch_warnings():
        # The TorchScript exporter is deprecated. The newer one needs one more package and writes a larger graph.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network.eval(),
            example,
            path,
            input_names=inputs,
            output_names=outputs,
            dynamic_axes={name: dict(named) for name, named in axes.items()},
            opset_version=OPSET,
            dynamo=False,
            # onnxruntime folds them when it loads the graph; folded here, weights would lose their names.
            do_constant_folding=isinstance(network, Encoder),
            custom_opsets=dict(opsets or {}),
        )
