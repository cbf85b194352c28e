"""The lists in a directory: which of its files name clips, and which of them belong together."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from model.data.dataset import DataError
from model.folder.candidate import Listing, hidden, split_named
from model.folder.place import Places
from model.folder.published import hmdb_lists, is_kinetics, read_hmdb, read_kinetics, read_ucf, ucf_lists
from model.folder.table import Table, may_be_list, read_list
from model.folder.words import among, count

# A directory with more texts than this has one for each clip, and none of them is a list.
_MOST_LISTS = 24
_SAMPLE = 200


def read_file(path: Path, clips: Path | None) -> Listing:
    """The candidates that a list names which the user has named.

    Args:
        path: the list.
        clips: where its paths start; default: the directory beside it that has its name, else its own.

    Raises:
        DataError: it cannot be read, or is no list of clips.
    """
    beside = [path.with_suffix(""), path.parent, path.parent.parent]
    places = Places([clips] if clips else [place for place in beside if place.is_dir()])
    # Of split lists the user has named one, and means its split.
    for siblings, read in ((hmdb_lists, read_hmdb), (ucf_lists, read_ucf)):
        if path.name in {one.name for one in siblings(path.parent)}:
            return read(siblings(path.parent), places)
    return _read(Table.read(path), places, "")


def find_lists(root: Path, clips: Path | None) -> Listing | None:
    """The candidates that lists in a directory name; None where there are no such lists."""
    for folder in (root, *_folders(root)):
        places = Places([clips or root, folder])
        if lists := hmdb_lists(folder):
            return read_hmdb(lists, places)
        if lists := ucf_lists(folder):
            return read_ucf(lists, places)
    places = Places([clips or root])
    tables = list(_tables(root, places))
    parts = {split: table for table in tables if (split := _split_of(table.path))}
    if tables and len(parts) == len(tables):
        return _together([_read(table, places, split) for split, table in parts.items()])
    if not tables:
        return None
    chosen = max(tables, key=lambda table: len(table.rows))
    listing = _read(chosen, places, "")
    others = [table.path.name for table in tables if table is not chosen]
    unread = (f"of several lists the longest is read; not read: {among(others)}",) if others else ()
    return Listing(listing.layout, listing.candidates, listing.skipped, (*listing.notes, *unread))


def _folders(root: Path) -> list[Path]:
    return sorted(path for path in root.iterdir() if path.is_dir() and not hidden(path.name))


def _tables(root: Path, places: Places) -> Iterator[Table]:
    files = sorted(path for path in root.iterdir() if path.is_file() and may_be_list(path) and not hidden(path.name))
    if len(files) > _MOST_LISTS:
        return
    for path in files:
        try:
            table = Table.read(path)
            if _names_clips(table, places):
                yield table
        except DataError:  # nobody has said that it is one
            continue


def _names_clips(table: Table, places: Places) -> bool:
    """Whether most of what a table names is there."""
    if "label" not in table.columns:
        return False
    some = Table(table.path, table.columns, table.named, table.rows[:_SAMPLE])
    listing = _read(some, places, "")
    # Videos vanish from where Kinetics was taken, so a list of it may name many that are not there.
    least = 0 if is_kinetics(table) else len(listing.skipped)
    return len(listing.candidates) > least


def _read(table: Table, places: Places, split: str) -> Listing:
    return (read_kinetics if is_kinetics(table) else read_list)(table, places, split)


def _split_of(path: Path) -> str:
    words = re.split(r"[^a-z]+", path.stem.lower().replace("list", " "))
    return next((split for word in words if (split := split_named(word))), "")


def _together(listings: Sequence[Listing]) -> Listing:
    candidates = tuple(one for listing in listings for one in listing.candidates)
    labels = count(len({one.label for one in candidates}), "class")
    layouts = among(listing.layout.rpartition(":")[0] for listing in listings)
    return Listing(
        f"{layouts}: {labels} together" if len(listings) > 1 else listings[0].layout,
        candidates,
        tuple(one for listing in listings for one in listing.skipped),
        tuple(dict.fromkeys(note for listing in listings for note in listing.notes)),
    )
