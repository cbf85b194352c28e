"""The LSTM: long short-term memory (Hochreiter & Schmidhuber, *Neural Computation* 9, 1997)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from model.net.cell import GATES, Cell, Moment, initialise, open_forget_gate
from model.net.operator import Direction, run


@dataclass(frozen=True)
class LstmConfig:
    """The size of an LSTM, whatever its cell.

    Attributes:
        bottleneck: what each kind of evidence is narrowed to before it enters.
        hidden: what it remembers, in numbers.
        dropout: the fraction of its inputs, and of its outputs, that training leaves out.
    """

    bottleneck: int = 64
    hidden: int = 96
    dropout: float = 0.5


class Lstm(Cell):
    """The LSTM with a forget gate (Gers, Schmidhuber & Cummins, 2000), as torch computes it, all steps in one call.

    i, f, o = σ(W x_t + U h_{t-1} + b)      g = tanh(W_g x_t + U_g h_{t-1} + b_g)
    C_t = f ∘ C_{t-1} + i ∘ g               h_t = o ∘ tanh(C_t)
    """

    def __init__(self, inputs: int, hidden: int) -> None:
        super().__init__(inputs, hidden)
        self.cell = nn.LSTM(inputs, hidden, batch_first=True)
        of_input, of_state, bias, other = self.cell.all_weights[0]
        initialise(of_input, of_state)
        open_forget_gate(bias)
        nn.init.zeros_(other)

    @property
    def direction(self) -> Direction:
        """The weights as one direction of ONNX's operator."""
        of_input, of_state, bias, other = self.cell.all_weights[0]
        return Direction(self.hidden, of_input, of_state, bias + other)

    def forward(self, input: Tensor, lengths: Tensor, state: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        h, cell = state[0].unsqueeze(0), state[1].unsqueeze(0)
        if torch.onnx.is_in_onnx_export():
            outputs, h, cell = run(input, lengths, h, cell, (self.direction,))
            return outputs, h[0], cell[0]
        packed = pack_padded_sequence(input, lengths.cpu(), batch_first=True, enforce_sorted=False)
        outputs, (h, cell) = self.cell(packed, (h, cell))
        padded, _ = pad_packed_sequence(outputs, batch_first=True, total_length=input.shape[1])
        return padded, h[0], cell[0]

    def project(self, input: Tensor) -> Tensor:
        return F.linear(input, self.direction.of_input, self.direction.bias)

    def moment(self, projected: Tensor, h: Tensor, cell: Tensor) -> Moment:
        i, f, g, o = (projected + F.linear(h, self.direction.of_state)).chunk(GATES, -1)
        return advance(i, f, g, o, cell)


def advance(i: Tensor, f: Tensor, g: Tensor, o: Tensor, cell: Tensor) -> Moment:
    """The step that the gates, before their sigmoids, make of C_{t-1}; float32 [B, hidden] each."""
    gate_in, gate_forget, candidate, gate_out = i.sigmoid(), f.sigmoid(), g.tanh(), o.sigmoid()
    after = gate_forget * cell + gate_in * candidate
    return Moment(gate_in, gate_forget, candidate, gate_out, after, gate_out * after.tanh())
