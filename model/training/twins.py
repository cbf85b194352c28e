"""What the encoders' int8 twins cost in accuracy."""

from __future__ import annotations

from pydantic import BaseModel


class Comparison(BaseModel):
    """One fold of one repetition, tested on features of the encoders and on those of their int8 twins.

    Attributes:
        clips: how many were tested.
        right, right_int8: how many of them were recognised.
        changed: to how many the twins made the answer another.
        highest_int8: the highest logit of each clip tested, in order of the data set.
    """

    seed: int
    fold: int
    clips: int
    right: int
    right_int8: int
    changed: int
    highest_int8: tuple[float, ...] = ()


class Twins(BaseModel):
    """What int8 costs: the same heads on both features, every fold of every repetition.

    Attributes:
        calibrated: on what the twins were.
    """

    comparisons: tuple[Comparison, ...]
    calibrated: str = "twins calibrated without the fold tested"

    @property
    def accuracy(self) -> float:
        """With the encoders as they are."""
        return sum(one.right for one in self.comparisons) / self._tests

    @property
    def accuracy_int8(self) -> float:
        """With their twins."""
        return sum(one.right_int8 for one in self.comparisons) / self._tests

    @property
    def seeds(self) -> int:
        """How many repetitions were measured."""
        return len({one.seed for one in self.comparisons})

    @property
    def fall(self) -> float:
        """How many points of accuracy the twins lose, negative where they gain."""
        return 100 * (self.accuracy - self.accuracy_int8)

    @property
    def changed(self) -> float:
        """The share of answers that the twins make another."""
        return sum(one.changed for one in self.comparisons) / self._tests

    @property
    def _tests(self) -> int:
        return sum(one.clips for one in self.comparisons)
