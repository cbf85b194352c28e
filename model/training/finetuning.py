"""How the last stage of an encoder is trained on labelled clips.

A few pictures of each clip, one from each of as many equal segments, are answered one by one, and their logits averaged
(Wang et al., *Temporal Segment Networks*, ECCV 2016): a picture need not show all of an action.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import swa_utils

from model.net.encoder import FEATURES
from model.net.stage import Stage
from model.training.shelf import Shelf

# Clips without which a step says little, and statistics of a batch are noise.
_LEAST = 8
# Pictures that are looked at together where nothing is learned.
_PICTURES_IN_A_BATCH = 64


@dataclass(frozen=True)
class TuneConfig:
    """How a last stage is trained.

    Attributes:
        epochs: how often every clip is seen.
        segments: pictures of a clip in a step.
        batch: clips in a step, where there are many.
        steps: steps an epoch has at least, where none has fewer than eight clips.
        rate: the highest learning rate; it falls to 0 like a cosine.
        warm: epochs in which the stage's rate rises from 0: until the classifier has learned something, its gradients
            would only wear out what ImageNet taught.
        classifier: how many times larger the classifier's rate is; it starts from nothing and does not warm up.
        decay: AdamW's weight decay.
        mixup: as in `TrainConfig`, of what the trunk gave.
        smoothing, average: as in `TrainConfig`.
        dropout: the share of the features that the classifier does not see.
    """

    epochs: int = 14
    segments: int = 3
    batch: int = 24
    steps: int = 8
    rate: float = 1e-3
    warm: float = 2.0
    classifier: float = 5.0
    decay: float = 0.05
    mixup: float = 0.3
    smoothing: float = 0.1
    average: float = 0.98
    dropout: float = 0.4


@dataclass(frozen=True)
class Seen:
    """What the trunk gave of the pictures of clips.

    Attributes:
        positions: float16 [P, rows, columns, 112].
        places: of each clip, of each of its views, the places of its pictures, in order: int64 [pictures].
        labels: int64 [clips].
    """

    positions: Shelf
    places: Sequence[Sequence[NDArray[np.int64]]]
    labels: Tensor


class _Tuned(nn.Module):
    """A last stage and the classifier that teaches it, which nobody keeps."""

    def __init__(self, stage: Stage, labels: int, dropout: float) -> None:
        super().__init__()
        self.stage, self.dropout, self.classifier = stage, nn.Dropout(dropout), nn.Linear(FEATURES, labels)
        nn.init.zeros_(self.classifier.weight)
        nn.init.zeros_(self.classifier.bias)

    def forward(self, positions: Tensor) -> Tensor:
        """What clips are: float32 [B, segments, rows, columns, 112] → logits, float32 [B, labels]."""
        features, _ = self.stage(positions.flatten(0, 1))
        logits = self.classifier(self.dropout(features))
        return cast("Tensor", logits.view(*positions.shape[:2], -1).mean(1))


def tune(
    stage: Stage,
    seen: Seen,
    clips: NDArray[np.int64],
    config: TuneConfig,
    seed: int,
    advance: Callable[[], None] = lambda: None,
) -> Stage:
    """Trains a last stage, in place.

    Args:
        stage: with the weights to start from.
        seen: what it reads; of other clips than those trained on, nothing is read.
        clips: which to train on, int64.
        config: how.
        seed: of everything that is drawn.
        advance: hears of every epoch, and may end it all by raising.

    Returns:
        The stage with averaged weights, in evaluation mode.
    """
    under_way = _Tuning(stage, seen, clips, config, seed)
    for _ in range(config.epochs):
        under_way.epoch()
        advance()
    stage.load_state_dict(under_way.averaged.state_dict())
    return stage.eval()


class _Tuning:
    """A stage on its way: its weights, their average, and the optimiser's memory."""

    def __init__(self, stage: Stage, seen: Seen, clips: NDArray[np.int64], config: TuneConfig, seed: int) -> None:
        torch.manual_seed(seed)
        self._draw = np.random.default_rng(seed)
        self._seen, self._clips, self._config = seen, clips, config
        self._labels = int(seen.labels.max()) + 1
        self._tuned = _Tuned(stage, self._labels, config.dropout)
        averaging = swa_utils.get_ema_multi_avg_fn(config.average)  # type: ignore[no-untyped-call]
        self._average = swa_utils.AveragedModel(self._tuned, multi_avg_fn=averaging)
        groups = [{"params": list(one.parameters())} for one in (self._tuned.stage, self._tuned.classifier)]
        self._optimiser = torch.optim.AdamW(groups, lr=config.rate, weight_decay=config.decay)
        fewest = min(config.steps, len(clips) // _LEAST)
        self._steps = max(1, fewest, round(len(clips) / config.batch))
        self._done = 0

    @property
    @torch.no_grad()
    def averaged(self) -> Stage:
        """The stage with averaged weights, and batch norms that know the latest pictures."""
        whole = cast("_Tuned", self._average.module)
        for kept, latest in zip(whole.buffers(), self._tuned.buffers(), strict=True):
            kept.copy_(latest)
        return whole.stage

    def epoch(self) -> None:
        """Trains on every clip once."""
        self._tuned.train()
        for batch in np.array_split(self._draw.permutation(self._clips), self._steps):
            self._pace()
            self._step(*self._mixed(self._positions(batch), F.one_hot(self._seen.labels[batch], self._labels).float()))
            self._done += 1

    def _pace(self) -> None:
        config, done = self._config, self._done
        fallen = config.rate * 0.5 * (1 + np.cos(np.pi * done / (config.epochs * self._steps)))
        warmth = min(1.0, (done + 1) / (config.warm * self._steps))
        rates = (warmth**2 * fallen, config.classifier * fallen)
        for group, rate in zip(self._optimiser.param_groups, rates, strict=True):
            group["lr"] = float(rate)

    def _positions(self, batch: NDArray[np.int64]) -> Tensor:
        """A picture of each segment of one view of each clip: float32 [B, segments, rows, columns, 112]."""
        drawn, segments = [], self._config.segments
        for clip in batch.tolist():
            views = self._seen.places[clip]
            own = views[int(self._draw.integers(len(views)))]
            within = (np.arange(segments) + self._draw.uniform(size=segments)) / segments
            drawn.append(own[(within * len(own)).astype(np.int64)])
        return torch.from_numpy(self._seen.positions.take(np.stack(drawn))).float()

    def _mixed(self, positions: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        if not self._config.mixup:
            return positions, targets
        share = float(self._draw.beta(self._config.mixup, self._config.mixup))
        other = torch.from_numpy(self._draw.permutation(len(targets)))
        return share * positions + (1 - share) * positions[other], share * targets + (1 - share) * targets[other]

    def _step(self, positions: Tensor, targets: Tensor) -> None:
        loss = F.cross_entropy(self._tuned(positions), targets, label_smoothing=self._config.smoothing)
        self._optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self._tuned.parameters(), 5.0)
        self._optimiser.step()
        self._average.update_parameters(self._tuned)


@torch.no_grad()
def see(stage: Stage, positions: Shelf, features: Shelf, maps: Shelf | None) -> None:
    """Puts what a stage sees in all pictures on shelves: features, and where wanted its map, both float16."""
    for rows in torch.split(torch.arange(len(positions)), _PICTURES_IN_A_BATCH):
        seen, mapped = stage(torch.from_numpy(positions.take(rows.numpy())).float())
        features.put(seen.numpy().astype(np.float16))
        if maps is not None:
            maps.put(np.ascontiguousarray(mapped.numpy(), dtype=np.float16))
