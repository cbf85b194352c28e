"""The memory that a capture process and the watch share: a few frames, each in a slot."""

from __future__ import annotations

import mmap
import os

import numpy as np
from numpy.typing import NDArray

COUNT = 4
"""One that is looked at, one that waits, one that is being written, and one to spare."""


class Slots:
    """A few frames of one size.

    Args:
        descriptor: of the memory, which stays open.
        width, height: of every frame.
        make: whether the memory is to be given its size; the other process does it.
    """

    def __init__(self, descriptor: int, width: int, height: int, *, make: bool = False) -> None:
        self.shape = (height, width, 3)
        self._bytes = height * width * 3
        if make:
            os.truncate(descriptor, COUNT * self._bytes)
        self._memory = mmap.mmap(descriptor, COUNT * self._bytes)

    def frame(self, slot: int) -> NDArray[np.uint8]:
        """The frame in a slot, uint8 [H, W, 3], BGR.

        Raises:
            ValueError: there is no such slot.
        """
        if not 0 <= slot < COUNT:
            raise ValueError(f"there is no slot {slot}")
        pixels = np.frombuffer(self._memory, np.uint8, self._bytes, slot * self._bytes)
        return pixels.reshape(self.shape)
