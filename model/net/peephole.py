"""The LSTM whose gates see what is remembered (Gers & Schmidhuber, *Recurrent nets that time and count*, 2000)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from model.net.cell import GATES, Moment, initialise, open_forget_gate
from model.net.operator import Direction, run
from model.net.stepped import CellStep, Stepped


class PeepholeStep(CellStep):
    """Each number that is remembered is seen by its own gates alone: the peepholes p are vectors.

    i, f = σ(W x_t + U h_{t-1} + p ∘ C_{t-1} + b)      o = σ(W_o x_t + U_o h_{t-1} + p_o ∘ C_t + b_o)
    """

    def __init__(self, hidden: int) -> None:
        super().__init__(hidden)
        self.of_state = nn.Linear(hidden, GATES * hidden, bias=False)
        self.peepholes = nn.Parameter(torch.zeros(3 * hidden))
        """Of the input, forget and output gates, in a row; at 0 the cell is an LSTM without peepholes."""

    def moment(self, projected: Tensor, h: Tensor, cell: Tensor) -> Moment:
        i, f, g, o = (projected + self.of_state(h)).chunk(GATES, -1)
        see_i, see_f, see_o = self.peepholes.chunk(3)
        gate_in, gate_forget, candidate = (i + see_i * cell).sigmoid(), (f + see_f * cell).sigmoid(), g.tanh()
        after = gate_forget * cell + gate_in * candidate
        gate_out = (o + see_o * after).sigmoid()
        return Moment(gate_in, gate_forget, candidate, gate_out, after, gate_out * after.tanh())


class Peephole(Stepped):
    """The peephole LSTM; in a graph it is ONNX's own LSTM operator, which has these peepholes."""

    def __init__(self, inputs: int, hidden: int) -> None:
        of_input, step = nn.Linear(inputs, GATES * hidden), PeepholeStep(hidden)
        super().__init__(inputs, hidden, of_input, step)
        initialise(of_input.weight, step.of_state.weight)
        open_forget_gate(of_input.bias)

    def forward(self, input: Tensor, lengths: Tensor, state: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        if not torch.onnx.is_in_onnx_export():
            return super().forward(input, lengths, state)
        of_input, step = self.of_input, self.recurrence.step
        assert isinstance(of_input, nn.Linear)
        assert isinstance(step, PeepholeStep)
        weights = Direction(self.hidden, of_input.weight, step.of_state.weight, of_input.bias, step.peepholes)
        outputs, h, cell = run(input, lengths, state[0].unsqueeze(0), state[1].unsqueeze(0), (weights,))
        return outputs, h[0], cell[0]
