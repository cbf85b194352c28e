"""What is known of the head that is kept."""

from __future__ import annotations

from typing import Self

from pydantic import BaseModel

from model.metrics.calibration import Calibration
from model.net.classifier import ClassifierConfig
from model.training.fit import Epoch
from service.inference.card import Abstention


class Final(BaseModel):
    """The head that is kept, trained on all folds.

    Attributes:
        config: its network.
        epochs: how many it was trained for: the mean of what the trials chose.
        uncalibrated, calibrated: before and after a temperature was fitted, on the logits that the trials gave to the
            clips that they tested.
        abstention: how the head says that it does not know a clip.
    """

    config: ClassifierConfig
    epochs: int
    uncalibrated: Calibration
    calibrated: Calibration
    trained: tuple[Epoch, ...]
    abstention: Abstention | None = None

    def knowing(self, **measured: object) -> Self:
        """The same with more known of its abstention, which it has."""
        assert self.abstention is not None
        return self.model_copy(update={"abstention": self.abstention.model_copy(update=measured)})
