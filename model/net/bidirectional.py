"""Two LSTMs, one of which reads backwards (Schuster & Paliwal, *Bidirectional recurrent neural networks*, 1997)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor

from model.net.lstm import Lstm, LstmConfig
from model.net.operator import run
from model.net.reader import Narrow, Reader, Reading, Shape


class Bidirectional(Reader):
    """Reads a whole clip in both directions.

    The state is the forward LSTM's. The backward one starts anew at the end of what it is given, so a clip in chunks is
    another clip to it: this head does not stream.
    """

    streams: ClassVar[bool] = False

    def __init__(self, shape: Shape, config: LstmConfig) -> None:
        super().__init__()
        self.narrow = Narrow(shape.features, config.bottleneck, config.dropout)
        self.forwards = Lstm(self.narrow.width, config.hidden)
        self.backwards = Lstm(self.narrow.width, config.hidden)
        self.width = 2 * config.hidden
        self.state_sizes = {"h": config.hidden, "c": config.hidden}

    def forward(self, inputs: Mapping[str, Tensor], lengths: Tensor, state: Mapping[str, Tensor]) -> Reading:
        narrowed = self.narrow(inputs)
        fresh = torch.zeros_like(state["h"])
        if torch.onnx.is_in_onnx_export():
            h, cell = (torch.stack((state[name], fresh)) for name in ("h", "c"))
            read, h, cell = run(narrowed, lengths, h, cell, (self.forwards.direction, self.backwards.direction))
            return Reading(read, {"h": h[0], "c": cell[0]})
        ahead, last_h, last_cell = self.forwards(narrowed, lengths, (state["h"], state["c"]))
        back, _, _ = self.backwards(_reversed(narrowed, lengths), lengths, (fresh, fresh))
        return Reading(torch.cat((ahead, _reversed(back, lengths)), 2), {"h": last_h, "c": last_cell})


def _reversed(values: Tensor, lengths: Tensor) -> Tensor:
    """Each row, [B, T, D], from its last step to its first; what lies beyond its length stays."""
    places = torch.arange(values.shape[1]).expand(len(lengths), -1)
    ends = lengths.unsqueeze(1)
    return values[torch.arange(len(lengths)).unsqueeze(1), torch.where(places < ends, ends - 1 - places, places)]
