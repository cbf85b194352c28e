"""From torch to ONNX."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path

import onnx
import torch
from torch import Tensor

from model.net.classifier import Classifier
from model.net.encoder import Encoder

OPSET = 17


def write_encoder(encoder: Encoder, size: int, path: Path) -> None:
    """Writes an encoder: `pictures` uint8 [N, size, size, 3] → `features` float32 [N, D]."""
    # onnxruntime folds the batch norms into the convolutions when it loads the graph.
    _export(
        encoder,
        (torch.zeros(2, size, size, 3, dtype=torch.uint8),),
        path,
        ["pictures"],
        ["features"],
        {
            "pictures": {0: "pictures"},
            "features": {0: "pictures"},
        },
    )


class _Flat(torch.nn.Module):
    """A head whose inputs and outputs are tensors in a row, as the exporter wants them."""

    def __init__(self, head: Classifier) -> None:
        super().__init__()
        self.head = head

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        kinds = len(self.head.config.features)
        features = dict(zip(self.head.config.features, tensors[:kinds], strict=True))
        state = dict(zip(self.head.state_sizes, tensors[kinds + 1 :], strict=True))
        answer = self.head(features, tensors[kinds], state)
        return (answer.logits, *answer.state.values())


def write_recurrent(head: Classifier, path: Path) -> None:
    """Writes a head.

    Inputs are the features of each kind of evidence under its name, float32 [B, T, D], `lengths`, int64 [B], and the
    state; outputs are `logits`, float32 [B, T, C], and the state at the lengths, each under `next_` and its name.
    """
    kinds, state = list(head.config.features), list(head.state_sizes)
    batch, steps = 2, 3
    features = [torch.zeros(batch, steps, length) for length in head.config.features.values()]
    example = (*features, torch.tensor([steps, steps - 1]), *head.start(batch).values())
    following = [f"next_{name}" for name in state]
    axes: dict[str, dict[int, str]] = {name: {0: "batch", 1: "steps"} for name in (*kinds, "logits")}
    axes |= {name: {0: "batch"} for name in ("lengths", *state, *following)}
    _export(_Flat(head), example, path, [*kinds, "lengths", *state], ["logits", *following], axes)


def write_metadata(path: Path, metadata: Mapping[str, str]) -> None:
    """Adds metadata to a graph, in place."""
    model = onnx.load(path)
    onnx.helper.set_model_props(model, dict(metadata))
    onnx.save(model, path)


def _export(
    network: torch.nn.Module,
    example: tuple[object, ...],
    path: Path,
    inputs: list[str],
    outputs: list[str],
    axes: Mapping[str, Mapping[int, str]],
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
        )
    onnx.checker.check_model(onnx.load(path), full_check=True)
