"""Weights of a TensorFlow.js graph model: a JSON file that says what there is, and a file of the numbers beside it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.errors import KinemaError

_STORED = {"float32": np.float32, "float16": np.float16, "int32": np.int32, "bool": np.bool_}
_CONVOLUTIONS = {"_FusedConv2D", "FusedDepthwiseConv2dNative", "DepthwiseConv2dNative"}


class WeightsError(KinemaError):
    """A file of weights that cannot be read, or holds those of another network."""


@dataclass(frozen=True)
class Convolution:
    """A convolution's weights, in the order of torch.

    Attributes:
        name: of its node in the graph.
        weight: float32 [outputs, inputs / groups, rows, columns].
        bias: float32 [outputs]; None where it has none.
    """

    name: str
    weight: NDArray[np.float32]
    bias: NDArray[np.float32] | None


class GraphModel:
    """A graph model, read whole.

    Args:
        path: the JSON file; the numbers lie beside it, in a file of that name that ends in `.bin`.

    Raises:
        WeightsError: a file cannot be read, or is no such model.
    """

    def __init__(self, path: Path) -> None:
        try:
            model = json.loads(path.read_bytes())
            numbers = path.with_suffix(".bin").read_bytes()
            self._nodes: list[dict[str, Any]] = model["modelTopology"]["node"]
            self.weights = dict(_weights(model["weightsManifest"][0]["weights"], numbers))
        except OSError as error:
            raise WeightsError(f"{error.filename} cannot be read: {error.strerror}") from error
        except (ValueError, KeyError, TypeError) as error:
            raise WeightsError(f"{path} is no graph model of TensorFlow.js: {error!r}") from error

    @property
    def convolutions(self) -> Iterator[Convolution]:
        """All convolutions, in the order of the graph."""
        for node in self._nodes:
            if node["op"] in _CONVOLUTIONS:
                weight, *bias = (self.weights[name] for name in node["input"][1:])
                # Rows, columns, inputs, outputs; of a depthwise one: rows, columns, channels, one.
                order = (2, 3, 0, 1) if "Depthwise" in node["op"] else (3, 2, 0, 1)
                yield Convolution(node["name"], weight.transpose(order), bias[0] if bias else None)


def _weights(stated: list[dict[str, Any]], numbers: bytes) -> Iterator[tuple[str, NDArray[Any]]]:
    at = 0
    for one in stated:
        stored = np.dtype(_STORED[one.get("quantization", one)["dtype"]])
        count = int(np.prod(one["shape"], dtype=np.int64))
        values = np.frombuffer(numbers, stored, count, at).reshape(one["shape"])
        at += values.nbytes
        yield one["name"], values.astype(np.float32) if stored == np.float16 else values
