"""Files that are there whole or not at all, whatever interrupts whoever writes them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from pydantic import BaseModel


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Writes a file beside its place, and puts it there when it is whole; directories are made as needed.

    Args:
        path: its place; an older file there is replaced.
        write: writes it, to the path that it is given.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # No ending that anybody looks for.
    unfinished = path.with_name(f"{path.name}.unfinished")
    write(unfinished)
    unfinished.replace(path)


def write_json(path: Path, content: BaseModel) -> None:
    """Writes a record as JSON, whole."""
    text = content.model_dump_json(indent=1) + "\n"
    write_whole(path, lambda unfinished: unfinished.write_text(text, encoding="utf-8"))
