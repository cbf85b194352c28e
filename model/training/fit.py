"""How a recurrent head is trained."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F
from torch.optim import swa_utils

from model.net.classifier import Classifier, ClassifierConfig
from model.training.windows import WINDOWS_IN_A_BATCH, Windows, mean_of_steps

# A feature that deviates less than this share of what features deviate on average is scaled as if it deviated so much.
_LEAST_DEVIATION = 0.1
# Clips without which a step says little.
_LEAST = 8


@dataclass(frozen=True)
class TrainConfig:
    """How a head is trained.

    Attributes:
        batch: clips in a step, where there are many.
        steps: steps an epoch has at least, so that few clips are learned from as often as many; a step of fewer than
            eight clips is none.
        rate: the learning rate at its highest, after the warm-up of one epoch; it then falls to 0 like a cosine
            over `horizon` epochs.
        decay: AdamW's weight decay (Loshchilov & Hutter, ICLR 2019).
        mixup: the parameter of the beta distribution that two clips' shares are drawn from (Zhang et al., *mixup*, ICLR
            2018); 0 turns it off.
        smoothing: the share of the target that is spread over all labels (Szegedy et al., CVPR 2016).
        average: how much of the averaged weights is kept at each step (Polyak averaging); those are the result.
        horizon: the most epochs.
        patience: epochs without a better epoch after which training stops, where a fold is watched; 0 watches none and
            trains for all epochs.
    """

    batch: int = 64
    steps: int = 8
    rate: float = 1e-3
    decay: float = 0.3
    mixup: float = 0.4
    smoothing: float = 0.1
    average: float = 0.98
    horizon: int = 30
    patience: int = 10


def standardise(head: Classifier, windows: Windows, rows: Tensor) -> None:
    """Lets a head shift and scale its inputs by the mean and deviation of what the windows see on average.

    Features are averaged over a window's steps; of a map, every position counts by itself. Where the head is told how
    much features vary, it shifts and scales that likewise.
    """
    for name, held in windows.inputs.items():
        means = (mean_of_steps(held.of(few), windows.lengths[few]) for few in torch.split(rows, WINDOWS_IN_A_BATCH))
        head.standardise(name, *_moments(means, held.shape[-1]))
    if head.spread is not None:
        spread: dict[str, list[Tensor]] = {name: [] for name in head.config.features}
        for few in torch.split(rows, WINDOWS_IN_A_BATCH):
            for name, varied in _varied(head, windows, few).items():
                spread[name].append(varied)
        for name, parts in spread.items():
            head.spread.standardise(name, *_moments(parts, parts[0].shape[-1]))


def _moments(parts: Iterable[Tensor], length: int) -> tuple[Tensor, Tensor]:
    """The mean and deviation of rows [N, D] that come a few at a time."""
    count, total, squares = 0, torch.zeros(length).double(), torch.zeros(length).double()
    for part in parts:
        rows = part.double()
        count, total, squares = count + len(rows), total + rows.sum(0), squares + rows.square().sum(0)
    mean = total / count
    variance = (squares - count * mean.square()).clamp(min=0) / max(1, count - 1)
    deviation = variance.sqrt()
    # Of few clips many features hardly ever fire. Where one does after all, it must not outweigh all others.
    return mean.float(), torch.maximum(deviation, _LEAST_DEVIATION * deviation.mean()).float() + 1e-3


@torch.no_grad()
def _varied(head: Classifier, windows: Windows, rows: Tensor) -> dict[str, Tensor]:
    """How much the features of some windows vary over all their steps: float32 [B, D] by name."""
    assert head.spread is not None
    inputs, lengths = windows.batch(rows)
    start = head.start(len(rows))
    varied, _ = head.spread.measure(head.standardised(inputs), lengths, start["steps"], start)
    return {name: last(values, lengths) for name, values in varied.items()}


@dataclass(frozen=True)
class Epoch:
    """What one epoch came to.

    Attributes:
        epoch: counted from 1.
        loss: mean training loss; with mixup and smoothing it cannot reach 0.
        watched_nll, watched_accuracy: on the fold watched, where one is.
    """

    epoch: int
    loss: float
    watched_nll: float | None = None
    watched_accuracy: float | None = None


@dataclass(frozen=True)
class Fitted:
    """A trained head and how it came to be.

    Attributes:
        head: with averaged weights, in evaluation mode.
        history: every epoch.
        best: the number of the epoch at which the watched fold's loss was least; the last one where none is watched.
    """

    head: Classifier
    history: tuple[Epoch, ...]
    best: int


def last(logits: Tensor, lengths: Tensor) -> Tensor:
    """The answer after the last step: [..., B, T, C] → [..., B, C]."""
    return logits[..., torch.arange(len(lengths)), lengths - 1, :]


def predict(head: Classifier, windows: Windows, clips: NDArray[np.int64]) -> Tensor:
    """The logits of clips as serving sees them, the mean over each one's windows: float32 [clips, C]."""
    head.eval()
    windows = windows.only(head.config.shape.inputs)
    own = np.flatnonzero(np.isin(windows.clips, clips) & (windows.views == 0))
    batches = torch.split(torch.from_numpy(own), WINDOWS_IN_A_BATCH)
    with torch.no_grad():
        logits = torch.cat([_last_logits(head, windows, rows) for rows in batches])
    place = torch.from_numpy(np.searchsorted(clips, windows.clips[own]))
    sums = torch.zeros(len(clips), logits.shape[1]).index_add_(0, place, logits)
    return sums / torch.bincount(place, minlength=len(clips)).unsqueeze(1)


