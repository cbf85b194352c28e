"""The head: features of all kinds of evidence, step by step, to logits.

Each kind of evidence has an expert of its own, linear in its features; over them stands a recurrent network that reads
all kinds together, the reader. Every step each expert votes, and its answer after a step is the mean of its votes so
far; the answer is the sum over the experts: a product of experts (Hinton, *Neural Computation* 14, 2002). Without the
reader it is the mean-pooled baseline, which is where a head with one starts from.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from model.net.article import Article
from model.net.attention import Attention, AttentionConfig
from model.net.bidirectional import Bidirectional
from model.net.convlstm import ConvLstm, ConvLstmConfig
from model.net.familiar import FAMILIARITY, OUTPUT, SEEN, Familiar, FamiliarConfig
from model.net.layernorm import LayerNormLstm
from model.net.lstm import Lstm, LstmConfig
from model.net.peephole import Peephole
from model.net.reader import Grid, Output, Reader, Shape, SteadyDropout
from model.net.recurrent import Recurrent
from model.net.spatial import Spatial, SpatialConfig
from model.net.spread import Spread
from service.inference.card import MAP

HeadName = Literal[
    "lstm", "peephole", "article", "layernorm", "attention", "spatial", "convlstm", "bidirectional", "mean"
]
HEADS: tuple[HeadName, ...] = get_args(HeadName)
MAP_HEADS: frozenset[HeadName] = frozenset({"spatial", "convlstm"})
"""Those that read an encoder's map."""


@dataclass(frozen=True)
class ClassifierConfig:
    """A head.

    Attributes:
        features: the length of the feature vector of each kind of evidence, by name.
        labels: how many actions there are.
        head: which reader stands over the experts; `mean` has none.
        lstm: the size of the LSTM.
        maps: the map of the kind that the head reads with its positions, where it does.
        attention, spatial, convlstm: sizes that only the heads of these names have.
        spread: whether experts are told how much the features vary, beside their mean.
        familiar: present where the head also says how familiar a clip is.
    """

    features: Mapping[str, int]
    labels: int
    head: HeadName = "lstm"
    lstm: LstmConfig = field(default_factory=LstmConfig)
    maps: Mapping[str, Grid] = field(default_factory=dict)
    attention: AttentionConfig = field(default_factory=AttentionConfig)
    spatial: SpatialConfig = field(default_factory=SpatialConfig)
    convlstm: ConvLstmConfig = field(default_factory=ConvLstmConfig)
    spread: bool = False
    familiar: FamiliarConfig | None = None

    @property
    def shape(self) -> Shape:
        """What the head is given."""
        return Shape(self.features, self.maps)


_READERS: Mapping[HeadName, Callable[[ClassifierConfig], Reader]] = {
    "lstm": lambda config: Recurrent(config.shape, config.lstm, Lstm),
    "peephole": lambda config: Recurrent(config.shape, config.lstm, Peephole),
    "article": lambda config: Recurrent(config.shape, config.lstm, Article),
    "layernorm": lambda config: Recurrent(config.shape, config.lstm, LayerNormLstm),
    "attention": lambda config: Attention(config.shape, config.lstm, config.attention),
    "spatial": lambda config: Spatial(config.shape, config.lstm, config.spatial),
    "convlstm": lambda config: ConvLstm(config.shape, config.lstm, config.convlstm),
    "bidirectional": lambda config: Bidirectional(config.shape, config.lstm),
}


@dataclass(frozen=True)
class Answer:
    """What a head says of a batch.

    Attributes:
        experts: logits of each expert, float32 [E, B, T, C]; row t is the answer after t + 1 steps.
        state: what to hand in with the steps that follow, by name, float32 [B, size] each.
        outputs: what else the head gives, by name; see `Classifier.outputs`.
    """

    experts: Tensor
    state: dict[str, Tensor]
    outputs: dict[str, Tensor]

    @property
    def logits(self) -> Tensor:
        """The experts' joint answer, float32 [B, T, C]."""
        return self.experts.sum(0)


