"""Labelled clips, found in whatever layout they lie."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from model.data import Clip


Watch = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Skipped:
    """A file that is not used, and why, in words."""

    path: Path
    reason: str


@dataclass(frozen=True, slots=True)
class Seen:
    """What a look at a file has shown.

    Attributes:
        content: sha256 of the file, in hexadecimal.
        duration_s: seconds that the container states; None where it states nothing credible.
        width, height: pixels of a frame.
        fps: frames a second.
    """

    content: str
    duration_s: float | None
    width: int
    height: int
    fps: float


@dataclass(frozen=True)
class Found:
    """What was found.

    Attributes:
        root: where.
        layout: how the clips lie, one sentence.
        clips: those that can be used, in the order of their paths or of their list. `source` is empty and `fold` is
            `model.data.NO_FOLD` where nothing states them.
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
    where: Path, clips: Path | None, cache: Path, jobs: int = 2, fps: float = 25.0, watch: Watch = lambda done, of: None
) -> Found:
    """Finds labelled clips in a directory, or those that a list names.

    Args:
        where: a directory, or a CSV or TXT list.
        clips: where a list's paths start; default: beside the list.
        cache: where clips made of frame folders are kept.
        jobs: processes that look at files.
        fps: at which frames in folders were taken.
        watch: told how many files have been looked at, of how many.

    Raises:
        DataError: there is nothing to train on: no clip, or only one class.
    """
    raise NotImplementedError
