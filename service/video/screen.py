"""The shared memory on which a decoder shows one frame after another."""

from __future__ import annotations

import numpy as np

from service.video.preprocess import Frame
from service.video.shared import Shared


class Screen(Shared):
    """Memory for one frame; only the pages that a frame really has are ever taken.

    Args:
        max_pixels: the most that a frame may have.
        descriptor: of a screen that another process made for as many; None makes one. It is closed once its memory is
            mapped.
    """

    def __init__(self, max_pixels: int, descriptor: int | None = None) -> None:
        super().__init__(3 * max_pixels, descriptor)

    def show(self, frame: Frame) -> None:
        """Puts a frame on the screen: uint8 [H, W, 3], BGR."""
        pixels = np.frombuffer(self._memory, np.uint8, frame.size).reshape(frame.shape)
        # RGB, as PPM has it, so that what is taken off is an encoded picture like any other.
        pixels[:] = frame[..., ::-1]

    def take(self, width: int, height: int) -> bytes:
        """The frame on the screen, as a PPM picture.

        Raises:
            ValueError: no frame of that size has room.
        """
        size = 3 * width * height
        if width <= 0 or height <= 0 or size > len(self._memory):
            raise ValueError(f"no frame of {width}x{height} can be on the screen")
        return b"P6\n%d %d\n255\n" % (width, height) + self._memory[:size]
