"""How good a model is, in numbers: accuracy and how sure it is, confusion, calibration, how well strangers are told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# Temperatures tried: fine enough that the loss between two differs in its sixth digit.
_TEMPERATURES = np.geomspace(0.05, 20, 2000)
_BINS = 15
# The quantile of the normal distribution that 95 % lie within.
_Z = 1.959963984540054
_DRAWS = 1000


@dataclass(frozen=True)
class Interval:
    """Within which a share lies with 95 % confidence, both ends in [0, 1]."""

    low: float
    high: float


def wilson(right: float, tested: float) -> Interval:
    """The 95 % interval of a share of which `right` of `tested` were seen, none of which has to do with another.

    Wilson's score interval (*Probable inference, the law of succession, and statistical inference*, JASA 1927): unlike
    the one of the normal approximation it is never empty and never leaves [0, 1]. Neither number has to be whole.

    Raises:
        ValueError: nothing was tested.
    """
    if tested <= 0:
        raise ValueError("nothing was tested")
    share = right / tested
    middle = (share + _Z**2 / (2 * tested)) / (1 + _Z**2 / tested)
    reach = _Z / (1 + _Z**2 / tested) * np.sqrt(max(0.0, share * (1 - share)) / tested + _Z**2 / (4 * tested**2))
    return Interval(max(0.0, float(middle - reach)), min(1.0, float(middle + reach)))


def effective_number(right: NDArray[np.float64], clusters: Sequence[str]) -> float:
    """As how many independent clips some clips count that come in clusters, such as the videos that they were cut from.

    The variance of the share right, taken over clusters (the ratio estimator; Cochran, *Sampling Techniques*, 1977,
    §6.3), is held against that of independent clips; their ratio is Kish's design effect (*Survey Sampling*, 1965). It
    is never more than the number of clips, and where all clips are right, or none, it is the number of clusters.

    Args:
        right: float64 [N], 1 of a clip that was right and 0 of one that was not, or a mean of those over repetitions.
        clusters: N names.
    """
    clips, names, sums = len(right), *_sums(right - right.mean(), clusters)
    count, share = len(names), float(right.mean())
    if count == clips:
        return float(clips)
    variance = 0.0 if count < 2 else float((sums**2).sum() / clips**2 * count / (count - 1))
    alone = share * (1 - share)
    return float(np.clip(alone / variance, 1, clips)) if variance > 0 and alone > 0 else float(count)


def cluster_bootstrap(right: NDArray[np.float64], clusters: Sequence[str], seed: int = 0) -> Interval:
    """The 95 % interval of a share right when whole clusters are drawn anew, with replacement, a thousand times.

    The percentile interval of the cluster bootstrap (Field & Welsh, *Bootstrapping clustered data*, JRSS B 2007).

    Args:
        right: float64 [N], as `effective_number` takes it.
        clusters: N names, for example of the videos that clips were cut from.
        seed: of what is drawn.
    """
    names, sums = _sums(right, clusters)
    _, sizes = _sums(np.ones_like(right), clusters)
    draw = np.random.default_rng(seed)
    shares = np.empty(_DRAWS)
    for number in range(_DRAWS):
        drawn = draw.integers(len(names), size=len(names))
        shares[number] = sums[drawn].sum() / sizes[drawn].sum()
    low, high = np.quantile(shares, (0.025, 0.975))
    return Interval(float(low), float(high))


def _sums(values: NDArray[np.float64], clusters: Sequence[str]) -> tuple[NDArray[np.str_], NDArray[np.float64]]:
    """The names of clusters and the sum of the values in each."""
    names, places = np.unique(np.asarray(clusters, dtype=np.str_), return_inverse=True)
    return names, np.asarray(np.bincount(places, weights=values, minlength=len(names)), dtype=np.float64)


def auroc(higher: NDArray[np.float64], lower: NDArray[np.float64]) -> float:
    """How often one of `higher` is above one of `lower`, ties counting half: 1 tells them apart, 0.5 is chance.

    It is the area under the ROC curve (Hanley & McNeil, Radiology 1982), computed as Mann and Whitney's U.

    Args:
        higher: float64 [N], values that should be higher, at least one.
        lower: float64 [M], values that should be lower, at least one.
    """
    ordered = np.sort(lower)
    below = np.searchsorted(ordered, higher, side="left")
    up_to = np.searchsorted(ordered, higher, side="right")
    return float((below + up_to).sum() / (2 * len(higher) * len(lower)))


@dataclass(frozen=True)
class ClassFigures:
    """How well one action is recognised.

    Attributes:
        answers: how many answers were given to clips of it; each repetition counts.
        given: how often it was the answer.
        right: how often it was the answer to a clip of it.
    """

    answers: int
    given: int
    right: int

    @property
    def recall(self) -> float | None:
        """Of its clips, the share recognised; None where there are none."""
        return self.right / self.answers if self.answers else None

    @property
    def precision(self) -> float | None:
        """Of the answers that name it, the share that are right; None where none does."""
        return self.right / self.given if self.given else None

    @property
    def f1(self) -> float | None:
        """The harmonic mean of both; None where there is neither a clip nor an answer."""
        either = self.answers + self.given
        return 2 * self.right / either if either else None


def per_class(matrix: NDArray[np.int64]) -> tuple[ClassFigures, ...]:
    """The figures of each action, of a confusion matrix, int64 [C, C], with actions as rows and answers as columns."""
    sums = zip(matrix.sum(1).tolist(), matrix.sum(0).tolist(), np.diag(matrix).tolist(), strict=True)
    return tuple(ClassFigures(answers, given, right) for answers, given, right in sums)


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


def confusion(answers: NDArray[np.int64], labels: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """How often each action (row) was taken for each (column): int64 [count, count]."""
    matrix = np.zeros((count, count), dtype=np.int64)
    np.add.at(matrix, (labels, answers), 1)
    return matrix


def _log_softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    shifted = logits - logits.max(1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(1, keepdims=True)), dtype=np.float64)
