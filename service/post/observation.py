"""What a chain of post-processors is shown."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Observation:
    """One step that a model took.

    Attributes:
        time_s: the timestamp of the frame that the step looked at, in seconds; later than that of the step before.
        scores: float64 [C], in the order of the labels, each in [0, 1].
        motion: the step's motion features, float32 [D]; None where the model does not look at motion.
        fresh: whether the step looked at something new. False where a frame or its motion was repeated, because there
            was none since: scores count then, motion does not.
    """

    time_s: float
    scores: NDArray[np.float64]
    motion: NDArray[np.float32] | None = None
    fresh: bool = True
