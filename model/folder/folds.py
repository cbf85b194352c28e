"""Folds that no source and no group of near duplicates lies across."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from model.data.dataset import NO_FOLD, Clip, DataError
from model.folder.group import Groups
from model.folder.sources import Sources
from model.folder.words import among, count

# With one fold to test and one to watch, a third is needed to train on.
_FEWEST = 3


@dataclass(frozen=True)
class Folds:
    """Clips, ready for cross-validation.

    Attributes:
        clips: in the order given, `source` and `fold` filled in. Those that the user's own split keeps for testing have
            the fold `model.data.dataset.NO_FOLD`: they are never trained on, and the accuracy is measured on them.
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


def split(clips: Sequence[Clip], sources: Sources, duplicates: Sequence[Sequence[int]] = (), folds: int = 5) -> Folds:
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
    groups = _groups(sources, duplicates)
    if _swallows(groups, sources):
        apart = split(clips, sources, (), folds)
        return replace(apart, warnings=(*apart.warnings, _ALL_ALIKE))
    if len({clip.fold for clip in clips} - {NO_FOLD}) > 1:
        return _as_stated(clips, sources, groups)
    kept_out = _kept_out(clips)
    inside = [place for place, clip in enumerate(clips) if clip.split not in kept_out]
    labels = [clips[place].label for place in inside]
    mine = [groups.of(place) for place in inside]
    if len(set(mine)) < 2:
        raise DataError(
            f"all {count(len(inside), 'clip')} to train on come from one source, {sources.of[inside[0]]}",
            "Clips of one recording look alike: film the actions at least three times, in other places.",
        )
    number = _number(labels, mine, folds)
    fold_of = dict(zip(inside, _spread(labels, mine, number), strict=True))
    done = tuple(
        replace(clip, source=sources.of[place], fold=fold_of.get(place, NO_FOLD)) for place, clip in enumerate(clips)
    )
    warnings = [*_untested(labels, mine), *_leaks(done, groups, kept_out)]
    sentence = _sentence(number, len(set(mine)), bool(duplicates))
    if kept_out:
        names = among(kept_out)
        out = count(len(clips) - len(inside), "clip")
        too = " Those of val are trained on too." if any(clips[place].split == "val" for place in inside) else ""
        sentence = f"Your own split is kept: the {out} of {names} are never trained on.{too} Of the others, {sentence}"
    return Folds(done, number, "split" if kept_out else "made", sentence[0].upper() + sentence[1:], tuple(warnings))


# One camera in one room makes all clips look alike, and then what is alike tells nothing of what was cut from what.
_ALL_ALIKE = (
    "More than half of the clips look nearly the same, as from one camera in one place, so sources alone are kept "
    "apart. The accuracy tells how well the actions are told apart there, and nothing about other places."
)


def _swallows(groups: Groups, sources: Sources) -> bool:
    """Whether near duplicates make one group of more than half of all clips, and sources alone do not."""
    half = len(sources.of) / 2
    return max(map(len, groups.all()), default=0) > half >= max(Counter(sources.of).values(), default=0)


def _groups(sources: Sources, duplicates: Sequence[Sequence[int]]) -> Groups:
    groups = Groups(len(sources.of))
    groups.join_equal(sources.of)
    for group in duplicates:
        for place in group:
            groups.join(group[0], place)
    return groups


def _kept_out(clips: Sequence[Clip]) -> tuple[str, ...]:
    """The part of the user's own split that is kept out; nothing where there is no split, or only one part."""
    parts = {clip.split for clip in clips}
    return next(((part,) for part in ("test", "val") if part in parts and len(parts) > 1), ())


def _number(labels: Sequence[str], groups: Sequence[int], most: int) -> int:
    """As many folds as the class with the fewest groups has, so that each fold may have some of each."""
    fewest = min((count for count in _groups_of(labels, groups).values() if count > 1), default=2)
    return max(2, min(most, len(set(groups)), max(_FEWEST, fewest)))


