"""Labelled clips, found in whatever layout they lie."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from model.data.dataset import Clip, DataError
from model.folder.candidate import Candidate, Listing, Skipped
from model.folder.listed import find_lists, read_file
from model.folder.look import Looker, Seen, Watch
from model.folder.same import Looked, without_copies
from model.folder.tree import read_tree
from model.folder.words import among, count

__all__ = ["Found", "Seen", "Skipped", "Watch", "gather"]

_FRAMES_FPS = 25.0
# What is cut out of a video lasts about as long as was asked for; what lasts longer by this has not been cut.
_UNCUT_S = 2.0
_ADVICE = (
    "Put the clips of each action into a folder that has its name, at least two folders, or write a list with the "
    "columns path and label."
)


@dataclass(frozen=True)
class Found:
    """What was found.

    Attributes:
        root: where.
        layout: how the clips lie, one sentence.
        clips: those that can be used, in the order of their paths or of their list. `source` is empty and `fold` is
            `model.data.dataset.NO_FOLD` where nothing states them.
        names: how whoever made the data calls each clip: its path from the root, without what was made in the cache.
        seen: what a look at each clip's file has shown; as many as there are clips.
        skipped: files that are not used.
        notes: what else is worth saying, in sentences.
    """

    root: Path
    layout: str
    clips: tuple[Clip, ...]
    names: tuple[str, ...]
    seen: tuple[Seen, ...]
    skipped: tuple[Skipped, ...] = ()
    notes: tuple[str, ...] = ()


def gather(
    where: Path,
    clips: Path | None,
    cache: Path,
    jobs: int = 2,
    fps: float = _FRAMES_FPS,
    watch: Watch = lambda done, of: None,
    classes: int = 2,
) -> Found:
    """Finds labelled clips in a directory, or those that a list names.

    Every file is looked at: it has to give a frame. What gives none, what has two labels and what is a copy is left
    out and told.

    Args:
        where: a directory, or a CSV or TXT list.
        clips: where a list's paths start; default: the directory beside the list that has its name, else its own.
        cache: where clips made of frame folders are kept.
        jobs: processes that look at files.
        fps: at which frames in folders were taken.
        watch: told how many files have been looked at, of how many.
        classes: the fewest that are of use: two to train on, one to judge a model on.

    Raises:
        DataError: there is nothing to train on: no clip, or too few classes.
    """
    try:
        listing = _listing(where, clips)
    except OSError as error:
        raise DataError(f"{error.filename or where} cannot be read: {error.strerror}") from error
    if not listing.candidates:
        raise _nothing(where, listing.skipped)
    paths = list(dict.fromkeys(one.path for one in listing.candidates))
    seen = dict(Looker(cache, fps).look_all(paths, jobs, watch))
    looked, unusable = _usable(listing.candidates, seen)
    kept, doubled, notes = without_copies(looked)
    folders = sum(path.is_dir() for path in paths)
    framed = [f"the frames of {count(folders, 'folder')} are taken as {fps:g} a second"] if folders else []
    found = Found(
        where,
        listing.layout,
        tuple(_clip(one, shown) for one, shown in kept),
        tuple(one.name for one, _ in kept),
        tuple(shown for _, shown in kept),
        (*listing.skipped, *unusable, *doubled),
        (*listing.notes, *framed, *notes),
    )
    _check(found, classes)
    return found


def _listing(where: Path, clips: Path | None) -> Listing:
    if where.is_dir():
        return find_lists(where, clips) or read_tree(where)
    if not where.exists():
        raise DataError(f"there is no file or directory {where}", "Name the directory of your clips, or their list.")
    return read_file(where, clips)


def _usable(candidates: Iterable[Candidate], seen: Mapping[Path, Seen | str]) -> tuple[list[Looked], list[Skipped]]:
    looked, skipped = list[Looked](), list[Skipped]()
    for one in candidates:
        shown = seen[one.path]
        if isinstance(shown, str):
            skipped.append(Skipped(one.path, shown))
            continue
        cut = _uncut(one, shown) if one.cut else one
        if shown.duration_s is not None and cut.start_s >= shown.duration_s:
            skipped.append(
                Skipped(one.path, f"the span begins at {cut.start_s:g} s and the file lasts {shown.duration_s:.2f} s")
            )
        else:
            looked.append((cut, shown))
    return looked, list(dict.fromkeys(skipped))


def _uncut(one: Candidate, shown: Seen) -> Candidate:
    """The candidate without its span where the file is no longer than that."""
    length_s = (one.end_s or 0.0) - one.start_s
    whole = shown.duration_s is None or shown.duration_s <= length_s + _UNCUT_S
    return replace(one, start_s=0.0, end_s=None) if whole else one


def _clip(one: Candidate, shown: Seen) -> Clip:
    return Clip(shown.path, one.label, one.source, one.fold, one.start_s, one.end_s, one.split)


def _check(found: Found, classes: int) -> None:
    labels = sorted({clip.label for clip in found.clips})
    if not labels:
        raise _nothing(found.root, found.skipped)
    if len(labels) < classes:
        raise DataError(
            f"{found.root} holds clips of one class, {labels[0]} ({found.layout})",
            "A model learns to tell actions apart: add a second class, for example clips without the action.",
        )


def _nothing(where: Path, skipped: Sequence[Skipped]) -> DataError:
    if not skipped:
        return DataError(f"{where} holds no clip", _ADVICE)
    some = among((f"{one.path.name}: {one.reason}" for one in skipped[:3]), most=3)
    return DataError(
        f"{where} holds no clip that can be used; {count(len(skipped), 'file')} left out, such as {some}", _ADVICE
    )
