"""The table of a run: how good each head is by cross-validation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from model.run.plan import Plan
from model.training.trial import Trial
from model.training.variant import Variant


@dataclass(frozen=True)
class Row:
    """One head's cross-validation.

    Attributes:
        variant: the head.
        folds: its accuracy on each fold, the mean over repetitions.
        accuracy: over all clips, each tested once a repetition; the mean over repetitions.
        spread: the standard deviation of that over repetitions.
        epochs: the mean of the numbers of epochs chosen.
    """

    variant: Variant
    folds: tuple[float, ...]
    accuracy: float
    spread: float
    epochs: float


def rows(plan: Plan, trials: Sequence[Trial]) -> tuple[Row, ...]:
    """The table of a run's trials, the head that is kept first."""
    return tuple(_row(variant, [one for one in trials if one.variant == variant]) for variant in plan.variants)


def _row(variant: Variant, trials: Sequence[Trial]) -> Row:
    folds = sorted({one.fold for one in trials})
    seeds = sorted({one.seed for one in trials})
    right = {(one.seed, one.fold): one.right for one in trials}
    tested = {one.fold: len(one.clips) for one in trials}
    whole = [sum(right[seed, fold] for fold in folds) / sum(tested.values()) for seed in seeds]
    return Row(
        variant,
        tuple(float(np.mean([right[seed, fold] for seed in seeds])) / tested[fold] for fold in folds),
        float(np.mean(whole)),
        float(np.std(whole, ddof=1)) if len(seeds) > 1 else 0.0,
        float(np.mean([one.epochs for one in trials])),
    )
