"""How much a window is like those that a head was trained on: a score computed of features as they come, and of logits.

Of each kind of evidence that it reads, the mean over the steps so far is held against the clips trained on in two ways.
Within the directions in which those vary most (principal components): the Mahalanobis distance to their mean, whatever
their action (Lee et al., NeurIPS 2018; Ren et al., 2021, call it the marginal). Of the mean brought to length one: how
much of it such directions leave unexplained, the residual of ViM (Wang et al., CVPR 2022). The third witness is the
head: its highest logit, the lower the stranger (Hendrycks et al., ICML 2022). Each is standardised by what clips came
to that were not trained on, and the score is minus the sum.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from model.net.reader import Output

FAMILIARITY = "familiarity"
SEEN = "seen"
"""The state: the sums of the features so far, kind after kind."""
OUTPUT = Output(FAMILIARITY, (1,), "how much the window is like those trained on; higher is more")
TINY = 1e-6


@dataclass(frozen=True)
class FamiliarConfig:
    """The size of the score.

    Attributes:
        components: directions kept of the features of each kind that is read, by name.
    """

    components: Mapping[str, int]


class Distances(nn.Module):
    """How far mean features of one kind, float32 [B, D], are from those trained on: float32 [B, 2].

    Attributes:
        centre: their mean, [D].
        whitening: directions, scaled so that those trained on have variance one in each, [D, components].
        unit_centre: the mean of features brought to length one, [D].
        directions: orthonormal, those in which features of length one vary most, [D, components].
    """

    def __init__(self, length: int, components: int) -> None:
        super().__init__()

        def fixed(*shape: int) -> nn.Parameter:
            return nn.Parameter(torch.zeros(shape), requires_grad=False)

        self.centre, self.whitening = fixed(length), fixed(length, components)
        self.unit_centre, self.directions = fixed(length), fixed(length, components)

    def forward(self, mean: Tensor) -> Tensor:
        within = ((mean - self.centre) @ self.whitening).square().sum(1, keepdim=True).sqrt()
        unit = mean / (mean.square().sum(1, keepdim=True).sqrt() + TINY) - self.unit_centre
        left = unit - (unit @ self.directions) @ self.directions.t()
        off = left.square().sum(1, keepdim=True).sqrt()
        return torch.cat([within, off], 1)


class Familiar(nn.Module):
    """The score of sequences. Nothing in it is learned by gradients: `model.training.familiarity` fits it.

    Args:
        features: the length of the feature vector of each kind of evidence, by name.
        config: which of them are read.

    Attributes:
        usual, spread: mean and deviation of all distances, and of minus the highest logit, [2 for each kind + 1] each.
    """

    def __init__(self, features: Mapping[str, int], config: FamiliarConfig) -> None:
        super().__init__()
        self.config = config
        self.lengths = {kind: features[kind] for kind in config.components}
        self.kinds = nn.ModuleDict(
            {kind: Distances(length, config.components[kind]) for kind, length in self.lengths.items()}
        )
        self.usual = nn.Parameter(torch.zeros(2 * len(self.lengths) + 1), requires_grad=False)
        self.spread = nn.Parameter(torch.ones(2 * len(self.lengths) + 1), requires_grad=False)

    @property
    def state_sizes(self) -> dict[str, int]:
        """The length of the state, by name."""
        return {SEEN: sum(self.lengths.values())}

    def distances(self, means: Mapping[str, Tensor]) -> Tensor:
        """The distances of mean features, each float32 [B, D]: float32 [B, 2 for each kind]."""
        return torch.cat([self.kinds[kind](means[kind]) for kind in self.lengths], 1)

    def forward(
        self, inputs: Mapping[str, Tensor], lengths: Tensor, steps: Tensor, seen: Tensor, highest: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Reads a batch of sequences.

        Args:
            inputs: the features of each kind as the encoders give them, float32 [B, T, D].
            lengths: int64 [B], from 1 to T.
            steps: how many there were before, float32 [B, 1].
            seen: the state, float32 [B, the sum of D over the kinds read].
            highest: the highest logit after the last step, float32 [B, 1].

        Returns:
            The score after the last step, float32 [B, 1], and the state then.
        """
        given = torch.cat([inputs[kind] for kind in self.lengths], 2)
        live = (torch.arange(given.shape[1]).unsqueeze(0) < lengths.unsqueeze(1)).unsqueeze(2)
        seen = seen + torch.where(live, given, torch.zeros_like(given)).sum(1)
        mean = seen / (steps + lengths.unsqueeze(1).to(seen.dtype))
        sides = list(self.lengths.values())
        means = dict(zip(self.lengths, torch.split(mean, sides, 1), strict=True))
        strange = torch.cat([self.distances(means), -highest], 1)
        return -((strange - self.usual) / self.spread).sum(1, keepdim=True), seen
