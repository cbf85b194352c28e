"""From logits to ranked predictions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Prediction:
    """One label with its score in [0, 1]; `label_id` is its index in the card's labels."""

    label: str
    label_id: int
    score: float


def scores(logits: NDArray[np.float32], temperature: float) -> NDArray[np.float64]:
    """The scores of a clip: the softmax of its windows' mean logits, divided by the temperature.

    The mean of logits is the product of the windows' opinions, renormalised. Temperature: Guo et al., *On Calibration
    of Modern Neural Networks*, ICML 2017.

    Args:
        logits: float32 [W, C], the logits after each window's last step.
        temperature: above 0; 1 leaves the logits as they are.

    Returns:
        float64 [C], summing to one.
    """
    mean = logits.astype(np.float64).mean(axis=0) / temperature
    exponentials = np.exp(mean - mean.max())
    return np.asarray(exponentials / exponentials.sum(), dtype=np.float64)


def rank(
    values: NDArray[np.float64], labels: Sequence[str], top_k: int, min_score: float = 0.0
) -> tuple[Prediction, ...]:
    """The best `top_k` labels with at least `min_score`, best first; equals keep the card's order.

    Args:
        values: float64 [C], as `scores` returns them.
        labels: C names.
        top_k: at most so many.
        min_score: in [0, 1].
    """
    best = np.argsort(-values, kind="stable")[:top_k]
    return tuple(Prediction(labels[i], int(i), float(values[i])) for i in best if values[i] >= min_score)
