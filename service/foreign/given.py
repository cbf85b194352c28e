"""What the caller tells of a graph, none of it being certain to be needed."""

from __future__ import annotations

from dataclasses import dataclass

from service.inference.card import Licences
from service.inference.whole import Layout, Steps

RGB = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Given:
    """What was given on the command line; None where nothing was.

    Attributes:
        shipped_golden: the golden clip to take where no other is given, if there is one. The other attributes are those
            of `service.foreign.settle.Settled`.
    """

    labels: tuple[str, ...] | None = None
    layout: Layout | None = None
    size: int | None = None
    mean: RGB | None = None
    std: RGB | None = None
    clip_len: int | None = None
    fps: float | None = None
    num_clips: int | None = None
    output: str | None = None
    steps: Steps | None = None
    golden: bytes | None = None
    shipped_golden: bytes | None = None


@dataclass(frozen=True, slots=True)
class Title:
    """What the card says that has nothing to do with the graph."""

    name: str
    version: str
    description: str
    licences: Licences
