"""What a head makes of how much features vary: their deviation over the steps so far, to logits.

The mean over time does not tell a wave from a raised hand; beside it stands the deviation, as in the statistics pooling
of Snyder et al. (*X-Vectors*, ICASSP 2018).
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

SUMS, SQUARES = "sums", "squares"
"""The state: sums of the features so far, and of their squares, kind after kind."""

# A deviation below this, in units of what clips differ by, is none: near zero the root is so steep that rounding shows.
_FLOOR = 0.1
# Many features hardly ever vary: where one does, it would speak a hundred times louder than in any clip trained on.
_LEAST, _LOUDEST = 0.1, 3.0


class Spread(nn.Module):
    """A linear classifier for each kind of evidence over the deviation of its features.

    Args:
        features: the length of the feature vector of each kind, by name.
        labels: how many actions there are.
    """

    def __init__(self, features: Mapping[str, int], labels: int) -> None:
        super().__init__()
        self.features = dict(features)
        self.means, self.deviations, self.experts = nn.ParameterDict(), nn.ParameterDict(), nn.ModuleDict()
        for name, length in features.items():
            self.means[name] = nn.Parameter(torch.zeros(length), requires_grad=False)
            self.deviations[name] = nn.Parameter(torch.ones(length), requires_grad=False)
            self.experts[name] = expert = nn.Linear(length, labels)
            nn.init.zeros_(expert.weight)
            nn.init.zeros_(expert.bias)

    @property
    def state_sizes(self) -> dict[str, int]:
        """The length of each part of the state, by name."""
        total = sum(self.features.values())
        return {SUMS: total, SQUARES: total}

    def measure(
        self, given: Mapping[str, Tensor], lengths: Tensor, steps: Tensor, state: Mapping[str, Tensor]
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """The deviations after each step, float32 [B, T, D] by name, and the state after the last.

        Args:
            given: by name, standardised features, float32 [B, T, D].
            lengths: int64 [B], from 1 to T.
            steps: how many there were before, float32 [B, 1].
            state: what an earlier call returned, or zeros.
        """
        values = torch.cat([given[name] for name in self.features], 2)
        counts = torch.arange(1, values.shape[1] + 1, dtype=values.dtype).view(1, -1, 1) + steps.unsqueeze(1)
        sums = values.cumsum(1) + state[SUMS].unsqueeze(1)
        squares = values.square().cumsum(1) + state[SQUARES].unsqueeze(1)
        variance = (squares / counts - (sums / counts).square()).clamp(min=0)
        deviation = (variance + _FLOOR**2).sqrt() - _FLOOR
        last = (lengths - 1).view(-1, 1, 1).expand(-1, 1, values.shape[2])
        after = {SUMS: sums.gather(1, last)[:, 0], SQUARES: squares.gather(1, last)[:, 0]}
        parts = torch.split(deviation, list(self.features.values()), 2)
        return dict(zip(self.features, parts, strict=True)), after

    def standardise(self, name: str, mean: Tensor, deviation: Tensor) -> None:
        """Sets what a kind's deviations, float32 [D], are shifted and scaled by."""
        with torch.no_grad():
            self.means[name].copy_(mean)
            self.deviations[name].copy_(deviation + _LEAST)

    def forward(self, measured: Mapping[str, Tensor]) -> list[Tensor]:
        """The logits after each step, float32 [B, T, C] for each kind, of what `measure` gave."""
        scaled = {name: (measured[name] - self.means[name]) / self.deviations[name] for name in self.features}
        return [self.experts[name](scaled[name].clamp(-_LOUDEST, _LOUDEST)) for name in self.features]
