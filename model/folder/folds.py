"""Folds that no source and no group of near duplicates lies across."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from model.data import Clip
from model.folder.sources import Sources


@dataclass(frozen=True)
class Folds:
    """Clips, ready for cross-validation.

    Attributes:
        clips: in the order given, `source` and `fold` filled in. Those that the user's own split keeps for testing have
            the fold `model.data.NO_FOLD`: they are never trained on, and the accuracy is measured on them.
        count: how many folds there are.
        by: `column`: as the user's column says; `split`: made within the user's own training clips; `made`: made here.
        sentence: how the clips were divided.
        warnings: what makes the accuracy doubtful, in sentences: a source on both sides of a split of the user's, a
            class that cannot be tested.
    """

    clips: tuple[Clip, ...]
    count: int
    by: Literal["column", "split", "made"]
    sentence: str
    warnings: tuple[str, ...] = ()


def split(
    clips: Sequence[Clip], sources: Sources, duplicates: Sequence[Sequence[int]] = (), folds: int = 5
) -> Folds:
    """Divides clips into folds: always in the same way, classes as even as possible.

    With a `fold` column the folds are as it says. With a split of the user's own, its test clips (or its validation
    clips where it has no test clips) are kept out, and folds are made of the others.

    Args:
        clips: as `gather` found them.
        sources: what each was cut from.
        duplicates: groups of places in `clips` that must stay together, as `near_duplicates` gives them.
        folds: the most folds; fewer are made where a class has few sources.

    Raises:
        DataError: all clips are of one group, so that nothing can be held out.
    """
    raise NotImplementedError
