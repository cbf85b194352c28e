"""How far a share can be trusted: 95 % intervals, of clips that may come in clusters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

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
