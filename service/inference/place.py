"""A bundle's directory, written whole or not at all."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp

from service.errors import BundleError
from service.inference.card import CARD


@contextmanager
def written_whole(directory: Path) -> Iterator[Path]:
    """A directory beside `directory` to write a bundle into; it takes that place when the block ends well.

    Args:
        directory: an older bundle there is replaced.

    Raises:
        BundleError: there is something else in its place, or nothing can be written there.
    """
    if directory.exists() and not (directory / CARD).is_file() and (not directory.is_dir() or any(directory.iterdir())):
        raise BundleError(f"{directory} is there and is no bundle", "Name a new directory with -o.")
    try:
        directory.parent.mkdir(parents=True, exist_ok=True)
        # Beside it and not deeper, so that what is shared with its neighbours is found already.
        made = Path(mkdtemp(prefix=".unfinished-", dir=directory.parent))
        try:
            made.chmod(0o755)
            yield made
            if directory.exists():
                old = made.with_name(f"{made.name}-replaced")
                directory.rename(old)
                made.rename(directory)
                shutil.rmtree(old)
            else:
                made.rename(directory)
        finally:
            shutil.rmtree(made, ignore_errors=True)
    except OSError as error:
        reason = error.strerror or str(error)
        raise BundleError(f"{directory} cannot be written: {reason}", "Name another directory with -o.") from error
