"""How good a model is: accuracy, confusion, calibration."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# Temperatures tried: fine enough that the loss between two differs in its sixth digit.
_TEMPERATURES = np.geomspace(0.05, 20, 2000)
_BINS = 15


@dataclass(frozen=True)
class Calibration:
    """How far scores can be trusted.

    Attributes:
        temperature: what logits are divided by.
        nll: mean negative log-likelihood of the right labels, in nats.
        ece: expected calibration error over 15 bins of equal width (Naeini et al., AAAI 2015): how far, on average, the
            best score is from the share of answers that are right.
    """

    temperature: float
    nll: float
    ece: float


def calibration(logits: NDArray[np.float64], labels: NDArray[np.int64], temperature: float = 1.0) -> Calibration:
    """The calibration of logits, float [N, C], of clips with these labels, int [N]."""
    shares = _log_softmax(logits / temperature)
    best = np.exp(shares.max(1))
    right = shares.argmax(1) == labels
    bins = np.minimum((best * _BINS).astype(int), _BINS - 1)
    gaps = [abs((best[bins == one] - right[bins == one]).sum()) for one in range(_BINS)]
    return Calibration(temperature, nll(logits, labels, temperature), float(sum(gaps) / len(labels)))


def nll(logits: NDArray[np.float64], labels: NDArray[np.int64], temperature: float) -> float:
    """The mean negative log-likelihood of the right labels, in nats."""
    return float(-_log_softmax(logits / temperature)[np.arange(len(labels)), labels].mean())


def fit_temperature(logits: NDArray[np.float64], labels: NDArray[np.int64]) -> float:
    """The temperature at which the right labels are likeliest (Guo et al., ICML 2017).

    Args:
        logits: float [N, C], of clips that the head was not trained on.
        labels: int [N].
    """
    return float(min(_TEMPERATURES, key=lambda one: nll(logits, labels, one)))


def confusion(answers: NDArray[np.int64], labels: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """How often each action (row) was taken for each (column): int64 [count, count]."""
    matrix = np.zeros((count, count), dtype=np.int64)
    np.add.at(matrix, (labels, answers), 1)
    return matrix


def auroc(known: NDArray[np.float64], strange: NDArray[np.float64]) -> float:
    """How often a known clip scores higher than a strange one, ties counting half: the area under the ROC curve."""
    ordered = np.sort(known)
    below = np.searchsorted(ordered, strange, "left") + np.searchsorted(ordered, strange, "right")
    return float(1 - below.mean() / (2 * len(known)))


def _log_softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    shifted = logits - logits.max(1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(1, keepdims=True)), dtype=np.float64)
