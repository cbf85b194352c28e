"""Labelled clips: a CSV that names each clip, its action, the video that it was cut from, and its fold."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Self

from service.errors import KinemaError


class DataError(KinemaError):
    """A data set that cannot be used as it is."""


NO_FOLD = -1
"""The fold of a clip that belongs to none."""


@dataclass(frozen=True)
class Clip:
    """One labelled clip.

    Attributes:
        path: the file.
        label: the action shown in it.
        source: the video that it was cut from.
        fold: the part of the data that it belongs to in cross-validation.
        start_s, end_s: the labelled span of the file, [start_s, end_s) in seconds; `end_s` None means to the end.
        split: what whoever made the data keeps it for: `train`, `val`, `test`, or nothing.
    """

    path: Path
    label: str
    source: str
    fold: int
    start_s: float = 0.0
    end_s: float | None = None
    split: str = ""

    @property
    def span(self) -> str:
        """The labelled span in words that tell it from others; nothing for the whole file."""
        if not self.start_s and self.end_s is None:
            return ""
        return f"{self.start_s}-{'' if self.end_s is None else self.end_s}"


@dataclass(frozen=True)
class Dataset:
    """Labelled clips, in the order of their CSV."""

    clips: tuple[Clip, ...]

    @cached_property
    def labels(self) -> tuple[str, ...]:
        """The actions, in alphabetical order: an action's place is its id."""
        return tuple(sorted({clip.label for clip in self.clips}))

    @cached_property
    def folds(self) -> tuple[int, ...]:
        """The folds' numbers, in order."""
        return tuple(sorted({clip.fold for clip in self.clips}))

    @cached_property
    def digest(self) -> str:
        """A sha256 over what is written of the clips, to tell one data set from another."""
        lines = "\n".join(_written(clip) for clip in self.clips)
        return hashlib.sha256(lines.encode(errors="surrogateescape")).hexdigest()

    @classmethod
    def read(cls, path: Path, clips: Path | None = None, *, folds: bool = True) -> Self:
        """Reads a CSV with the columns `path`, `label` and, for training, `source` and `fold`.

        Args:
            path: the CSV.
            clips: the directory that its paths start from; by default the directory beside the CSV that has its name
                (`jhmdb/` for `jhmdb.csv`), or else the CSV's own.
            folds: whether sources and folds are needed.

        Raises:
            DataError: the CSV cannot be read, lacks a column or holds no clip, a clip is missing, or, where folds are
                needed, a fold is no number, a source lies in two folds, or there is only one label or fold.
        """
        columns = ("path", "label", "source", "fold") if folds else ("path", "label")
        rows = _rows(path, columns)
        named = path.with_suffix("")
        root = clips or (named if named.is_dir() else path.parent)
        dataset = cls(tuple(_clip(row, line, root, path, folds=folds) for line, row in enumerate(rows, start=2)))
        if folds:
            _check_folds(dataset, path)
        return dataset


def _written(clip: Clip) -> str:
    # What is not there is not written, so that data sets without it keep the digests they had.
    more = (f",{clip.span}" if clip.span else "") + (f",{clip.split}" if clip.split else "")
    return f"{clip.path.name},{clip.label},{clip.source},{clip.fold}{more}"


def _rows(path: Path, columns: Iterable[str]) -> list[dict[str, str]]:
    try:
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            named = reader.fieldnames or ()
            rows = list(reader)
    except OSError as error:
        raise DataError(f"the data set {path} cannot be read: {error.strerror}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"the data set {path} is no CSV in UTF-8: {error}") from error
    missing = [column for column in columns if column not in named]
    if missing:
        raise DataError(
            f"{path} lacks the column{'s' if len(missing) > 1 else ''} {', '.join(missing)}",
            f"Its first line has to name {', '.join(columns)}.",
        )
    if not rows:
        raise DataError(f"{path} lists no clip", "Write a line for each clip below the first.")
    return rows


def _clip(row: Mapping[str, str | None], line: int, root: Path, table: Path, *, folds: bool) -> Clip:
    label, fold = row["label"], row["fold"] if folds else "0"
    clip = root / (row["path"] or "")
    if not clip.is_file():
        raise DataError(f"{table}, line {line}: there is no file {clip}", "`--clips DIR` says where its paths start.")
    if not label:
        raise DataError(f"{table}, line {line}: the label is empty")
    try:
        return Clip(clip, label, row.get("source") or "", int(fold or ""))
    except ValueError as error:
        raise DataError(f"{table}, line {line}: the fold is {fold!r}, not a number") from error


def _check_folds(dataset: Dataset, path: Path) -> None:
    if len(dataset.labels) < 2 or len(dataset.folds) < 2:
        raise DataError(
            f"{path} has {len(dataset.labels)} label(s) and {len(dataset.folds)} fold(s)",
            "Cross-validation needs at least two of each.",
        )
    fold_of: dict[str, int] = {}
    for clip in dataset.clips:
        if fold_of.setdefault(clip.source, clip.fold) != clip.fold:
            raise DataError(
                f"{path}: the source {clip.source} lies in the folds {fold_of[clip.source]} and {clip.fold}",
                "Clips of one source look alike: keep them in one fold, or the accuracy means nothing.",
            )