class Classifier(nn.Module):
    """Features to logits, with everything that has to be remembered as state.

    State: `votes`, the votes so far of each expert that votes, each C wide; `steps`, how many there were; the reader's
    own; sums of the features and of their squares, where experts are told how much these vary; and that of the score of
    familiarity.
    """

    def __init__(self, config: ClassifierConfig) -> None:
        super().__init__()
        self.config = config
        # Not learned, but torch has no dictionary of buffers.
        self.means = nn.ParameterDict()
        self.deviations = nn.ParameterDict()
        self.experts = nn.ModuleDict()
        widths = {**config.features, **{kind + MAP: grid.channels for kind, grid in config.maps.items()}}
        for name, length in widths.items():
            self.means[name] = nn.Parameter(torch.zeros(length), requires_grad=False)
            self.deviations[name] = nn.Parameter(torch.ones(length), requires_grad=False)
        for name, length in config.features.items():
            self.experts[name] = expert = nn.Linear(length, config.labels)
            nn.init.zeros_(expert.weight)
            nn.init.zeros_(expert.bias)
        self.spread = Spread(config.features, config.labels) if config.spread else None
        self.familiar = None if config.familiar is None else Familiar(config.features, config.familiar)
        self.reader = _READERS[config.head](config) if config.head in _READERS else None
        if self.reader is not None:
            self.dropout = SteadyDropout(config.lstm.dropout)
            self.read = nn.Linear(self.reader.width, config.labels)

    @property
    def state_sizes(self) -> dict[str, int]:
        """The length of each part of the state, by name."""
        voters = len(self.config.features) + (self.reader is not None and not self.reader.sums_up)
        own = {} if self.reader is None else self.reader.state_sizes
        sums = {} if self.spread is None else self.spread.state_sizes
        familiar = {} if self.familiar is None else self.familiar.state_sizes
        return {"votes": self.config.labels * voters, "steps": 1, **own, **sums, **familiar}

    @property
    def outputs(self) -> tuple[Output, ...]:
        """What the head gives beside logits."""
        own = () if self.reader is None else self.reader.outputs
        return own if self.familiar is None else (*own, OUTPUT)

    @property
    def streams(self) -> bool:
        """Whether a sequence in chunks, with the state handed on, gets the answer of the whole sequence."""
        return self.reader is None or self.reader.streams

    def start(self, batch: int) -> dict[str, Tensor]:
        """The state before the first step: zeros."""
        return {name: torch.zeros(batch, size) for name, size in self.state_sizes.items()}

    def standardise(self, name: str, mean: Tensor, deviation: Tensor) -> None:
        """Sets what an input's numbers, float32 [D], are shifted and scaled by."""
        with torch.no_grad():
            self.means[name].copy_(mean)
            self.deviations[name].copy_(deviation)

    def standardised(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The inputs, shifted and scaled."""
        return {name: (inputs[name] - self.means[name]) / self.deviations[name] for name in self.config.shape.inputs}

    def forward(self, inputs: Mapping[str, Tensor], lengths: Tensor, state: Mapping[str, Tensor]) -> Answer:
        """Reads a batch of sequences.

        Args:
            inputs: by name: the features of each kind of evidence, float32 [B, T, D], and the maps that the head reads,
                float32 [B, T, rows, columns, channels].
            lengths: int64 [B], from 1 to T.
            state: what an earlier call returned, or `start`.
        """
        given = self.standardised(inputs)
        votes = [self.experts[name](given[name]) for name in self.config.features]
        conclusions: list[Tensor] = []
        after: dict[str, Tensor] = {}
        outputs: dict[str, Tensor] = {}
        if self.reader is not None:
            reading = self.reader(given, lengths, state)
            after, outputs = dict(reading.state), dict(reading.outputs)
            (conclusions if self.reader.sums_up else votes).append(self.read(self.dropout(reading.read)))
        sums = torch.cat(votes, 2).cumsum(1) + state["votes"].unsqueeze(1)
        counts = torch.arange(1, sums.shape[1] + 1, dtype=sums.dtype).view(1, -1, 1) + state["steps"].unsqueeze(1)
        last = (lengths - 1).view(-1, 1, 1).expand(-1, 1, sums.shape[2])
        after["votes"] = sums.gather(1, last)[:, 0]
        after["steps"] = state["steps"] + lengths.view(-1, 1).to(sums.dtype)
        opinions = list((sums / counts).chunk(len(votes), 2))
        if self.spread is not None:
            varied, kept = self.spread.measure(given, lengths, state["steps"], state)
            # The expert of a kind is one: it is told of its features' mean and of their deviation.
            for place, more in enumerate(self.spread(varied)):
                opinions[place] = opinions[place] + more
            after |= kept
        experts = torch.stack([*opinions, *conclusions])
        if self.familiar is not None:
            joint = experts.sum(0)
            final = joint.gather(1, last[:, :, :1].expand(-1, 1, joint.shape[2]))[:, 0]
            highest = final.max(1, keepdim=True).values
            outputs[FAMILIARITY], after[SEEN] = self.familiar(inputs, lengths, state["steps"], state[SEEN], highest)
        return Answer(experts, {name: after[name] for name in self.state_sizes}, outputs)
