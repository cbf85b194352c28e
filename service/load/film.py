"""What a camera shows: frames of a clip, encoded one by one, over and over."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

import cv2

from service.video.preprocess import Frame
from service.video.scan import Scan
from service.video.source import NO_LIMITS

# As cameras and browsers encode.
_QUALITY = 85
# A film longer than this adds nothing but memory.
_MOST_S = 10.0
_EPSILON_S = 1e-3


@dataclass(frozen=True, slots=True)
class Film:
    """Frames in order of time, evenly spaced.

    Attributes:
        images: each a JPEG.
        fps: frames a second.
    """

    images: tuple[bytes, ...]
    fps: float

    @classmethod
    def of(cls, clip: bytes, fps: float, size: tuple[int, int] | None = None) -> Self:
        """Takes the frames of a clip at a rate: at each moment the first that is not before it, its first ten seconds.

        Args:
            clip: its encoded bytes.
            fps: frames a second; where the clip has fewer, some come twice.
            size: width and height of the frames; None keeps the clip's.

        Raises:
            ClipError: it cannot be decoded.
        """
        return cls(tuple(_encoded(frame, size) for frame in _frames(clip, fps)), fps)

    def time_s(self, number: int) -> float:
        """The timestamp of a frame; they go on where the film begins anew."""
        return number / self.fps

    def image(self, number: int) -> bytes:
        """A frame, of a film without an end."""
        return self.images[number % len(self.images)]


def _frames(clip: bytes, fps: float) -> Iterator[Frame]:
    scan = Scan(clip, NO_LIMITS)
    found = 0
    for time_s in scan:
        due = int((min(time_s, _MOST_S) + _EPSILON_S) * fps) + 1
        if due > found:
            frame = scan.retrieve()
            yield from (frame for _ in range(due - found))
            found = due
        if time_s >= _MOST_S:
            return


def _encoded(frame: Frame, size: tuple[int, int] | None) -> bytes:
    shown = frame if size is None else cv2.resize(frame, size, interpolation=cv2.INTER_AREA)
    _, encoded = cv2.imencode(".jpg", shown, (cv2.IMWRITE_JPEG_QUALITY, _QUALITY))
    return encoded.tobytes()
