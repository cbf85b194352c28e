"""A head to cross-validate, told from the others by what it reads and how it is trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from pydantic import BaseModel, ConfigDict

from model.net.classifier import HeadName
from model.training.fit import TrainConfig

_CALLED: Mapping[HeadName, str] = {"mean": "mean-pooled", "lstm": "LSTM"}
"""The heads whose names say too little."""


class Variant(BaseModel):
    """One head to cross-validate: which family, over which kinds of evidence, and how hard it is held back.

    Attributes:
        decay: the weight decay, where it is another than the plan's.
        tuned: the kinds of which it reads what tuned encoders see, those of each fold without that fold.
    """

    model_config = ConfigDict(frozen=True)

    head: HeadName
    kinds: tuple[str, ...]
    decay: float | None = None
    tuned: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """For files and tables, for example `lstm-appearance+motion`."""
        decay = "" if self.decay is None else f"-decay-{self.decay:g}"
        tuned = f"-tuned-{'+'.join(self.tuned)}" if self.tuned else ""
        return f"{self.head}-{'+'.join(self.kinds)}{decay}{tuned}"

    def called(self, kinds: Sequence[str]) -> str:
        """For people, where these kinds are all: for example `LSTM, appearance alone, weight decay 10`."""
        head = _CALLED.get(self.head, self.head)
        some = "" if set(self.kinds) == set(kinds) else f", {' and '.join(self.kinds)} alone"
        decay = "" if self.decay is None else f", weight decay {self.decay:g}"
        tuned = f", tuned for {' and '.join(self.tuned)}" if self.tuned else ""
        return f"{head}{some}{decay}{tuned}"

    def training(self, usual: TrainConfig) -> TrainConfig:
        """How it is trained, where others are trained as usual."""
        return usual if self.decay is None else replace(usual, decay=self.decay)


def variants(head: HeadName, kinds: tuple[str, ...], *, baselines: bool) -> tuple[Variant, ...]:
    """The head to keep and what it is compared with: the mean-pooled head over all kinds, and over each kind alone."""
    alone = [Variant(head="mean", kinds=(kind,)) for kind in kinds]
    compared = [Variant(head="mean", kinds=kinds), *alone] if baselines else []
    return tuple(dict.fromkeys((Variant(head=head, kinds=kinds), *compared)))
