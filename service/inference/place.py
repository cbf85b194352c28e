"""A bundle's directory, written whole or not at all.

The training that a bundle came from, and its report, may lie in its directory. They are no part of it and stay when it
is written anew; then files go in one by one, the card last, and without a card nothing is a bundle.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp

from service.errors import BundleError
from service.inference.card import CARD, Card, sha256

TRAINING = "training"
REPORT = "report.html"
_KEPT = frozenset({TRAINING, REPORT})


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
    if target.exists() and not _may_be_replaced(target):
        raise BundleError(f"{directory} is there and is no bundle", "Name a new directory with -o.")
    made = _beside(target)
    try:
        yield made
        _check_neighbours(target, made)
        if (target / TRAINING).is_dir():
            _refill(target, made)
        else:
            _replace(target, made)
    finally:
        shutil.rmtree(made, ignore_errors=True)


def _may_be_replaced(target: Path) -> bool:
    if (target / CARD).is_file() or (target / TRAINING).is_dir():
        return True
    return target.is_dir() and not any(target.iterdir())


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


def _refill(target: Path, made: Path) -> None:
    """Puts the files of a bundle in the place of another's, around what is kept."""
    try:
        (target / CARD).unlink(missing_ok=True)
        files = sorted(made.iterdir(), key=lambda path: path.name == CARD)
        for path in target.iterdir():
            if path.is_file() and path.name not in _KEPT | {one.name for one in files}:
                path.unlink()
        for path in files:
            path.replace(target / path.name)
    except OSError as error:
        raise _unwritten(target, error) from error


def _unwritten(target: Path, error: OSError) -> BundleError:
    reason = error.strerror or str(error)
    return BundleError(f"{target} cannot be written: {reason}", "Name another directory with -o.")
