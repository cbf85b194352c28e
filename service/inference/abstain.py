"""Whether a clip is like nothing that the model was trained on."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from service.inference.card import Abstention

ABSTAINED = "this clip is like nothing that the model was trained on: do not rely on the predictions"


def familiarity(windows: NDArray[np.float32]) -> float:
    """How familiar a clip is: the mean over its windows, float32 [W, 1].

    One window that is strange by chance does not condemn a long clip, and one that is familiar does not acquit it.
    """
    return float(windows.astype(np.float64).mean())


def strange(outputs: Mapping[str, NDArray[np.float32]], abstention: Abstention) -> bool:
    """Whether a clip scores below the threshold; a score that is no number does, too.

    Args:
        outputs: what the recurrent head gave beside logits, by name, a row for each window.
        abstention: what the card says of the score.
    """
    return not familiarity(outputs[abstention.output]) >= abstention.threshold
