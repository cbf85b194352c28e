"""Clips that look nearly the same to an encoder."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

THRESHOLD = 0.9
"""Placeholder until measured."""


def near_duplicates(features: NDArray[np.float32], threshold: float = THRESHOLD) -> tuple[tuple[int, ...], ...]:
    """Groups of clips that must not be split, each of two or more, in order; clips like no other are in none.

    Args:
        features: float32 [clips, D], the mean of each clip's appearance features (view 0).
        threshold: the least cosine similarity of centred features.
    """
    raise NotImplementedError
