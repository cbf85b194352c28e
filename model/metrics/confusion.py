"""What is taken for what, and how well each action is recognised."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


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


def confusion(answers: NDArray[np.int64], labels: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """How often each action (row) was taken for each (column): int64 [count, count]."""
    matrix = np.zeros((count, count), dtype=np.int64)
    np.add.at(matrix, (labels, answers), 1)
    return matrix
