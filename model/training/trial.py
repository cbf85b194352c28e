"""What came of testing a head on a fold that it was not trained on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from model.training.fit import Epoch
from model.training.variant import Variant


class Trial(BaseModel):
    """One fold of one repetition, tested once.

    Attributes:
        epochs: how many were chosen, on another fold than the one tested.
        clips: the tested clips' places in the data set.
        logits: of each tested clip, one for each label.
        right: how many of them were recognised.
        chosen_by: every epoch of the training in which the number was chosen; empty where too few folds are left.
        trained: every epoch of the training that was tested.
    """

    variant: Variant
    seed: int
    fold: int
    epochs: int
    clips: tuple[int, ...]
    logits: tuple[tuple[float, ...], ...]
    right: int
    chosen_by: tuple[Epoch, ...]
    trained: tuple[Epoch, ...]


def out_of_fold(trials: Sequence[Trial]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The tested clips of some trials, int64 [N], and their logits, float64 [N, C]."""
    clips = np.concatenate([np.array(one.clips) for one in trials])
    return clips, np.concatenate([np.array(one.logits) for one in trials])


def mean_epochs(trials: Sequence[Trial]) -> int:
    """For how many epochs to train on all folds what these trials tested: the mean of those chosen."""
    return max(1, round(float(np.mean([one.epochs for one in trials]))))


def by_clip(clips: NDArray[np.int64], values: NDArray[np.generic], count: int) -> NDArray[np.float64]:
    """The mean over repetitions of what was found of each of so many clips: float64 [count]."""
    counts = np.maximum(np.bincount(clips, minlength=count), 1)
    return np.bincount(clips, values.astype(np.float64), count) / counts
