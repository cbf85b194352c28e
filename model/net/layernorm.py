"""The LSTM with layer normalisation (Ba, Kiros & Hinton, *Layer Normalization*, 2016, equations 20 to 22)."""

from __future__ import annotations

from torch import Tensor, nn

from model.net.cell import GATES, Moment, initialise, open_forget_gate
from model.net.stepped import CellStep, Stepped


class LayerNormStep(CellStep):
    """What goes into the gates, and what comes out of C, always has mean 0 and variance 1 before it is scaled.

    i, f, g, o before σ and tanh = LN(W x_t) + LN(U h_{t-1}) + b      h_t = o ∘ tanh(LN(C_t))
    """

    def __init__(self, hidden: int) -> None:
        super().__init__(hidden)
        self.of_state = nn.Linear(hidden, GATES * hidden, bias=False)
        self.norm_state = nn.LayerNorm(GATES * hidden)
        self.norm_cell = nn.LayerNorm(hidden)

    def moment(self, projected: Tensor, h: Tensor, cell: Tensor) -> Moment:
        i, f, g, o = (projected + self.norm_state(self.of_state(h))).chunk(GATES, -1)
        gate_in, gate_forget, candidate, gate_out = i.sigmoid(), f.sigmoid(), g.tanh(), o.sigmoid()
        after = gate_forget * cell + gate_in * candidate
        return Moment(gate_in, gate_forget, candidate, gate_out, after, gate_out * self.norm_cell(after).tanh())


class LayerNormLstm(Stepped):
    """The LSTM with layer normalisation; b is the shift of the input's normalisation."""

    def __init__(self, inputs: int, hidden: int) -> None:
        of_input, norm, step = (
            nn.Linear(inputs, GATES * hidden, bias=False),
            nn.LayerNorm(GATES * hidden),
            LayerNormStep(hidden),
        )
        super().__init__(inputs, hidden, nn.Sequential(of_input, norm), step)
        initialise(of_input.weight, step.of_state.weight)
        open_forget_gate(norm.bias)
