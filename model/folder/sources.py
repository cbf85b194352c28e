"""Which clips were cut from one video: told by a column, or learnt from their names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from model.data import Clip

Sure = Literal["stated", "likely", "guessed", "none"]


@dataclass(frozen=True, slots=True)
class Sources:
    """What each clip was cut from.

    Attributes:
        by: what told it: `column`, the name of a pattern, or `nothing`.
        sure: `stated` by a column; `likely` by a naming convention that is known; `guessed` from numbered names or
            sub-folders; `none`: each clip counts as its own source.
        sentence: the same for people.
        of: the source of each clip, in the order of the clips.
    """

    by: str
    sure: Sure
    sentence: str
    of: tuple[str, ...]


def find_sources(clips: Sequence[Clip], names: Sequence[str]) -> Sources:
    """Finds what each clip was cut from.

    Args:
        clips: as `gather` found them.
        names: their names, as `Found.names`; sub-folders below a class's folder may tell sources.
    """
    raise NotImplementedError
