"""One look at one frame of a stream: the pictures that are made of it, in memory shared with whoever decodes it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, NamedTuple

import numpy as np

from service.video.preprocess import SERVED, FlowMaker, Frame, Picture, PictureMaker, maker
from service.video.shared import Shared
from service.video.source import Limits
from service.video.spec import PictureSpec

Role = Literal["grey", "fresh", "again"]
"""What a place is for: the grey frame that flow starts from, the picture of a frame, that of the frame seen again."""

_KEPT_MAKERS = 16
# Cameras' frames are smaller by far; a larger one comes in memory of its own.
_IMAGE_ROOM, _LENGTH = 1 << 20, 8


@dataclass(frozen=True, slots=True)
class LookTask:
    """What is wanted of a frame.

    Attributes:
        pictures: the kinds of evidence that the stream's model reads.
        fresh: the kinds of which a picture is wanted.
        again: the kinds of which a picture is wanted as if the frame came a second time.
        follows: whether a frame came before it; its grey frames are on the slate.
        limits: what the frame may cost.
    """

    pictures: tuple[PictureSpec, ...]
    fresh: tuple[str, ...]
    again: tuple[str, ...]
    follows: bool
    limits: Limits


class _Place(NamedTuple):
    start: int
    size: int
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Looked:
    """A frame that was looked at: its size in pixels."""

    width: int
    height: int


class Slate(Shared):
    """Shared memory for looks, one after another: the encoded frame goes in, pictures come out.

    A decoder process has one for as long as it lives. Memory that is mapped anew costs a fault for each of its pages,
    on both sides, which is as much as looking itself.

    Args:
        pictures: the kinds of pictures.
        descriptor: of a slate that another process made for the same kinds; None makes one. It is closed once its
            memory is mapped.
    """

    def __init__(self, pictures: Sequence[PictureSpec], descriptor: int | None = None) -> None:
        self.pictures = tuple(pictures)
        self._places, size = _layout(self.pictures)
        super().__init__(size, descriptor)

    def place(self, role: Role, kind: str) -> Picture:
        """A place on the slate: a picture is uint8 [size, size, 3], a grey frame uint8 [size, size].

        Raises:
            KeyError: there is no such place.
        """
        start, size, shape = self._places[role, kind]
        return np.frombuffer(self._memory, np.uint8, size, start).reshape(shape)

    def write(self, image: bytes) -> bool:
        """Puts an encoded frame on the slate; False where it has no room."""
        if len(image) > _IMAGE_ROOM:
            return False
        self._memory[:_LENGTH] = len(image).to_bytes(_LENGTH, "little")
        self._memory[_LENGTH : _LENGTH + len(image)] = image
        return True

    def read(self) -> bytes:
        """The encoded frame on the slate."""
        length = min(int.from_bytes(self._memory[:_LENGTH], "little"), _IMAGE_ROOM)
        return self._memory[_LENGTH : _LENGTH + length]


class Drawn:
    """What one look has left on a slate, copied: the slate is drawn on again.

    Args:
        slate: where it is.
        task: what was wanted.
    """

    def __init__(self, slate: Slate, task: LookTask) -> None:
        wanted: list[tuple[Role, str]] = [("fresh", kind) for kind in task.fresh]
        wanted += [("again", kind) for kind in task.again]
        wanted += [("grey", kind.name) for kind in task.pictures if kind.flow is not None]
        self._places = {place: slate.place(*place).copy() for place in wanted}

    def place(self, role: Role, kind: str) -> Picture:
        """What was drawn at a place of the slate.

        Raises:
            KeyError: nothing was wanted there.
        """
        return self._places[role, kind]


@lru_cache(maxsize=_KEPT_MAKERS)
def _layout(pictures: tuple[PictureSpec, ...]) -> tuple[Mapping[tuple[Role, str], _Place], int]:
    places: dict[tuple[Role, str], _Place] = {}
    end = _LENGTH + _IMAGE_ROOM
    for kind in pictures:
        shapes: dict[Role, tuple[int, ...]] = {"fresh": (kind.size, kind.size, 3)}
        if kind.flow is not None:
            shapes["again"] = shapes["fresh"]
            shapes["grey"] = (kind.flow.size, kind.flow.size)
        for role, shape in shapes.items():
            size = math.prod(shape)
            places[role, kind.name] = _Place(end, size, shape)
            end += size
    return places, end


@lru_cache(maxsize=_KEPT_MAKERS)
def _maker(spec: PictureSpec) -> PictureMaker:
    """Optical flow keeps buffers that are worth keeping; what it remembers of frames is set at every look."""
    return maker(spec)


def look(frame: Frame, task: LookTask, slate: Slate) -> Looked:
    """Makes the pictures that are wanted of a frame, and leaves its grey frames for the next look.

    Args:
        frame: as decoded.
        task: what is wanted.
        slate: holds the grey frames of the frame before, where there was one, and receives all that is made.
    """
    sight = SERVED.of(frame)
    for spec in task.pictures:
        pictures = _maker(spec)
        if isinstance(pictures, FlowMaker):
            pictures.before = slate.place("grey", spec.name).copy() if task.follows else None
        if spec.name in task.fresh:
            slate.place("fresh", spec.name)[:] = pictures.make(sight)
        else:
            pictures.look(sight)
        if isinstance(pictures, FlowMaker):
            if spec.name in task.again:
                slate.place("again", spec.name)[:] = pictures.still()
            if pictures.before is not None:
                slate.place("grey", spec.name)[:] = pictures.before
    return Looked(frame.shape[1], frame.shape[0])
