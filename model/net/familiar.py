"""How much a window is like those that a head was trained on: a score computed from features alone, as they come.

Of each kind of evidence the mean over the steps so far, brought to length one, is held against the clips trained on,
in two ways. Within the directions in which those vary most (principal components): the Mahalanobis distance to the
nearest action's mean, with one covariance for all actions (Lee et al., NeurIPS 2018). Off those directions: how much of
it they do not explain, the residual that ViM adds to logits (Wang et al., CVPR 2022). Each distance is standardised by
what clips that were not trained on came to, and the score is minus their sum.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from model.net.reader import Output

FAMILIARITY = "familiarity"
SUMS = "seen"
"""The state: the sums of all features so far, kind after kind."""

OUTPUT = Output(FAMILIARITY, (1,), "how much the window is like those trained on; higher is more")


@dataclass(frozen=True)
class FamiliarConfig:
    """The size of the score.

    Attributes:
        components: directions kept of each kind's features, by name.
        actions: means that a clip is held against.
    """

    components: Mapping[str, int]
    actions: int


class Familiar(nn.Module):
    """The score of sequences, float32 [B, 1]. Nothing in it is trained by gradients; `model.familiar` fits it."""

    def __init__(self, features: Mapping[str, int], config: FamiliarConfig) -> None:
        super().__init__()
        self.features = dict(features)
        self.kinds = nn.ModuleDict(
            {
                kind: Distances(length, config.components[kind], config.actions)
                for kind, length in self.features.items()
            }
        )

    @property
    def state_sizes(self) -> dict[str, int]:
        """The length of the state, by name."""
        return {SUMS: sum(self.features.values())}

    def forward(
        self, inputs: Mapping[str, Tensor], lengths: Tensor, steps: Tensor, sums: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Reads a batch of sequences.

        Args:
            inputs: the features of each kind, as the encoders give them, float32 [B, T, D].
            lengths: int64 [B], from 1 to T.
            steps: how many there were before, float32 [B, 1].
            sums: the state, float32 [B, sum of all D].

        Returns:
            The score after the last step, float32 [B, 1], and the state.
        """
        given = torch.cat([inputs[kind] for kind in self.features], 2)
        live = (torch.arange(given.shape[1]).unsqueeze(0) < lengths.unsqueeze(1)).unsqueeze(2)
        sums = sums + torch.where(live, given, torch.zeros_like(given)).sum(1)
        means = (sums / (steps + lengths.unsqueeze(1).to(sums.dtype))).split(list(self.features.values()), 1)
        distances = [
            distance
            for kind, mean in zip(self.features, means, strict=True)
            for distance in self.kinds[kind](mean)
        ]
        return -torch.stack(distances).sum(0).unsqueeze(1), sums


class Distances(nn.Module):
    """How far a mean feature vector of one kind, float32 [B, D], is from those trained on: two numbers, [B] each."""

    def __init__(self, length: int, components: int, actions: int) -> None:
        super().__init__()
        for name, shape in shapes(length, components, actions).items():
            self.register_parameter(name, nn.Parameter(torch.zeros(shape), requires_grad=False))

    def forward(self, mean: Tensor) -> tuple[Tensor, Tensor]:
        centred = mean / (mean.square().sum(1, keepdim=True).sqrt() + 1e-6) - self.centre
        within = centred @ self.directions
        off = (centred - within @ self.directions.t()).square().sum(1).sqrt()
        white = within @ self.whitening
        apart = (white.unsqueeze(1) - self.actions.unsqueeze(0)).square().sum(2).min(1).values.sqrt()
        return (apart - self.usual[0]) / self.usual[1], (off - self.usual[2]) / self.usual[3]


def shapes(length: int, components: int, actions: int) -> dict[str, tuple[int, ...]]:
    """What `Distances` is made of, by name.

    centre: the mean over clips. directions: orthonormal. whitening: what makes the covariance within actions one.
    actions: the mean of each action, whitened. usual: mean and deviation of the distance within, then of the one off.
    """
    return {
        "centre": (length,),
        "directions": (length, components),
        "whitening": (components, components),
        "actions": (actions, components),
        "usual": (4,),
    }
