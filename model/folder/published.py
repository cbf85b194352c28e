"""The lists that come with the data sets everybody knows: Kinetics, HMDB51 and UCF101."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from model.data.dataset import DataError
from model.folder.candidate import Candidate, Listing, Skipped, split_named
from model.folder.place import Places
from model.folder.table import Row, Table
from model.folder.words import among, count

_HMDB = re.compile(r"(?P<label>.+)_test_split(?P<number>\d+)")
_HMDB_SPLITS = {"1": "train", "2": "test"}
_UCF = re.compile(r"(?P<split>train|val|test)list(?P<number>\d+)")


def is_kinetics(table: Table) -> bool:
    """Whether a list names videos and spans of them, as that of Kinetics does."""
    return {"id", "label", "start", "end"} <= set(table.columns) and "path" not in table.columns


def read_kinetics(table: Table, places: Places, split: str = "") -> Listing:
    """Kinetics: `label,youtube_id,time_start,time_end,split`, files `<id>_<start>_<end>.mp4` or `<id>.mp4`."""
    candidates, skipped = list[Candidate](), list[Skipped]()
    for row in table.rows:
        found = _of_kinetics(row, table, places, split)
        (candidates if isinstance(found, Candidate) else skipped).append(found)  # type: ignore[arg-type]
    layout = f"a list as Kinetics has them, {table.path}: {count(len({one.label for one in candidates}), 'class')}"
    return Listing(layout, tuple(candidates), tuple(skipped))


def _of_kinetics(row: Row, table: Table, places: Places, split: str) -> Candidate | Skipped:
    says = row.says
    name, label = says.get("id", ""), says.get("label", "")
    where = f"line {row.line} of {table.path.name}"
    try:
        start_s, end_s = float(says.get("start", "")), float(says.get("end", ""))
    except ValueError:
        return Skipped(Path(name), f"{where}: its times are no numbers")
    if not label or not end_s > start_s >= 0:
        return Skipped(Path(name), f"{where}: it has no label, or its span is empty")
    split = split_named(says.get("split", "")) or split
    spanned = f"{name}_{int(start_s):06d}_{int(end_s):06d}"
    for stem in (spanned, name):
        paths = places.starting(stem)
        mine = [path for path in paths if path.parent.name == label] or paths
        if mine and stem == spanned:
            return Candidate(mine[0], mine[0].name, label, name, split=split)
        if mine:
            return Candidate(mine[0], mine[0].name, label, name, start_s=start_s, end_s=end_s, split=split, cut=True)
    return Skipped(Path(name), f"{where}: there is no file {spanned} or {name}")


def _first_split(folder: Path, pattern: re.Pattern[str]) -> Sequence[Path]:
    """The lists of the first split in a directory: their names fit the pattern, which tells the number of the split."""
    found = [
        (match["number"], path) for path in sorted(folder.glob("*.txt")) if (match := pattern.fullmatch(path.stem))
    ]
    first = min((number for number, _ in found), default="")
    return [path for number, path in found if number == first]


def hmdb_lists(folder: Path) -> Sequence[Path]:
    """The files of HMDB51's first split in a directory, `<class>_test_split1.txt`."""
    return _first_split(folder, _HMDB)


def read_hmdb(lists: Sequence[Path], places: Places) -> Listing:
    """HMDB51: a list for each class, `file.avi 1` in each line: 1 trains, 2 tests, 0 does neither."""
    candidates, skipped, unused = list[Candidate](), list[Skipped](), 0
    number = ""
    for path in lists:
        match = _HMDB.fullmatch(path.stem)
        label, number = (match["label"], match["number"]) if match else (path.stem, number)
        for line in _lines(path):
            name, _, part = line.rpartition(" ")
            file = places.find(name.strip(), label)
            if part == "0":
                unused += 1
            elif file is None or part not in _HMDB_SPLITS:
                reason = "there is no such file" if file is None else f"{part!r} is no part of a split"
                skipped.append(Skipped(Path(name or line), f"{path.name}: {reason}"))
            else:
                candidates.append(Candidate(file, name.strip(), label, split=_HMDB_SPLITS[part]))
    notes = (f"the split leaves out {count(unused, 'clip')}",) if unused else ()
    layout = f"the lists of HMDB51's split {number} in {lists[0].parent}: {count(len(lists), 'class')}"
    return Listing(layout, tuple(candidates), tuple(skipped), notes)


def ucf_lists(folder: Path) -> Sequence[Path]:
    """The files of UCF101's first split in a directory, `trainlist01.txt` and `testlist01.txt`."""
    return _first_split(folder, _UCF)


def read_ucf(lists: Sequence[Path], places: Places) -> Listing:
    """UCF101: `Class/v_Class_g01_c01.avi` in each line, in the list to train on with a number behind it."""
    candidates, skipped = list[Candidate](), list[Skipped]()
    for path in lists:
        match = _UCF.fullmatch(path.stem)
        split = split_named(match["split"]) if match else ""
        for line in _lines(path):
            name = re.sub(r"\s+\d+$", "", line)
            label = PurePosixPath(name).parent.name
            file = places.find(name, label)
            if file is None or not label:
                reason = "there is no such file" if label else "it lies in no class's folder"
                skipped.append(Skipped(Path(name), f"{path.name}: {reason}"))
            else:
                candidates.append(Candidate(file, name, label, split=split))
    labels = len({one.label for one in candidates})
    layout = f"UCF101's lists {among(path.name for path in lists)} in {lists[0].parent}: {count(labels, 'class')}"
    return Listing(layout, tuple(candidates), tuple(skipped))


def _lines(path: Path) -> list[str]:
    try:
        text = path.read_text(encoding="utf-8-sig", errors="replace")
    except OSError as error:
        raise DataError(f"the list {path} cannot be read: {error.strerror}") from error
    return [line.strip() for line in text.splitlines() if line.strip()]
