"""What a model answered to labelled clips, and what follows from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from model.data.dataset import Clip, Dataset
from model.metrics.auroc import auroc
from model.metrics.calibration import Bin, calibration_error, reliability, softmax
from model.metrics.confusion import ClassFigures, confusion, per_class
from model.metrics.interval import Interval, cluster_bootstrap, effective_number, wilson


@dataclass(frozen=True)
class Mistake:
    """A clip that was taken for what it is not.

    Attributes:
        clip: the clip.
        answer: what it was taken for.
        score: how sure that answer was.
        truth: the score of the right label.
    """

    clip: Clip
    answer: str
    score: float
    truth: float


@dataclass(frozen=True)
class Strangers:
    """What was answered to clips of actions that the model does not know.

    Attributes:
        clips: the clips.
        logits: float64 [N, C].
    """

    clips: tuple[Clip, ...]
    logits: NDArray[np.float64]


@dataclass(frozen=True)
class Judgement:
    """The answers to labelled clips; a clip may have several, of the repetitions of a cross-validation.

    Attributes:
        labels: the actions that the model knows, in the order of their ids.
        clips: the clips, each of one of those actions.
        places: int64 [R], which clip each answer is to; every clip has the same number of answers, at least one.
        logits: float64 [R, C], the mean over a clip's windows, before temperature.
        temperature: what they are divided by.
        strangers: clips of other actions, where there are any.
    """

    labels: tuple[str, ...]
    clips: tuple[Clip, ...]
    places: NDArray[np.int64]
    logits: NDArray[np.float64]
    temperature: float = 1.0
    strangers: Strangers | None = None

    @classmethod
    def of(cls, labels: Sequence[str], dataset: Dataset, logits: NDArray[np.float64], temperature: float) -> Judgement:
        """Of one answer to each clip of a data set, float64 [N, C]; unknown actions are strangers.

        Raises:
            ValueError: all of them are.
        """
        known = np.array([clip.label in labels for clip in dataset.clips])
        if not known.any():
            raise ValueError("no clip shows an action that the model knows")
        clips = tuple(clip for clip, own in zip(dataset.clips, known, strict=True) if own)
        others = tuple(clip for clip, own in zip(dataset.clips, known, strict=True) if not own)
        strangers = Strangers(others, logits[~known]) if others else None
        return cls(tuple(labels), clips, np.arange(len(clips)), logits[known], temperature, strangers)

    @cached_property
    def truth(self) -> NDArray[np.int64]:
        """The label of each answer's clip: int64 [R]."""
        ids = {label: number for number, label in enumerate(self.labels)}
        return np.array([ids[clip.label] for clip in self.clips], dtype=np.int64)[self.places]

    @cached_property
    def scores(self) -> NDArray[np.float64]:
        """Float64 [R, C], each row summing to one."""
        return softmax(self.logits, self.temperature)

    @cached_property
    def answers(self) -> NDArray[np.int64]:
        """The best label of each: int64 [R]."""
        return np.asarray(self.logits.argmax(1), dtype=np.int64)

    @cached_property
    def repetitions(self) -> int:
        """How many answers each clip has."""
        return len(self.places) // len(self.clips)

    @cached_property
    def right(self) -> NDArray[np.float64]:
        """How often the answer to each clip was right, the mean over its answers: float64 [N]."""
        hits = np.bincount(self.places, weights=self.answers == self.truth, minlength=len(self.clips))
        return np.asarray(hits / np.bincount(self.places, minlength=len(self.clips)), dtype=np.float64)

    @property
    def accuracy(self) -> float:
        """The share of answers that are right."""
        return float(self.right.mean())

    @cached_property
    def sources(self) -> tuple[str, ...]:
        """The source of each clip; a clip of which none is known is its own."""
        return tuple(clip.source or f"\0{place}" for place, clip in enumerate(self.clips))

    @property
    def grouped(self) -> bool:
        """Whether several clips come from one source."""
        return len(set(self.sources)) < len(self.clips)

    @cached_property
    def effective(self) -> float:
        """As how many independent clips these count."""
        return effective_number(self.right, self.sources)

    @cached_property
    def interval(self) -> Interval:
        """The 95 % interval of the accuracy: Wilson's, of as many clips as these count for."""
        return wilson(self.accuracy * self.effective, self.effective)

    @cached_property
    def drawn(self) -> Interval:
        """The 95 % interval of the accuracy when sources are drawn anew."""
        return cluster_bootstrap(self.right, self.sources)

    @property
    def majority(self) -> float:
        """What one who always names the commonest action gets right."""
        return float(np.bincount(self.truth).max() / len(self.truth))

    @cached_property
    def matrix(self) -> NDArray[np.int64]:
        """How often each action (row) was taken for each (column), all answers: int64 [C, C]."""
        return confusion(self.answers, self.truth, len(self.labels))

    @cached_property
    def classes(self) -> tuple[ClassFigures, ...]:
        """The figures of each action."""
        return per_class(self.matrix)

    @cached_property
    def bins(self) -> tuple[Bin, ...]:
        """How often answers are right, by score."""
        return reliability(self.logits, self.truth, self.temperature)

    @cached_property
    def raw_bins(self) -> tuple[Bin, ...]:
        """The same with a temperature of 1."""
        return reliability(self.logits, self.truth)

    @property
    def ece(self) -> float:
        """The expected calibration error."""
        return calibration_error(self.bins)

    @property
    def raw_ece(self) -> float:
        """The same with a temperature of 1."""
        return calibration_error(self.raw_bins)

    @cached_property
    def stranger_auroc(self) -> float | None:
        """How often the best score of a known action's clip is above that of a stranger; None without strangers."""
        if self.strangers is None:
            return None
        return auroc(self.scores.max(1), softmax(self.strangers.logits, self.temperature).max(1))

    def mistakes(self, most: int) -> tuple[Mistake, ...]:
        """The clips that were wrong with the highest scores, each once, the surest first."""
        best = self.scores.max(1)
        wrong = np.flatnonzero(self.answers != self.truth)
        found: dict[int, Mistake] = {}
        for row in wrong[np.argsort(-best[wrong], kind="stable")]:
            place = int(self.places[row])
            if len(found) == most:
                break
            if place not in found:
                answer = self.labels[int(self.answers[row])]
                truth = float(self.scores[row, self.truth[row]])
                found[place] = Mistake(self.clips[place], answer, float(best[row]), truth)
        return tuple(found.values())