def _groups_of(labels: Sequence[str], groups: Sequence[int]) -> dict[str, int]:
    found: defaultdict[str, set[int]] = defaultdict(set)
    for label, group in zip(labels, groups, strict=True):
        found[label].add(group)
    return {label: len(one) for label, one in sorted(found.items())}


def _spread(labels: Sequence[str], groups: Sequence[int], folds: int) -> list[int]:
    """The fold of each clip: group after group, the largest first, goes where its classes are rarest."""
    places = {label: place for place, label in enumerate(sorted(set(labels)))}
    kinds = np.array([places[label] for label in labels])
    members: defaultdict[int, list[int]] = defaultdict(list)
    for clip, group in enumerate(groups):
        members[group].append(clip)
    weights = 1.0 / np.bincount(kinds, minlength=len(places)) ** 2
    held, sizes = np.zeros((folds, len(places))), np.zeros(folds)
    fold_of: dict[int, int] = {}
    for group in sorted(members, key=lambda group: (-len(members[group]), group)):
        mine, counts = np.unique(kinds[members[group]], return_counts=True)
        # What the squares of the classes' shares grow by; of folds that are as good, the one with the fewest clips.
        growth = held[:, mine] @ (weights[mine] * counts)
        fold = int(np.lexsort((sizes, growth.round(12)))[0])
        held[fold, mine] += counts
        sizes[fold] += len(members[group])
        fold_of[group] = fold
    return [fold_of[group] for group in groups]


def _as_stated(clips: Sequence[Clip], sources: Sources, groups: Groups) -> Folds:
    done = tuple(replace(clip, source=sources.of[place]) for place, clip in enumerate(clips))
    folds = {clip.fold for clip in done} - {NO_FOLD}
    seen: defaultdict[int, set[int]] = defaultdict(set)
    for place, clip in enumerate(done):
        seen[groups.of(place)].add(clip.fold)
    across = sum(len(seen[groups.of(place)] - {NO_FOLD}) > 1 for place in range(len(done)))
    warnings = (
        f"{count(across, 'clip')} of {len(done):,} share a source, or look nearly the same, with clips of another "
        "fold: accuracy will look better than it is. Without the column `fold`, folds are made that split none."
    )
    sentence = f"The list's column tells the folds: {len(folds)}."
    return Folds(done, len(folds), "column", sentence, (warnings,) if across else ())


def _sentence(number: int, groups: int, near: bool) -> str:
    alike = " and no group of near duplicates" if near else ""
    return f"{count(groups, 'group')} of clips make {number} folds; no source{alike} is in two of them."


def _untested(labels: Sequence[str], groups: Sequence[int]) -> list[str]:
    alone = [label for label, number in _groups_of(labels, groups).items() if number == 1]
    if not alone:
        return []
    verb = "has" if len(alone) == 1 else "have"
    return [
        f"{among(alone)} {verb} clips of one source alone: when they are tested, nothing like them was trained on, so "
        "they count as wrong. Add clips from another recording."
    ]


def _leaks(clips: Sequence[Clip], groups: Groups, kept_out: Sequence[str]) -> list[str]:
    if not kept_out:
        return []
    trained = {groups.of(place) for place, clip in enumerate(clips) if clip.split not in kept_out}
    tested = [place for place, clip in enumerate(clips) if clip.split in kept_out]
    leaking = sum(groups.of(place) in trained for place in tested)
    known = {clip.label for clip in clips if clip.fold != NO_FOLD}
    strange = sorted({clips[place].label for place in tested} - known)
    unseen = [f"Your split tests {among(strange)} and has no clip of it to train on."] if strange else []
    if not leaking:
        return unseen
    return [
        *unseen,
        f"Your split leaks: {leaking:,} of the {count(len(tested), 'clip')} of {among(kept_out)} share a source, or "
        "look nearly the same, with clips to train on. The accuracy on them is better than it will be on new footage.",
    ]
