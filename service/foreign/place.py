"""A bundle's directory, written whole or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from service.errors import ImportRefused
from service.inference.card import CARD


@contextmanager
def written_whole(directory: Path) -> Iterator[Path]:
    """A directory beside `directory` to write a bundle into; it takes that place when the block ends well.

    Args:
        directory: an older bundle there is replaced.

    Raises:
        ImportRefused: there is something else in its place, or nothing can be written there.
    """
    if directory.exists() and not (directory / CARD).is_file() and (not directory.is_dir() or any(directory.iterdir())):
        raise ImportRefused(f"{directory} is there and is no bundle", "Name a new directory with -o.")
    try:
        directory.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=directory.parent) as beside:
            made = Path(beside) / "made"
            made.mkdir()
            yield made
            if directory.exists():
                directory.rename(Path(beside) / "replaced")
            made.rename(directory)
    except OSError as error:
        reason = error.strerror or str(error)
        raise ImportRefused(f"{directory} cannot be written: {reason}", "Name another directory with -o.") from error
