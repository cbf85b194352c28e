"""The shared memory of one clip: the decoder paints its pictures there, and encoders read them where they are.

A clip has a canvas of its own, with a place for every picture that its plan can call for. So whoever decodes it can
reach no other clip's pictures, nothing has to be handed back, and the memory goes when the last picture does.
"""

from __future__ import annotations

import math
import mmap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from service.video.preprocess import Picture
from service.video.sample import SamplingPlan
from service.video.shared import Shared
from service.video.spec import PictureSpec

# The first page holds the flag alone, so that pictures begin at a page's start.
_FLAG, _PICTURES = 0, mmap.PAGESIZE


@dataclass(frozen=True, slots=True)
class _Places:
    """Where the pictures of one kind lie."""

    start: int
    size: int
    cadence: int
    per_window: int

    @property
    def bytes(self) -> int:
        return self.size * self.size * 3


class Canvas(Shared):
    """Shared memory for the pictures of one clip, and a flag that asks whoever decodes it to stop.

    Args:
        plan: which moments are looked at.
        pictures: the kinds of pictures.
        descriptor: of a canvas that another process made for the same plan and pictures; None makes one. It is closed
            once its memory is mapped.
    """

    def __init__(self, plan: SamplingPlan, pictures: Sequence[PictureSpec], descriptor: int | None = None) -> None:
        self._places, size = _layout(plan, pictures)
        self._plan = plan
        super().__init__(size, descriptor)

    @property
    def stopped(self) -> bool:
        """Whether nobody wants the pictures any more."""
        return self._memory[_FLAG] != 0

    def stop(self) -> None:
        """Asks whoever decodes to stop."""
        self._memory[_FLAG] = 1

    def picture(self, kind: str, window: int, step: int) -> Picture:
        """The place of a picture, uint8 [size, size, 3].

        Raises:
            ValueError: the plan knows no such picture.
        """
        places = self._places.get(kind)
        if (
            places is None
            or not 0 <= window < self._plan.num_clips
            or not 0 <= step < self._plan.clip_len
            or step % places.cadence
        ):
            raise ValueError(f"no place for a picture of {kind!r}, window {window}, step {step}")
        index = window * places.per_window + step // places.cadence
        pixels = np.frombuffer(self._memory, np.uint8, places.bytes, places.start + index * places.bytes)
        return pixels.reshape(places.size, places.size, 3)


def canvas_bytes(plan: SamplingPlan, pictures: Sequence[PictureSpec]) -> int:
    """The memory that the pictures of one clip take at most."""
    return _layout(plan, pictures)[1]


def _layout(plan: SamplingPlan, pictures: Sequence[PictureSpec]) -> tuple[Mapping[str, _Places], int]:
    places: dict[str, _Places] = {}
    end = _PICTURES
    for kind in pictures:
        per_window = math.ceil(plan.clip_len / kind.cadence)
        one = places[kind.name] = _Places(end, kind.size, kind.cadence, per_window)
        end += one.bytes * per_window * plan.num_clips
    return places, end
