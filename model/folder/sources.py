"""Which clips were cut from one video: told by a column, or learnt from their names."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from model.data.dataset import Clip
from model.folder.names import PATTERNS, Named, Pattern, Told
from model.folder.words import count

Sure = Literal["stated", "likely", "guessed", "none"]

# A pattern has to explain this part of the names, and half of the classes have to fall into several groups.
_EXPLAINED = 0.9
# Where a pattern is only guessed, no group may hold more than this of all clips, or it is no source but a habit.
_LARGEST = 0.5
_FEWEST_GROUPS = 3
# At least this part of the clips shares its source with another, or the pattern tells nothing.
_SHARED = 0.1


@dataclass(frozen=True, slots=True)
class Sources:
    """What each clip was cut from.

    Attributes:
        by: what told it: `column`, the name of a pattern, or `nothing`.
        sure: `stated` by a column; `likely` by a naming convention that is known; `guessed` from numbered names or
            sub-folders; `none`: each clip counts as its own source.
        sentence: the same for people.
        of: the source of each clip, in the order of the clips.
    """

    by: str
    sure: Sure
    sentence: str
    of: tuple[str, ...]


def find_sources(clips: Sequence[Clip], names: Sequence[str]) -> Sources:
    """Finds what each clip was cut from.

    Spans of one file always have one source. Patterns are tried one after the other, known conventions first; one is
    taken when it explains most names and the groups it makes are neither all of one clip nor whole classes.

    Args:
        clips: as `gather` found them.
        names: their names, as `Found.names`; sub-folders below a class's folder may tell sources.
    """
    if any(clip.source for clip in clips):
        return _stated(clips, names)
    # A file is asked for once, however many spans of it there are.
    first: dict[Path, int] = {}
    for place, clip in enumerate(clips):
        first.setdefault(clip.path, place)
    files = [Named(names[place], clips[place].label) for place in first.values()]
    for pattern in PATTERNS:
        told = pattern.of(files)
        if _sensible(pattern, files, told):
            of_file = dict(zip(first, _filled(told, files), strict=True))
            of = tuple(of_file[clip.path] for clip in clips)
            return Sources(pattern.by, pattern.sure, _sentence(pattern, files, told, of), of)
    of_file = {path: names[place] for path, place in first.items()}
    return Sources("nothing", "none", _UNTOLD, tuple(of_file[clip.path] for clip in clips))


_UNTOLD = (
    "Nothing tells which clips were cut from one video, so each file counts as its own source. Where several come from "
    "one recording, accuracy will look better than it is: a list with a column `source` tells, or a folder for each "
    "recording below the class's, or names like `recording_001`."
)


def _stated(clips: Sequence[Clip], names: Sequence[str]) -> Sources:
    of = tuple(clip.source or name for clip, name in zip(clips, names, strict=True))
    silent = sum(not clip.source for clip in clips)
    rest = f" {count(silent, 'clip')} without one count as sources of their own." if silent else ""
    sentence = f"The list states each clip's source: {count(len(set(of)), 'source')} of {count(len(of), 'clip')}.{rest}"
    return Sources("column", "stated", sentence, of)


def _filled(told: Told, files: Sequence[Named]) -> list[str]:
    return [source or file.name for source, file in zip(told, files, strict=True)]


def _sensible(pattern: Pattern, files: Sequence[Named], told: Told) -> bool:
    explained = [source for source in told if source is not None]
    if not files or len(explained) < _EXPLAINED * len(files):
        return False
    sizes = Counter(explained)
    if len(sizes) < 2:
        return False
    if pattern.sure == "likely":
        return True
    shared = sum(size for size in sizes.values() if size > 1)
    return (
        len(sizes) >= _FEWEST_GROUPS
        and shared >= _SHARED * len(files)
        and max(sizes.values()) <= _LARGEST * len(files)
        and _within_classes(files, told)
    )


def _within_classes(files: Sequence[Named], told: Told) -> bool:
    """Whether half of the classes fall into several groups: a group that is a class is only another name of it."""
    groups: defaultdict[str, set[str]] = defaultdict(set)
    for file, source in zip(files, told, strict=True):
        groups[file.label].add(source or file.name)
    return sum(len(one) > 1 for one in groups.values()) >= len(groups) / 2


_SURE: dict[str, str] = {"likely": "Likely right", "guessed": "A guess: look at the example"}


def _sentence(pattern: Pattern, files: Sequence[Named], told: Told, of: Sequence[str]) -> str:
    sizes = Counter(source for source in told if source)
    example = next(
        (f"{file.name} is taken for a part of {source}" for file, source in zip(files, told, strict=True) if source),
        "",
    )
    alone = sum(source is None for source in told)
    rest = f" {count(alone, 'file')} named otherwise count as sources of their own." if alone else ""
    return (
        f"The source of a clip is {pattern.says}: {count(len(sizes), 'source')} of {count(len(of), 'clip')}. "
        f"{_SURE[pattern.sure]}: {example}.{rest}"
    )
