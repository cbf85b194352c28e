"""Lists of clips: CSV, TSV and TXT, with a header or without one."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from model.data.dataset import NO_FOLD, DataError
from model.folder.candidate import Candidate, Listing, Skipped, kind, split_named
from model.folder.place import Places
from model.folder.words import among, count, readable

LISTS = frozenset({"csv", "tsv", "txt", "lst", "list"})
_WORDS = {
    "path": "path file filename file_name filepath file_path video_path video_file clip_path clip video video_name "
    "name",
    "label": "label class action category activity class_name label_name action_label action_class target",
    "start": "start start_s start_time time_start start_sec start_seconds t_start begin",
    "end": "end end_s end_time time_end end_sec end_seconds t_end stop",
    "source": "source source_video group group_id origin session subject person",
    "split": "split set subset partition usage",
    "fold": "fold",
    "id": "youtube_id video_id",
}
_LABEL_FILES = ("classes.txt", "classInd.txt", "labels.txt", "class_names.txt", "label_map.txt")
_CLOCK = re.compile(r"(?:(\d+):)?(\d+):(\d+(?:\.\d*)?)")


@dataclass(frozen=True)
class Row:
    """One line of a list: its number, and what it says by the columns' usual names."""

    line: int
    says: Mapping[str, str]


@dataclass(frozen=True)
class Table:
    """A list as it is written.

    Attributes:
        path: the file.
        columns: what its header names, by their usual names; without a header what its lines have.
        named: whether it has a header.
        rows: the lines.
    """

    path: Path
    columns: tuple[str, ...]
    named: bool
    rows: tuple[Row, ...]

    @classmethod
    def read(cls, path: Path) -> Table:
        """Reads a list.

        Raises:
            DataError: it cannot be read, or is no list of clips.
        """
        try:
            text = path.read_text(encoding="utf-8-sig")
        except OSError as error:
            raise DataError(f"the list {path} cannot be read: {error.strerror}") from error
        except UnicodeDecodeError as error:
            raise DataError(f"the list {path} is not in UTF-8: {error}", "Save it as UTF-8.") from error
        lines = [(number, line) for number, line in enumerate(text.splitlines(), start=1) if line.strip()]
        lines = [(number, line) for number, line in lines if not line.lstrip().startswith("#")]
        if not lines:
            raise DataError(f"{path} lists no clip", "Write a line for each clip: its path and its label.")
        return _with_header(path, text, lines[0][1]) or _without_header(path, lines)


def _with_header(path: Path, text: str, first: str) -> Table | None:
    delimiter = next((one for one in "\t;," if one in first), " ")
    cells = [cell.strip().strip('"').strip().lower().replace(" ", "_") for cell in first.strip().split(delimiter)]
    meant = _meant(cells)
    if not {"path", "id"} & set(meant.values()) or len(cells) == 1:
        return None
    if delimiter == " ":
        return _spaced(path, text, meant, len(cells)) if len(meant) == len(cells) else None
    try:
        reader = csv.reader(io.StringIO(text.lstrip("\n")), delimiter=delimiter)
        rows = []
        for line in reader:
            if reader.line_num > 1 and any(cell.strip() for cell in line):
                says = {meant[place]: cell.strip() for place, cell in enumerate(line) if place in meant}
                rows.append(Row(reader.line_num, says))
    except csv.Error as error:
        raise DataError(f"the list {path} cannot be read: {error}") from error
    return Table(path, tuple(meant.values()), named=True, rows=tuple(rows))


def _spaced(path: Path, text: str, meant: Mapping[int, str], columns: int) -> Table:
    """A list whose columns are parted by spaces; the first column alone may hold spaces too."""
    rows = []
    for number, line in list(enumerate(text.splitlines(), start=1))[1:]:
        if line.strip():
            cells = line.strip().rsplit(None, columns - 1)
            rows.append(Row(number, {meant[place]: cell for place, cell in enumerate(cells)}))
    return Table(path, tuple(meant.values()), named=True, rows=tuple(rows))


def _meant(cells: Sequence[str]) -> dict[int, str]:
    """Which place in a line holds what; of several words for one thing the likeliest."""
    meant: dict[int, str] = {}
    for column, words in _WORDS.items():
        place = next((cells.index(word) for word in words.split() if word in cells), None)
        if place is not None and place not in meant:
            meant[place] = column
    return dict(sorted(meant.items()))


def _without_header(path: Path, lines: Sequence[tuple[int, str]]) -> Table:
    delimiter = next((one for one in "\t;," if all(one in line for _, line in lines)), None)
    rows = []
    for number, line in lines:
        cells = line.strip().rsplit(None, 1) if delimiter is None else next(csv.reader([line], delimiter=delimiter))
        if len(cells) not in {2, 4}:
            raise DataError(
                f"{path}, line {number}: {line[:60]!r} is no path and label",
                "Write a header, `path,label`, or a path, a space and a label in each line.",
            )
        says = dict(zip(("path", "label", "start", "end"), (cell.strip() for cell in cells), strict=False))
        rows.append(Row(number, says))
    columns = ("path", "label", "start", "end")[: len(rows[0].says)]
    return Table(path, columns, named=False, rows=tuple(rows))


