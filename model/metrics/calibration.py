"""How far scores can be trusted: temperature, reliability, calibration error."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# Temperatures tried: fine enough that the loss between two differs in its sixth digit.
_TEMPERATURES = np.geomspace(0.05, 20, 2000)
_BINS = 15


@dataclass(frozen=True)
class Bin:
    """The answers whose score lies in [low, high).

    Attributes:
        count: how many.
        score: the mean of their scores, 0 where there are none.
        right: the share of them that are right, 0 where there are none.
    """

    low: float
    high: float
    count: int
    score: float
    right: float


def reliability(logits: NDArray[np.float64], labels: NDArray[np.int64], temperature: float = 1.0) -> tuple[Bin, ...]:
    """How often answers are right, by how sure they are, in 15 bins of equal width.

    The diagram drawn of it is that of DeGroot & Fienberg (*The Comparison and Evaluation of Forecasters*, The
    Statistician 1983).

    Args:
        logits: float64 [N, C].
        labels: int64 [N].
        temperature: what logits are divided by.
    """
    shares = _log_softmax(logits / temperature)
    best = np.exp(shares.max(1))
    right = shares.argmax(1) == labels
    places = np.minimum((best * _BINS).astype(int), _BINS - 1)
    counts, scores, rights = (
        np.bincount(places, weights=values, minlength=_BINS) for values in (np.ones_like(best), best, right)
    )
    return tuple(
        Bin(place / _BINS, (place + 1) / _BINS, int(count), *((score / count, hits / count) if count else (0.0, 0.0)))
        for place, (count, score, hits) in enumerate(
            zip(counts.tolist(), scores.tolist(), rights.tolist(), strict=True)
        )
    )


def calibration_error(bins: Sequence[Bin]) -> float:
    """The expected calibration error of some bins that hold at least one answer (Naeini et al., AAAI 2015)."""
    return sum(one.count * abs(one.score - one.right) for one in bins) / sum(one.count for one in bins)


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
    error = calibration_error(reliability(logits, labels, temperature))
    return Calibration(temperature, nll(logits, labels, temperature), error)


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


def softmax(logits: NDArray[np.float64], temperature: float = 1.0) -> NDArray[np.float64]:
    """The scores of logits, float64 [N, C], each row summing to one."""
    return np.asarray(np.exp(_log_softmax(logits / temperature)), dtype=np.float64)


def _log_softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    shifted = logits - logits.max(1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(1, keepdims=True)), dtype=np.float64)
