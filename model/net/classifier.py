"""The recurrent head: features of all kinds of evidence, step by step, to logits.

Each kind of evidence has an expert of its own, linear in its features; over them stands an LSTM that reads all kinds
together. Every step each expert votes, and the answer after a step is the mean of all votes so far, summed over the
experts: a product of experts (Hinton, *Neural Computation* 14, 2002). Without the LSTM it is the mean-pooled baseline,
which is where a head with one starts from.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor, nn

from model.net.lstm import Lstm, LstmConfig, SteadyDropout

HeadName = Literal["lstm", "mean"]


@dataclass(frozen=True)
class ClassifierConfig:
    """A recurrent head.

    Attributes:
        features: the length of the feature vector of each kind of evidence, by name.
        labels: how many actions there are.
        head: `lstm`, or `mean` for the experts alone.
        lstm: the size of the LSTM; a `mean` head has none.
    """

    features: Mapping[str, int]
    labels: int
    head: HeadName = "lstm"
    lstm: LstmConfig = field(default_factory=LstmConfig)


@dataclass(frozen=True)
class Answer:
    """What a head says of a batch.

    Attributes:
        experts: logits of each expert, float32 [E, B, T, C]; row t is the answer after t + 1 steps.
        state: what to hand in with the steps that follow, by name, float32 [B, size] each.
    """

    experts: Tensor
    state: dict[str, Tensor]

    @property
    def logits(self) -> Tensor:
        """The experts' joint answer, float32 [B, T, C]."""
        return self.experts.sum(0)


class Classifier(nn.Module):
    """Features to logits, with everything that has to be remembered as state.

    State: `votes`, the experts' votes so far, each C wide; `steps`, how many there were; and the LSTM's `h` and `c`.
    """

    def __init__(self, config: ClassifierConfig) -> None:
        super().__init__()
        self.config = config
        # Not learned, but torch has no dictionary of buffers.
        self.means = nn.ParameterDict()
        self.deviations = nn.ParameterDict()
        self.experts = nn.ModuleDict()
        for name, length in config.features.items():
            self.means[name] = nn.Parameter(torch.zeros(length), requires_grad=False)
            self.deviations[name] = nn.Parameter(torch.ones(length), requires_grad=False)
            self.experts[name] = expert = nn.Linear(length, config.labels)
            nn.init.zeros_(expert.weight)
            nn.init.zeros_(expert.bias)
        if config.head == "lstm":
            small = config.lstm
            self.narrow = nn.ModuleDict(
                {n: nn.Linear(length, small.bottleneck) for n, length in config.features.items()}
            )
            self.dropout = SteadyDropout(small.dropout)
            self.lstm = Lstm(small.bottleneck * len(config.features), small.hidden)
            self.read = nn.Linear(small.hidden, config.labels)

    @property
    def state_sizes(self) -> dict[str, int]:
        """The length of each part of the state, by name."""
        lstm = self.config.head == "lstm"
        votes = {"votes": self.config.labels * (len(self.config.features) + lstm), "steps": 1}
        return votes | ({"h": self.config.lstm.hidden, "c": self.config.lstm.hidden} if lstm else {})

    def start(self, batch: int) -> dict[str, Tensor]:
        """The state before the first step: zeros."""
        return {name: torch.zeros(batch, size) for name, size in self.state_sizes.items()}

    def standardise(self, name: str, mean: Tensor, deviation: Tensor) -> None:
        """Sets what a kind's features, float32 [D], are shifted and scaled by."""
        with torch.no_grad():
            self.means[name].copy_(mean)
            self.deviations[name].copy_(deviation)

    def forward(self, features: Mapping[str, Tensor], lengths: Tensor, state: Mapping[str, Tensor]) -> Answer:
        """Reads a batch of sequences.

        Args:
            features: by kind of evidence, float32 [B, T, D].
            lengths: int64 [B], from 1 to T.
            state: what an earlier call returned, or `start`.
        """
        inputs = {name: (features[name] - self.means[name]) / self.deviations[name] for name in self.config.features}
        votes = [self.experts[name](inputs[name]) for name in inputs]
        after: dict[str, Tensor] = {}
        if self.config.head == "lstm":
            narrowed = torch.cat([self.narrow[name](self.dropout(inputs[name])) for name in inputs], 2)
            read, after["h"], after["c"] = self.lstm(narrowed, lengths, (state["h"], state["c"]))
            votes.append(self.read(self.dropout(read)))
        sums = torch.cat(votes, 2).cumsum(1) + state["votes"].unsqueeze(1)
        counts = torch.arange(1, sums.shape[1] + 1, dtype=sums.dtype).view(1, -1, 1) + state["steps"].unsqueeze(1)
        last = (lengths - 1).view(-1, 1, 1).expand(-1, 1, sums.shape[2])
        after["votes"] = sums.gather(1, last)[:, 0]
        after["steps"] = state["steps"] + lengths.view(-1, 1).to(sums.dtype)
        experts = torch.stack((sums / counts).chunk(len(votes), 2))
        return Answer(experts, {name: after[name] for name in self.state_sizes})
