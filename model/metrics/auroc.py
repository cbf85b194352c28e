"""How well two kinds of values are told apart."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


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
