"""Clips that look nearly the same to an encoder, whatever their names say."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

THRESHOLD = 0.8
"""From here on two clips count as cut from one video.

Measured with the shipped appearance encoder, pairs of clips of one source against pairs of two:

| threshold | JHMDB (669 clips): precision | recall | pairs of two sources | Weizmann (90 clips): pairs of two persons |
| --- | --- | --- | --- | --- |
| 0.6 | 0.858 | 0.627 | 152 | 26 |
| 0.7 | 0.981 | 0.529 | 15 | 8 |
| 0.75 | 0.995 | 0.441 | 3 | 2 |
| **0.8** | 0.996 | 0.346 | 2 | 0 |
| 0.85 | 1.000 | 0.268 | 0 | 0 |
| 0.9 | 1.000 | 0.177 | 0 | 0 |

The two pairs of JHMDB's are lessons of one golfer at one tee, which its column takes for three sources. A third of the
pairs of one source look alike; the others show other people, or another camera: near duplicates find what is plainly
the same and are no replacement for sources that are known.
"""

# So many similarities are computed at once; they and nothing else are kept beside the features.
_BLOCK = 2**22


def near_duplicates(features: NDArray[np.float32], threshold: float = THRESHOLD) -> tuple[tuple[int, ...], ...]:
    """Groups of clips that must not be split, each of two or more, in order; clips like no other are in none.

    What is like a third is in its group, so a group may hold two that are not alike. Memory beside the features stays
    below 64 MB, whatever the number of clips; time grows with its square: 20,000 clips of 1,280 features take a minute.

    Args:
        features: float32 [clips, D], the mean of each clip's appearance features (view 0).
        threshold: the least cosine similarity of centred features.
    """
    if len(features) < 2:
        return ()
    mean = features.mean(axis=0)
    step = max(1, min(len(features), _BLOCK // max(len(features), features.shape[1])))
    starts = range(0, len(features), step)
    norms = np.concatenate([_norms(features[start : start + step] - mean) for start in starts])
    group = np.arange(len(features))
    for start in starts:
        rows = features[start : start + step] - mean
        rows /= norms[start : start + step, None]
        # Without a centred copy of them all: (x - m) · (y - m) = (x - m) · y - (x - m) · m.
        alike = rows @ features[start:].T
        alike -= (rows @ mean)[:, None]
        alike /= norms[None, start:]
        for row, near in enumerate(alike >= threshold, start=start):
            _join(group, start + np.flatnonzero(near), row)
    members = (np.flatnonzero(group == one) for one in np.flatnonzero(np.bincount(group) > 1))
    return tuple(tuple(int(place) for place in one) for one in members)


def _norms(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(np.sqrt(np.maximum(np.einsum("ij,ij->i", rows, rows), 1e-12)), dtype=np.float32)


def _join(group: NDArray[np.int64], near: NDArray[np.int64], row: int) -> None:
    """Gives the groups of all that are near a row, and the row's own, the least of their numbers."""
    joined = np.unique(np.append(group[near], group[row]))
    if len(joined) > 1:
        group[np.isin(group, joined)] = joined[0]