def read_list(table: Table, places: Places, split: str = "") -> Listing:
    """The candidates that a list names.

    Args:
        table: the list.
        places: where files may be.
        split: what the whole list is for, where it says nothing itself.

    Raises:
        DataError: it has no labels, or a fold is no number.
    """
    if "label" not in table.columns:
        raise DataError(
            f"{table.path} has the columns {among(table.columns)}, and none for labels",
            f"Name one of them {among(_WORDS['label'].split()[:4])}.",
        )
    names, note = _label_names(table)
    candidates, skipped = list[Candidate](), list[Skipped]()
    for row in table.rows:
        found = _candidate(row, table, places, names, split)
        (candidates if isinstance(found, Candidate) else skipped).append(found)  # type: ignore[arg-type]
    shown = f"with the columns {among(table.columns)}" if table.named else "with a path and a label in each line"
    labels = len({one.label for one in candidates})
    layout = f"the list {table.path}, {shown}: {count(labels, 'class')}"
    return Listing(layout, tuple(candidates), tuple(skipped), tuple(note))


def _candidate(row: Row, table: Table, places: Places, names: Mapping[str, str], split: str) -> Candidate | Skipped:
    says = row.says
    label = names.get(says.get("label", ""), says.get("label", ""))
    written = says.get("path", "") or says.get("id", "")
    where = f"line {row.line} of {table.path.name}"
    if not label:
        return Skipped(Path(written), f"{where}: it has no label")
    path = places.find(written, label)
    if path is None:
        return Skipped(Path(written), f"{where}: there is no such file, or several of that name")
    try:
        start_s, end_s = _seconds(says.get("start", "")) or 0.0, _seconds(says.get("end", ""))
    except ValueError as error:
        return Skipped(path, f"{where}: {error}")
    if end_s is not None and end_s <= start_s:
        return Skipped(path, f"{where}: the span ends at {end_s:g} s and begins at {start_s:g} s")
    return Candidate(
        path,
        readable(written),
        label,
        says.get("source", "") or says.get("id", ""),
        _fold(says["fold"], table.path, row.line) if "fold" in says else NO_FOLD,
        start_s,
        end_s,
        split_named(says.get("split", "")) or split,
    )


def _fold(written: str, path: Path, line: int) -> int:
    try:
        return int(written)
    except ValueError as error:
        raise DataError(f"{path}, line {line}: the fold is {written!r}, not a number") from error


def _seconds(written: str) -> float | None:
    """Seconds, from `12.5`, `0:12.5` or `1:00:12`.

    Raises:
        ValueError: it is neither.
    """
    if not written:
        return None
    clock = _CLOCK.fullmatch(written)
    if clock:
        hours, minutes, seconds = clock.groups(default="0")
        return 3600 * int(hours) + 60 * int(minutes) + float(seconds)
    try:
        seconds_s = float(written)
    except ValueError:
        seconds_s = math.nan
    if not math.isfinite(seconds_s) or seconds_s < 0:
        raise ValueError(f"{written!r} is no time in seconds")
    return seconds_s


def _label_names(table: Table) -> tuple[Mapping[str, str], list[str]]:
    """The names of labels that are numbers, from a file beside the list."""
    labels = {row.says.get("label", "") for row in table.rows} - {""}
    if not labels or not all(label.isdecimal() for label in labels):
        return {}, []
    for name in _LABEL_FILES:
        file = table.path.parent / name
        if file.is_file() and file != table.path:
            names = dict(_named(file, {int(label) for label in labels}))
            if labels <= names.keys():
                return names, [f"the labels' names are those in {file}"]
    return {}, [f"the labels are numbers; {_LABEL_FILES[0]} beside the list, a name in each line, would name them"]


def _named(file: Path, labels: set[int]) -> Iterator[tuple[str, str]]:
    lines = [line.strip() for line in file.read_text(encoding="utf-8-sig", errors="replace").splitlines()]
    lines = [line for line in lines if line]
    numbered = [re.fullmatch(r"(\d+)[\s,:]+(.+)", line) for line in lines]
    if lines and all(numbered):
        for match in numbered:
            if match:
                yield match[1], match[2]
        return
    first = 1 if 0 not in labels and len(lines) in labels else 0
    for number, line in enumerate(lines, start=first):
        yield str(number), line


def may_be_list(path: Path) -> bool:
    """Whether a file's name says that it may be a list."""
    return kind(path) in LISTS and path.name not in _LABEL_FILES
