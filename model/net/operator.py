"""ONNX's own LSTM operator, which takes lengths directly: https://onnx.ai/onnx/operators/onnx__LSTM.html.

What the exporter makes of a packed sequence sorts, scatters and branches around the same operator.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import onnx
import torch
from torch import Tensor

from model.net.cell import GATES


@dataclass(frozen=True)
class Direction:
    """The weights of one direction, gates in torch's order.

    Attributes:
        hidden: a plain number; a tensor's side is a tensor while a graph is traced.
        of_input, of_state: [4 hidden, inputs] and [4 hidden, hidden].
        bias: [4 hidden].
        peepholes: what the input, forget and output gates see of C, [3 hidden], or nothing.
    """

    hidden: int
    of_input: Tensor
    of_state: Tensor
    bias: Tensor
    peepholes: Tensor | None = None


def run(
    input: Tensor, lengths: Tensor, h: Tensor, cell: Tensor, directions: tuple[Direction, ...]
) -> tuple[Tensor, Tensor, Tensor]:
    """Puts the operator into the graph that is being exported.

    Args:
        input: float32 [B, T, inputs].
        lengths: int64 [B].
        h: float32 [D, B, hidden], one for each direction.
        cell: alike.
        directions: forward, and perhaps backward.

    Returns:
        h at each step, float32 [B, T, D hidden], and the last h and C, float32 [D, B, hidden].
    """
    weights = [
        torch.stack([_reordered(one.of_input) for one in directions]),
        torch.stack([_reordered(one.of_state) for one in directions]),
        # The operator has a bias of the input and one of the state, which it adds.
        torch.stack([torch.cat((_reordered(one.bias), torch.zeros_like(one.bias))) for one in directions]),
    ]
    peepholes = [_peepholes(one.peepholes) for one in directions if one.peepholes is not None]
    if peepholes:
        weights.append(torch.stack(peepholes))
    outputs, last_h, last_cell = _OnnxLstm.apply(  # type: ignore[no-untyped-call]
        directions[0].hidden, len(directions), input.transpose(0, 1), lengths, h, cell, *weights
    )
    # [T, D, B, hidden]: the directions side by side.
    return outputs.permute(2, 0, 1, 3).flatten(2), last_h, last_cell


def _reordered(weight: Tensor) -> Tensor:
    """A weight or bias with its gates in ONNX's order (input, output, forget, cell) instead of torch's."""
    gate_in, gate_forget, candidate, gate_out = weight.chunk(GATES)
    return torch.cat((gate_in, gate_out, gate_forget, candidate))


def _peepholes(weight: Tensor) -> Tensor:
    gate_in, gate_forget, gate_out = weight.chunk(3)
    return torch.cat((gate_in, gate_out, gate_forget))


class _OnnxLstm(torch.autograd.Function):
    @staticmethod
    def forward(
        _: Any, hidden: int, directions: int, input: Tensor, lengths: Tensor, h: Tensor, cell: Tensor, *weights: Tensor
    ) -> tuple[Tensor, ...]:
        """Values of the right shapes: the exporter follows shapes, and the graph computes the numbers."""
        steps, batch = input.shape[:2]
        return input.new_zeros(steps, directions, batch, hidden), h.clone(), cell.clone()

    @staticmethod
    def symbolic(
        g: Any, hidden: int, directions: int, input: Any, lengths: Any, h: Any, cell: Any, *weights: Any
    ) -> Any:
        """Writes the operator."""
        of_input, of_state, bias, *peepholes = weights
        return g.op(
            "LSTM",
            input,
            of_input,
            of_state,
            bias,
            g.op("Cast", lengths, to_i=onnx.TensorProto.INT32),
            h,
            cell,
            *peepholes,
            hidden_size_i=hidden,
            direction_s="bidirectional" if directions == 2 else "forward",
            outputs=3,
        )
