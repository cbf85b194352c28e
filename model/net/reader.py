"""What the recurrent networks of the family have in common: features in, what was understood after each step out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from service.inference.card import MAP


class Grid(NamedTuple):
    """The sides of an encoder's map."""

    rows: int
    columns: int
    channels: int


@dataclass(frozen=True)
class Shape:
    """What a reader is given.

    Attributes:
        features: the length of the feature vector of each kind of evidence, by name.
        maps: the map of each kind that has one.
    """

    features: Mapping[str, int]
    maps: Mapping[str, Grid] = field(default_factory=dict)

    @property
    def inputs(self) -> tuple[str, ...]:
        """The names of all inputs: features first, then maps."""
        return (*self.features, *(kind + MAP for kind in self.maps))


class Output(NamedTuple):
    """A further output of a head, for people to look at.

    Attributes:
        name: in the graph.
        axes: its sides after the batch; `steps` is as long as the sequence.
        description: what it shows.
    """

    name: str
    axes: tuple[str | int, ...]
    description: str


@dataclass(frozen=True)
class Reading:
    """What a reader says of a batch.

    Attributes:
        read: what was understood after each step, float32 [B, T, width]; arbitrary beyond the lengths.
        state: what to hand in with the steps that follow, by name, float32 [B, size] each.
        outputs: the further outputs, by name.
    """

    read: Tensor
    state: dict[str, Tensor]
    outputs: dict[str, Tensor] = field(default_factory=dict)


class Reader(nn.Module):
    """A network that reads features in order.

    Attributes:
        width: of what it says after each step.
        state_sizes: the length of each part of its state, by name.
        outputs: what else it gives.
        streams: whether a sequence in chunks, with the state handed on, gives what the whole sequence gives.
        sums_up: whether what it says after a step sums up all steps so far, instead of being one vote among them.
    """

    width: int
    state_sizes: Mapping[str, int]
    outputs: tuple[Output, ...] = ()
    streams: ClassVar[bool] = True
    sums_up: ClassVar[bool] = False

    def forward(self, inputs: Mapping[str, Tensor], lengths: Tensor, state: Mapping[str, Tensor]) -> Reading:
        """Reads a batch of sequences.

        Args:
            inputs: by name, standardised: features float32 [B, T, D], maps float32 [B, T, rows, columns, channels].
            lengths: int64 [B], from 1 to T.
            state: what an earlier call returned, or zeros.
        """
        raise NotImplementedError


class SteadyDropout(nn.Dropout):
    """Dropout that leaves out the same numbers at every step of a sequence (Gal & Ghahramani, NeurIPS 2016).

    [B, T, ..., D] → the same. Drawn anew at each step, what is left out could be read a step later.
    """

    def forward(self, input: Tensor) -> Tensor:
        if not self.training:
            return input
        return input * super().forward(input.new_ones(input.shape[0], *[1] * (input.dim() - 2), input.shape[-1]))


class Narrow(nn.Module):
    """Every kind's features through a narrow layer of its own, side by side: float32 [B, T, width]."""

    def __init__(self, features: Mapping[str, int], bottleneck: int, dropout: float) -> None:
        super().__init__()
        self.width = bottleneck * len(features)
        self.layers = nn.ModuleDict({name: nn.Linear(length, bottleneck) for name, length in features.items()})
        self.dropout = SteadyDropout(dropout)

    def forward(self, inputs: Mapping[str, Tensor]) -> Tensor:
        return torch.cat([layer(self.dropout(inputs[name])) for name, layer in self.layers.items()], -1)