def _last_logits(head: Classifier, windows: Windows, rows: Tensor) -> Tensor:
    inputs, lengths = windows.batch(rows)
    return last(head(inputs, lengths, head.start(len(rows))).logits, lengths)


def fit(
    config: ClassifierConfig,
    training: TrainConfig,
    windows: Windows,
    clips: NDArray[np.int64],
    *,
    seed: int,
    watch: NDArray[np.int64] | None = None,
    epochs: int | None = None,
) -> Fitted:
    """Trains a head.

    Args:
        config: which head.
        training: how.
        windows: the windows of all clips.
        clips: the clips to train on, ascending.
        seed: of everything that is drawn.
        watch: clips to watch, ascending; training stops when they no longer gain.
        epochs: how many; by default the horizon.
    """
    windows = windows.only(config.shape.inputs)
    under_way = _Training(config, training, windows, clips, seed)
    history: list[Epoch] = []
    best, least = 0, float("inf")
    for number in range(1, (epochs or training.horizon) + 1):
        epoch = under_way.epoch(number)
        if watch is not None:
            epoch = _watched(under_way.averaged, windows, watch, epoch)
        history.append(epoch)
        if epoch.watched_nll is not None and epoch.watched_nll < least:
            best, least = number, epoch.watched_nll
        if watch is not None and number - best >= training.patience:
            break
    return Fitted(under_way.averaged.eval(), tuple(history), best or len(history))


class _Training:
    """A head on its way: its weights, their average, and the optimiser's memory."""

    def __init__(
        self, config: ClassifierConfig, training: TrainConfig, windows: Windows, clips: NDArray[np.int64], seed: int
    ) -> None:
        torch.manual_seed(seed)
        self._draw = np.random.default_rng(seed)
        self._training, self._windows, self._clips = training, windows, clips
        self._head = Classifier(config)
        served = np.isin(windows.clips, clips) & (windows.views == 0)
        standardise(self._head, windows, torch.from_numpy(np.flatnonzero(served)))
        averaging = swa_utils.get_ema_multi_avg_fn(training.average)  # type: ignore[no-untyped-call]
        self._average = swa_utils.AveragedModel(self._head, multi_avg_fn=averaging)
        self._optimiser = torch.optim.AdamW(self._head.parameters(), lr=training.rate, weight_decay=training.decay)

    @property
    def averaged(self) -> Classifier:
        """The head with averaged weights."""
        return cast("Classifier", self._average.module)

    def epoch(self, number: int) -> Epoch:
        """Trains on every clip once."""
        for group in self._optimiser.param_groups:
            group["lr"] = self._training.rate * _pace(number, self._training.horizon)
        batches = _batches(self._windows, self._clips, self._training, self._draw)
        return Epoch(number, float(np.mean([self._step(*batch) for batch in batches])))

    def _step(self, inputs: Mapping[str, Tensor], lengths: Tensor, targets: Tensor) -> float:
        self._head.train()
        experts = last(self._head(inputs, lengths, self._head.start(len(lengths))).experts, lengths)
        # Each expert has to answer by itself, too: trained only together they lean on each other and overfit.
        opinions = [*experts, experts.sum(0)]
        smoothing = self._training.smoothing
        loss = torch.stack([F.cross_entropy(one, targets, label_smoothing=smoothing) for one in opinions]).sum()
        self._optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self._head.parameters(), 5.0)
        self._optimiser.step()
        self._average.update_parameters(self._head)
        return loss.item()


def _pace(epoch: int, horizon: int) -> float:
    # One epoch of warm-up, because the moments of Adam start from nothing.
    return 0.3 if epoch == 1 else float(0.5 * (1 + np.cos(np.pi * (epoch - 1) / horizon)))


def _watched(head: Classifier, windows: Windows, clips: NDArray[np.int64], epoch: Epoch) -> Epoch:
    logits = predict(head, windows, clips)
    labels = windows.labels[torch.from_numpy(clips)]
    right = (logits.argmax(1) == labels).float().mean()
    return Epoch(epoch.epoch, epoch.loss, float(F.cross_entropy(logits, labels)), float(right))


def _steps(clips: int, training: TrainConfig) -> int:
    fewest = min(training.steps, clips // _LEAST)
    return max(1, fewest, round(clips / training.batch))


Batch = tuple[dict[str, Tensor], Tensor, Tensor]
"""The head's inputs by name, float32 [B, T, ...]; lengths, int64 [B]; the share of each label, float32 [B, C]."""


def _batches(
    windows: Windows, clips: NDArray[np.int64], training: TrainConfig, draw: np.random.Generator
) -> Iterator[Batch]:
    """One window of each clip, from any view, in batches of clips in any order, mixed in pairs."""
    first, beyond = (np.searchsorted(windows.clips, clips, side=side) for side in ("left", "right"))
    rows = draw.permutation(draw.integers(first, beyond))
    labels = F.one_hot(windows.labels).float()
    for batch in np.array_split(rows, _steps(len(rows), training)):
        chosen = torch.from_numpy(batch)
        inputs, lengths = windows.batch(chosen)
        targets = labels[windows.clips[batch]]
        if training.mixup:
            share = float(draw.beta(training.mixup, training.mixup))
            other = torch.from_numpy(draw.permutation(len(batch)))
            inputs = {name: share * values + (1 - share) * values[other] for name, values in inputs.items()}
            targets = share * targets + (1 - share) * targets[other]
            lengths = torch.maximum(lengths, lengths[other])
        yield inputs, lengths, targets
