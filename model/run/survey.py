"""What is found out of clips before anything is trained: which can be used, their sources, folds, how often to look."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import zip_longest
from pathlib import Path

import numpy as np
from pydantic import BaseModel

from model.data.dataset import NO_FOLD, Clip, DataError, Dataset
from model.data.features import ClipFeatures
from model.data.recipe import Recipe
from model.folder.advice import advise
from model.folder.folds import split
from model.folder.gather import Found
from model.folder.near import near_duplicates
from model.folder.sources import Sources
from model.folder.words import count, readable
from model.run.clock import Clock

# Beyond so many clips' views there is no gain that the shipped model's data could show.
_ENOUGH_LOOKS = 600
_FEWEST_VIEWS, _MOST_VIEWS = 3, 9
# Of the time that there is, so much may go into looking once, and into looking again.
LOOKING_ONCE, LOOKING = 0.45, 0.6


class Survey(BaseModel):
    """What was found out of the clips before anything was trained.

    Attributes:
        layout, sources, folds: sentences: how the clips lie, how sources were told, how folds were made.
        advice: sentences: what would help, what is doubtful.
        skipped: files that are not used, and why.
        clips: those that are, each with source and fold; those kept out by the user's own split have the fold -1.
        views: how many of each are looked at.
    """

    layout: str
    sources: str
    folds: str
    advice: tuple[str, ...]
    skipped: tuple[tuple[Path, str], ...]
    clips: tuple[Clip, ...]
    views: int

    @property
    def inside(self) -> Dataset:
        """The clips that are trained on."""
        return Dataset(tuple(clip for clip in self.clips if clip.fold != NO_FOLD))

    @property
    def outside(self) -> Dataset:
        """The clips that are kept out."""
        return Dataset(tuple(clip for clip in self.clips if clip.fold == NO_FOLD))


def digest(found: Found) -> str:
    """A sha256 over all that was found: another clip, label or span makes it another."""
    lines = (
        f"{name},{seen.content},{clip.label},{clip.source},{clip.fold},{clip.span},{clip.split}"
        for name, clip, seen in zip(found.names, found.clips, found.seen, strict=True)
    )
    return hashlib.sha256("\n".join(lines).encode(errors="surrogateescape")).hexdigest()


def evenly(clips: Sequence[Clip]) -> list[Clip]:
    """The clips in an order of which every beginning has as many of one class as of another."""
    by_label: defaultdict[str, list[Clip]] = defaultdict(list)
    for clip in clips:
        by_label[clip.label].append(clip)
    rounds = zip_longest(*(_apart(same) for same in by_label.values()))
    return [clip for one in rounds for clip in one if clip is not None]


def _apart(clips: Sequence[Clip]) -> list[Clip]:
    """Neighbours often come from one source, so those far from each other go first."""
    stride = max(1, round(len(clips) ** 0.5))
    return [clip for first in range(stride) for clip in clips[first::stride]]


def while_time(clips: Iterable[Clip], clock: Clock, fewest: int) -> Iterator[Clip]:
    """The clips until the time for looking at them is used up, but at least so many."""
    for place, clip in enumerate(clips):
        if place >= fewest and clock.left_s(LOOKING_ONCE) < 0:
            return
        yield clip


def views(asked: int | None, clips: int, clock: Clock, once_s: float) -> int:
    """How many views of each clip are looked at.

    Args:
        asked: what was asked for, which is kept to where there is time.
        clips: how many there are: the fewer, the more views.
        clock: what may be used up.
        once_s: what one view of all clips took, in seconds.
    """
    wanted = asked or min(_MOST_VIEWS, max(_FEWEST_VIEWS, -(-_ENOUGH_LOOKS // clips)))
    left_s = clock.left_s(LOOKING)
    if left_s == float("inf"):
        return wanted
    return max(1, min(wanted, 1 + int(max(0.0, left_s) / max(once_s, 1e-3))))


def survey(
    found: Found,
    sources: Sources,
    recipe: Recipe,
    looked: Mapping[Clip, Sequence[Path]],
    broken: Mapping[Clip, DataError],
    most_folds: int,
) -> Survey:
    """What came of looking at every clip once.

    Args:
        found: the clips.
        sources: what each was cut from.
        recipe: what the model looks at.
        looked: where the features of those that were looked at are kept, view 0 first.
        broken: those that could not be.
        most_folds: the most folds.

    Raises:
        DataError: what is left cannot be learned from: one class, one source, no clip of a class.
    """
    places = [place for place, clip in enumerate(found.clips) if clip in looked]
    clips = tuple(found.clips[place] for place in places)
    of = Sources(sources.by, sources.sure, sources.sentence, tuple(sources.of[place] for place in places))
    groups = near_duplicates(np.stack([_mean(recipe, looked[clip][0]) for clip in clips])) if clips else ()
    folds = split(clips, of, groups, most_folds)
    inside = {clip.label for clip in folds.clips if clip.fold >= 0}
    lost = sorted({clip.label for clip in found.clips} - inside)
    if lost:
        raise DataError(f"no clip of {', '.join(lost)} can be trained on", "Add clips of it, or take its folder away.")
    if folds.count < 2:
        raise DataError(
            "all clips come from one source, so that nothing can be held out",
            "Film every action at least three times, in different places or with different people.",
        )
    alike = f" {count(len(groups), 'group')} of near duplicates stay together." if groups else ""
    unseen = len(found.clips) - len(clips) - len(broken)
    short = (
        (f"There was time for {len(clips)} of {len(found.clips)} clips; with more minutes, more.",) if unseen else ()
    )
    return Survey(
        layout=readable(f"Found {found.layout}."),
        sources=readable(sources.sentence),
        folds=readable(folds.sentence + alike),
        advice=tuple(readable(one) for one in (*short, *folds.warnings, *advise(found, sources, recipe.plan.window_s))),
        skipped=(
            *((one.path, one.reason) for one in found.skipped),
            *((clip.path, error.detail) for clip, error in broken.items()),
        ),
        clips=folds.clips,
        views=1,
    )


def _mean(recipe: Recipe, file: Path) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    """What a clip looks like on average: of frames, where the recipe has any."""
    frames = [kind.name for kind in recipe.evidence if kind.picture == "rgb"] or [recipe.evidence[0].name]
    seen = ClipFeatures.load(file).kinds[frames[0]]
    return np.asarray(seen.features.astype(np.float32).mean(0), dtype=np.float32)
