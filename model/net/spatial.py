"""An LSTM that chooses where to look (Sharma et al., *Action recognition using visual attention*, 2015).

At each step it scores the positions of the encoder's map by what is there, where that is, and what it remembers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from model.net.cell import GATES, Moment, initialise
from model.net.lstm import LstmConfig, advance
from model.net.mapreader import MapReader
from model.net.reader import Grid, Output, Reading, Shape
from model.net.recurrence import Recurrence, Step


@dataclass(frozen=True)
class SpatialConfig:
    """The size of the attention.

    Attributes:
        width: of the layer that scores positions.
    """

    width: int = 32


class SpatialStep(Step):
    """One step: e_p = w tanh(V a_p + Q h_{t-1}), α = softmax(e), and Σ α_p a_p goes into an LSTM."""

    def __init__(self, positions: int, bottleneck: int, hidden: int, width: int) -> None:
        super().__init__((hidden,), (positions,))
        self.of_hidden = nn.Linear(hidden, width, bias=False)
        self.score = nn.Linear(width, 1, bias=False)
        self.of_place = nn.Linear(bottleneck, GATES * hidden, bias=False)
        self.of_state = nn.Linear(hidden, GATES * hidden, bias=False)

    def forward(
        self, places: Tensor, keys: Tensor, projected: Tensor, h: Tensor, cell: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """As a recurrence takes it: h and C after the step, h again, and the share of each position, float32 [B, P]."""
        moment, shares = self.moment(places, keys, projected, h, cell)
        return moment.hidden, moment.cell, moment.hidden, shares

    def moment(self, places: Tensor, keys: Tensor, projected: Tensor, h: Tensor, cell: Tensor) -> tuple[Moment, Tensor]:
        """One step.

        Args:
            places: what is at each position, float32 [B, P, bottleneck].
            keys: what scoring makes of it, float32 [B, P, width].
            projected: what the kinds without a map say to the gates, float32 [B, 4 hidden].
            h: what was said at the step before, float32 [B, hidden].
            cell: what is remembered, float32 [B, hidden].

        Returns:
            All that happens in the LSTM, and the share of each position, float32 [B, P].
        """
        scores = self.score(torch.tanh(keys + self.of_hidden(h).unsqueeze(1)))
        shares = scores.softmax(1)
        looked = (shares * places).sum(1)
        i, f, g, o = (projected + self.of_place(looked) + self.of_state(h)).chunk(GATES, -1)
        return advance(i, f, g, o, cell), shares.squeeze(2)


class Spatial(MapReader):
    """Reads the map of one kind of evidence where it chooses to, and the features of the others.

    Positions are told as coordinates (Liu et al., *CoordConv*, NeurIPS 2018). The paper's penalty for parts that are
    never looked at is left out.
    """

    def __init__(self, shape: Shape, config: LstmConfig, spatial: SpatialConfig) -> None:
        super().__init__(shape, config, GATES * config.hidden)
        self.narrow_map = nn.Linear(self.grid.channels, config.bottleneck)
        self.key = nn.Linear(config.bottleneck + 2, spatial.width)
        step = SpatialStep(self.grid.rows * self.grid.columns, config.bottleneck, config.hidden, spatial.width)
        initialise(step.of_place.weight, step.of_state.weight)
        self.recurrence = Recurrence(step, states=2)
        self.width = config.hidden
        self.state_sizes = {"h": config.hidden, "c": config.hidden}
        self.outputs = (
            Output(
                "attention_map",
                ("steps", self.grid.rows, self.grid.columns),
                f"the share of each position of the {self.kind} map in what the step read",
            ),
        )

    def forward(self, inputs: Mapping[str, Tensor], lengths: Tensor, state: Mapping[str, Tensor]) -> Reading:
        places = self.narrow_map(self.seen(inputs))  # [B, T, positions, bottleneck]
        where = coordinates(self.grid).expand(*places.shape[:2], -1, -1)
        keys = self.key(torch.cat((places, where), 3))
        projected = self.told(inputs).expand(*places.shape[:2], -1)
        (read, shares), (h, cell) = self.recurrence([places, keys, projected], lengths, (state["h"], state["c"]))
        maps = shares.unflatten(2, (self.grid.rows, self.grid.columns))
        return Reading(read, {"h": h, "c": cell}, {"attention_map": maps})


def coordinates(grid: Grid) -> Tensor:
    """The row and column of each position, from -1 to 1, float32 [positions, 2]."""
    rows, columns = torch.linspace(-1, 1, grid.rows), torch.linspace(-1, 1, grid.columns)
    return torch.stack(torch.meshgrid(rows, columns, indexing="ij"), 2).flatten(0, 1)
