"""An LSTM with self-attention (Lin et al., *A structured self-attentive sentence embedding*, ICLR 2017).

A state is scored by what it is and by when it was, never by what follows. So attention over all steps so far is a
running sum: a clip in chunks gives what the whole clip gives, with a state that does not grow.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from model.net.lstm import Lstm, LstmConfig
from model.net.reader import Narrow, Output, Reader, Reading, Shape

# A sum of tanh times weights is bounded, but training could make the bound large: e^30 is far from overflowing.
_HIGHEST = 30.0


@dataclass(frozen=True)
class AttentionConfig:
    """The size of the attention.

    Attributes:
        width: of the layer that scores states.
        hops: how many times the states are attended to, each in its own way.
    """

    width: int = 32
    hops: int = 4


class Attention(Reader):
    """Reads with an LSTM and says what its states came to, weighted.

        e_t = w tanh(V (h_t + position_t))      what is understood = Σ softmax(e)_t h_t

    once for each hop, side by side. The paper's penalty for hops that look alike is left out.
    """

    sums_up: ClassVar[bool] = True

    def __init__(self, shape: Shape, config: LstmConfig, attention: AttentionConfig) -> None:
        super().__init__()
        self.hops = attention.hops
        self.narrow = Narrow(shape.features, config.bottleneck, config.dropout)
        self.cell = Lstm(self.narrow.width, config.hidden)
        self.score = nn.Sequential(
            nn.Linear(config.hidden, attention.width, bias=False),
            nn.Tanh(),
            nn.Linear(attention.width, attention.hops, bias=False),
        )
        self.width = attention.hops * config.hidden
        self.state_sizes = {
            "h": config.hidden,
            "c": config.hidden,
            "seen": 1,
            "weight": attention.hops,
            "weighted": self.width,
        }
        self.outputs = (
            Output(
                "attention",
                (attention.hops, "steps"),
                "the share of each of these steps in what is understood after the last one, for each hop",
            ),
        )

    def forward(self, inputs: Mapping[str, Tensor], lengths: Tensor, state: Mapping[str, Tensor]) -> Reading:
        states, h, cell = self.cell(self.narrow(inputs), lengths, (state["h"], state["c"]))
        steps = torch.arange(states.shape[1])
        places = state["seen"] + steps.to(states.dtype)
        scores = self.score(states + positions(places, states.shape[2])).clamp(-_HIGHEST, _HIGHEST)
        live = (steps < lengths.unsqueeze(1)).unsqueeze(2)
        weights = scores.exp() * live  # [B, T, hops]
        weight = weights.cumsum(1) + state["weight"].unsqueeze(1)
        # Rows that are over keep their sums, so the last step's are the state.
        weighted = weights.unsqueeze(3) * torch.where(live, states, 0).unsqueeze(2)
        sums = weighted.flatten(2).cumsum(1) + state["weighted"].unsqueeze(1)
        read = (sums.unflatten(2, (self.hops, -1)) / weight.unsqueeze(3)).flatten(2)
        after = {
            "h": h,
            "c": cell,
            "seen": state["seen"] + lengths.unsqueeze(1).to(states.dtype),
            "weight": weight[:, -1],
            "weighted": sums[:, -1],
        }
        return Reading(read, after, {"attention": (weights / weight[:, -1:]).transpose(1, 2)})


def positions(places: Tensor, width: int) -> Tensor:
    """Positions as sines and cosines (Vaswani et al., *Attention is all you need*, 2017): [B, T] → [B, T, width]."""
    rates = torch.exp(torch.arange(0, width, 2) * (-math.log(10_000.0) / width))
    angles = places.unsqueeze(2) * rates
    return torch.stack((angles.sin(), angles.cos()), 3).flatten(2)[..., :width]
