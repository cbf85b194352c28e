"""Clips in folders named by their class."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from model.folder.candidate import PICTURES, SIDECARS, VIDEOS, Candidate, Listing, Skipped, hidden, kind, split_named
from model.folder.words import among, count, natural, readable


@dataclass(frozen=True)
class _Branch:
    """What lies below a folder.

    Attributes:
        folder: where.
        clips: paths of videos, of files that may be videos, and of folders of frames, in order of their names.
        pictures: how many pictures lie in the folder itself.
        frames: how many of the clips are folders of frames.
    """

    folder: Path
    clips: tuple[Path, ...]
    pictures: int
    frames: int


def read_tree(root: Path, where: Path | None = None) -> Listing:
    """Reads `root/<class>/*`, `root/<split>/<class>/*`, and the same with folders of frames.

    Args:
        root: the directory.
        where: the directory that names start from; default: the same.
    """
    where = where or root
    branches = [branch for branch in map(_branch, _folders(root)) if branch.clips or branch.pictures]
    splits = [branch for branch in branches if split_named(branch.folder.name)]
    if branches and len(splits) == len(branches):
        return _splits(root, where, splits)
    lone = branches[0].folder if len(branches) == 1 else None
    if lone is not None and sum(bool(_branch(folder).clips) for folder in _folders(lone)) > 1:
        return read_tree(lone, where)
    return _classes(root, where, branches)


def _splits(root: Path, where: Path, splits: Iterable[_Branch]) -> Listing:
    names, candidates, skipped, notes = list[str](), list[Candidate](), list[Skipped](), list[str]()
    frames = 0
    for part in splits:
        branches = [_branch(folder) for folder in _folders(part.folder)]
        inner = _classes(part.folder, where, branches)
        split = split_named(part.folder.name)
        names.append(part.folder.name)
        candidates += [replace(one, split=split) for one in inner.candidates]
        skipped += inner.skipped
        notes += inner.notes
        frames += part.frames
    classes = len({one.label for one in candidates})
    sentence = f"the folders {among(names)} of {root}, in each a folder for each class: {count(classes, 'class')}"
    return Listing(sentence + _of_frames(frames, len(candidates)), tuple(candidates), tuple(skipped), tuple(notes))


def _classes(root: Path, where: Path, branches: Iterable[_Branch]) -> Listing:
    branches = list(branches)
    candidates, notes = list[Candidate](), list[str]()
    skipped = [Skipped(file, "it lies in no class's folder") for file in _files(root) if _may_be_clip(file)]
    for branch in branches:
        label = readable(branch.folder.name)
        if branch.pictures and not branch.clips:
            reason = f"holds {count(branch.pictures, 'picture')} and no clip: put the frames of each clip into a folder"
            skipped.append(Skipped(branch.folder, reason))
        elif not branch.clips:
            notes.append(f"the folder {branch.folder} holds no clip")
        candidates += [Candidate(clip, readable(clip.relative_to(where).as_posix()), label) for clip in branch.clips]
    classes = len({one.label for one in candidates})
    sentence = f"a folder for each class in {root}: {count(classes, 'class')}"
    frames = sum(branch.frames for branch in branches)
    return Listing(sentence + _of_frames(frames, len(candidates)), tuple(candidates), tuple(skipped), tuple(notes))


def _of_frames(frames: int, clips: int) -> str:
    if not frames:
        return ""
    return f"; {'each clip is' if frames == clips else f'{frames} of the clips are'} a folder of frames"


def _branch(folder: Path) -> _Branch:
    clips, frames = list[Path](), 0
    for path, files in _walk(folder):
        candidates = [file for file in files if _may_be_clip(file)]
        pictures = [file for file in files if kind(file) in PICTURES]
        if candidates:  # pictures beside videos are thumbnails
            clips += candidates
        elif len(pictures) > 1 and path != folder:
            clips.append(path)
            frames += 1
    own = sum(kind(file) in PICTURES for file in _files(folder))
    return _Branch(folder, tuple(clips), own, frames)


def _walk(folder: Path) -> Iterator[tuple[Path, list[Path]]]:
    been = set[tuple[int, int]]()
    for path, folders, files in os.walk(folder, followlinks=True):
        place = Path(path).stat()
        if (place.st_dev, place.st_ino) in been:  # links that lead in a circle
            folders.clear()
            continue
        been.add((place.st_dev, place.st_ino))
        folders[:] = sorted((name for name in folders if not hidden(name)), key=natural)
        yield Path(path), [Path(path, name) for name in sorted(files, key=natural) if not hidden(name)]


def _may_be_clip(file: Path) -> bool:
    return kind(file) in VIDEOS or kind(file) not in PICTURES | SIDECARS


def _folders(root: Path) -> list[Path]:
    return sorted(
        (path for path in root.iterdir() if path.is_dir() and not hidden(path.name)),
        key=lambda path: natural(path.name),
    )


def _files(root: Path) -> list[Path]:
    return sorted(
        (path for path in root.iterdir() if path.is_file() and not hidden(path.name)),
        key=lambda path: natural(path.name),
    )
