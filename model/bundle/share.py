"""Files that bundles share: encoders above all, so that nine heads do not mean nine copies."""

from __future__ import annotations

import filecmp
import re
import shutil
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import onnx

from model.run.errors import RunError
from model.whole import write_whole
from service.inference.card import FILE_NAME, FileRecord, sha256


def check_names(share: Sequence[str], bundle: Path) -> None:
    """Sees to it that directories can be shared by a bundle.

    Raises:
        RunError: one is no plain name, or is the bundle's own, which is replaced.
    """
    for name in share:
        if not re.fullmatch(FILE_NAME, name):
            raise RunError(f"{name!r} is no name of a directory beside {bundle.name}", "Name it without its path.")
        if name == bundle.resolve().name:
            raise RunError(f"{name} is the bundle that is to be written", "Share another directory, or none.")


def place(source: Path, bundle: Path, name: str, share: Sequence[str]) -> FileRecord:
    """Sees to it that a bundle has a file, and says where.

    Args:
        source: the file.
        bundle: the bundle's directory.
        name: what the file is called in it.
        share: directories beside the bundle's. If one of them has the file already, that is the one; otherwise it is
            copied into the last. With none it is copied into the bundle.

    Raises:
        RunError: the last of the directories has another file of that name.
    """
    for beside in share:
        there = bundle.parent / beside / name
        if there.is_file() and same(source, there):
            return record(there, beside)
    target = (bundle.parent / share[-1] if share else bundle) / name
    if target.is_file():
        raise RunError(f"{target} is another file than {source}", "Share another directory, or none.")
    write_whole(target, partial(shutil.copyfile, source))
    return record(target, share[-1] if share else None)


def record(path: Path, beside: str | None = None) -> FileRecord:
    """What a card says of a file."""
    return FileRecord(sha256=sha256(path), bytes=path.stat().st_size, beside=beside)


def same(one: Path, other: Path) -> bool:
    """Whether two files are alike; two graphs are if they differ in their metadata alone."""
    if filecmp.cmp(one, other, shallow=False):
        return True
    return one.suffix == other.suffix == ".onnx" and _bare(one) == _bare(other)


def _bare(path: Path) -> bytes:
    try:
        model = onnx.load(path)
    except Exception:  # noqa: BLE001 - protobuf's error, which onnx does not name; what is no graph equals none
        return path.read_bytes()
    del model.metadata_props[:]
    return bytes(model.SerializeToString(deterministic=True))
