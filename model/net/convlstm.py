"""The convolutional LSTM (Shi et al., *Convolutional LSTM network*, NeurIPS 2015, equation 3).

What it remembers is a map, too: at each position something, and its gates see the positions around.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from model.net.cell import GATES, Moment
from model.net.lstm import LstmConfig
from model.net.mapreader import MapReader
from model.net.reader import Grid, Reading, Shape
from model.net.recurrence import Recurrence, Step


@dataclass(frozen=True)
class ConvLstmConfig:
    """The size of a convolutional LSTM.

    Attributes:
        channels: what is remembered at each position, in numbers.
        kernel: the side of what a position's gates see, in positions; odd.
    """

    channels: int = 32
    kernel: int = 3


class ConvLstmStep(Step):
    """One step; peepholes by Hadamard product, one for each number at each position.

    i, f = σ(W * X_t + U * H_{t-1} + p ∘ C_{t-1} + b)      o = σ(W_o * X_t + U_o * H_{t-1} + p_o ∘ C_t + b_o)
    """

    def __init__(self, config: ConvLstmConfig, grid: Grid) -> None:
        super().__init__((config.channels,))
        self.side = (config.channels, grid.rows, grid.columns)
        self.of_state = nn.Conv2d(
            config.channels, GATES * config.channels, config.kernel, padding=config.kernel // 2, bias=False
        )
        self.peepholes = nn.Parameter(torch.zeros(3, *self.side))
        """Of the input, forget and output gates; at 0 the cell has none."""

    def forward(self, projected: Tensor, h: Tensor, cell: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """As a recurrence takes it: h and C after the step, flat, and the mean of h over positions, [B, channels]."""
        moment = self.moment(projected, h, cell)
        return moment.hidden.flatten(1), moment.cell.flatten(1), moment.hidden.mean((2, 3))

    def moment(self, projected: Tensor, h: Tensor, cell: Tensor) -> Moment:
        """One step; all that happens in it has the shape of the map, [B, channels, rows, columns].

        Args:
            projected: what the input says to the gates, float32 [B, 4 channels, rows, columns].
            h: what was said at the step before, flat: float32 [B, channels * rows * columns].
            cell: what is remembered, alike.
        """
        before = cell.view(-1, *self.side)
        i, f, g, o = (projected + self.of_state(h.view(-1, *self.side))).chunk(GATES, 1)
        see_i, see_f, see_o = self.peepholes
        gate_in, gate_forget, candidate = (i + see_i * before).sigmoid(), (f + see_f * before).sigmoid(), g.tanh()
        after = gate_forget * before + gate_in * candidate
        gate_out = (o + see_o * after).sigmoid()
        return Moment(gate_in, gate_forget, candidate, gate_out, after, gate_out * after.tanh())


class ConvLstm(MapReader):
    """Reads the map of one kind of evidence; the features of the others are told to every position alike."""

    def __init__(self, shape: Shape, config: LstmConfig, conv: ConvLstmConfig) -> None:
        gates = GATES * conv.channels
        super().__init__(shape, config, gates)
        self.narrow_map = nn.Linear(self.grid.channels, conv.channels)
        self.of_map = nn.Conv2d(conv.channels, gates, conv.kernel, padding=conv.kernel // 2, bias=False)
        self.recurrence = Recurrence(ConvLstmStep(conv, self.grid), states=2)
        self.width = conv.channels
        size = conv.channels * self.grid.rows * self.grid.columns
        self.state_sizes = {"h": size, "c": size}

    def forward(self, inputs: Mapping[str, Tensor], lengths: Tensor, state: Mapping[str, Tensor]) -> Reading:
        narrowed = self.narrow_map(self.seen(inputs))  # [B, T, positions, channels]
        batch, steps = narrowed.shape[:2]
        rows, columns, _ = self.grid
        planes = narrowed.flatten(0, 1).transpose(1, 2).reshape(batch * steps, self.width, rows, columns)
        told = self.told(inputs).expand(batch, steps, -1).unsqueeze(3).unsqueeze(4)
        projected = self.of_map(planes).reshape(batch, steps, -1, rows, columns) + told
        (read,), (h, cell) = self.recurrence([projected], lengths, (state["h"], state["c"]))
        return Reading(read, {"h": h, "c": cell})
