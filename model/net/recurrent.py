"""The heads that are one cell: narrowed features of all kinds in, h at every step out."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from model.net.cell import Cell
from model.net.lstm import LstmConfig
from model.net.reader import Narrow, Reader, Reading, Shape


class Recurrent(Reader):
    """Reads with one cell, which sees all kinds of evidence together."""

    def __init__(self, shape: Shape, config: LstmConfig, cell: type[Cell]) -> None:
        super().__init__()
        self.narrow = Narrow(shape.features, config.bottleneck, config.dropout)
        self.cell = cell(self.narrow.width, config.hidden)
        self.width = config.hidden
        self.state_sizes = {"h": config.hidden, "c": config.hidden}

    def forward(self, inputs: Mapping[str, Tensor], lengths: Tensor, state: Mapping[str, Tensor]) -> Reading:
        read, h, cell = self.cell(self.narrow(inputs), lengths, (state["h"], state["c"]))
        return Reading(read, {"h": h, "c": cell})
