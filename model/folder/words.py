"""Numbers and names in sentences."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable

_DIGITS = re.compile(r"(\d+)")


def count(number: int, noun: str) -> str:
    """A number with its noun in the singular or the plural: `1 class`, `12,000 clips`."""
    plural = f"{noun}es" if noun.endswith("s") else f"{noun}s"
    return f"{number:,} {noun if number == 1 else plural}"


def among(names: Iterable[object], most: int = 8) -> str:
    """Names with commas and an `and`; of very many, the first and how many more."""
    said = [str(name) for name in names]
    if len(said) > most:
        said = [*said[: most - 1], f"{len(said) - most + 1} more"]
    return " and ".join([", ".join(said[:-1]), said[-1]] if len(said) > 1 else said)


def natural(name: str) -> list[tuple[int, int, str]]:
    """A key that sorts names as people count: `clip2` before `clip10`."""
    parts = enumerate(_DIGITS.split(name))
    return [(0, int(part), part) if place % 2 else (1, 0, part.lower()) for place, part in parts]


def readable(name: str) -> str:
    """A name that can be printed, also where a file system has one in another encoding."""
    return os.fsencode(name).decode(errors="replace")
