"""What a user asks of a run, before clips say what follows from it."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from model.data.recipe import Recipe
from model.net.classifier import HeadName


class Request(BaseModel):
    """What was asked for: a run is gone on with where the same is asked for.

    Attributes:
        clips: a sha256 over what was found: every clip's name, content, label and all else that is stated of it.
        head: the head asked for; None where one is to be chosen.
        views, seeds: None where they follow from the number of clips.
        folds: the most folds.
        epochs: the most epochs.
        patience: epochs without a better one after which training stops; 0 trains for all.
        minutes: the most that all may take; None for as long as it takes.
        baselines: whether each kind of evidence is cross-validated alone, too.
        int8: whether int8 twins are made.
        finetune: the kinds whose encoders are tuned, and kept where that is better.
    """

    model_config = ConfigDict(frozen=True)

    clips: str
    recipe: Recipe
    head: HeadName | None
    views: int | None
    seeds: int
    folds: int
    epochs: int
    patience: int
    minutes: float | None
    baselines: bool
    int8: bool
    finetune: tuple[str, ...] = ()
