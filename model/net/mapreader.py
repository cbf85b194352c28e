"""What the heads that read an encoder's map have in common."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from model.net.cell import open_forget_gate
from model.net.lstm import LstmConfig
from model.net.reader import Narrow, Reader, Shape, SteadyDropout
from service.inference.card import MAP


class MapReader(Reader):
    """Reads the map of one kind of evidence, and of the others their features.

    Args:
        shape: with exactly one map.
        config: the size of the LSTM.
        gates: how wide the gates are, all of them together.
    """

    def __init__(self, shape: Shape, config: LstmConfig, gates: int) -> None:
        super().__init__()
        ((self.kind, self.grid),) = shape.maps.items()
        self.dropout = SteadyDropout(config.dropout)
        self.bias = nn.Parameter(torch.zeros(gates))
        open_forget_gate(self.bias)
        others = {name: length for name, length in shape.features.items() if name != self.kind}
        self.narrow = Narrow(others, config.bottleneck, config.dropout) if others else None
        self.of_others = nn.Linear(config.bottleneck * len(others), gates, bias=False) if others else None

    def seen(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """What is at each position at each step, float32 [B, T, positions, channels]."""
        return self.dropout(inputs[self.kind + MAP].flatten(2, 3))  # type: ignore[no-any-return]

    def told(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """What the other kinds say to the gates at each step, the bias included: float32 [B, T, gates], or [gates]."""
        if self.narrow is None or self.of_others is None:
            return self.bias
        return self.bias + self.of_others(self.narrow(inputs))  # type: ignore[no-any-return]
