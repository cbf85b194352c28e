"""A bundle's directory, written whole or not at all."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp

from service.errors import BundleError
from service.inference.card import CARD, Card, sha256


@contextmanager
def written_whole(directory: Path) -> Iterator[Path]:
    """A directory beside `directory` to write a bundle into; it takes that place when the block ends well.

    Args:
        directory: an older bundle there is replaced; a link to one is followed.

    Raises:
        BundleError: there is something else in its place, nothing can be written there, or a bundle beside it would
            lose a file that it shares with the older one.
    """
    target = directory.resolve()
    if target.exists() and not (target / CARD).is_file() and (not target.is_dir() or any(target.iterdir())):
        raise BundleError(f"{directory} is there and is no bundle", "Name a new directory with -o.")
    made = _beside(target)
    try:
        yield made
        _check_neighbours(target, made)
        _replace(target, made)
    finally:
        shutil.rmtree(made, ignore_errors=True)


def _beside(target: Path) -> Path:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        # Beside it and not deeper, so that what is shared with its neighbours is found already.
        made = Path(mkdtemp(prefix=".unfinished-", dir=target.parent))
        made.chmod(0o755)
    except OSError as error:
        raise _unwritten(target, error) from error
    return made


def _check_neighbours(target: Path, made: Path) -> None:
    for path in target.parent.glob(f"*/{CARD}"):
        try:
            card = Card.read(path.parent)
        except BundleError:
            continue  # what cannot be served has nothing to lose
        for name, record in card.files.items():
            kept = made / name
            if record.beside == target.name and not (kept.is_file() and sha256(kept) == record.sha256):
                raise BundleError(
                    f"{path.parent.name} shares {name} of {target.name}, which would lose it",
                    "Write the bundle to another directory, or export those that share its files anew afterwards.",
                )


def _replace(target: Path, made: Path) -> None:
    old = made.with_name(f"{made.name}-replaced")
    try:
        if not target.exists():
            made.rename(target)
            return
        target.rename(old)
        try:
            made.rename(target)
        except OSError:
            old.rename(target)
            raise
    except OSError as error:
        raise _unwritten(target, error) from error
    shutil.rmtree(old, ignore_errors=True)


def _unwritten(target: Path, error: OSError) -> BundleError:
    reason = error.strerror or str(error)
    return BundleError(f"{target} cannot be written: {reason}", "Name another directory with -o.")
