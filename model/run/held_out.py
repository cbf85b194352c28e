"""How good a model is on clips that the user's own split keeps out of training."""

from __future__ import annotations

from pydantic import BaseModel

from model.metrics.interval import wilson


class HeldOut(BaseModel):
    """What was answered to clips that the user's own split keeps out.

    Attributes:
        logits: of each clip, by the head that is kept.
        right, mean_right: how many it, and the mean-pooled head, got right.
    """

    logits: tuple[tuple[float, ...], ...]
    right: int
    mean_right: int

    @property
    def clips(self) -> int:
        """How many there are."""
        return len(self.logits)

    @property
    def sentence(self) -> str:
        """How good that is, for people."""
        interval = wilson(self.right, self.clips)
        return (
            f"Of the {self.clips:,} clips that your split keeps out, {100 * self.right / self.clips:.1f} % are right "
            f"(95 % interval {100 * interval.low:.1f} to {100 * interval.high:.1f}); the mean-pooled head "
            f"{100 * self.mean_right / self.clips:.1f} %."
        )
