"""Frames of one stream that wait to be looked at: a few, and whoever sends faster has said what is to happen."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from enum import StrEnum

from service.errors import Busy
from service.video.follow import Served


class Drop(StrEnum):
    """What happens where a frame comes and there is no room for it."""

    OLDEST = "oldest"
    NEWEST = "newest"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Frame:
    """A frame that is to be looked at.

    Attributes:
        time_s: its timestamp.
        image: as it came, encoded.
        served: what it is looked at for.
        came_s: when it came, by `time.perf_counter`.
    """

    time_s: float
    image: bytes
    served: Served
    came_s: float


class Budget:
    """The bytes that the frames waiting in all inboxes together may have.

    Args:
        most: bytes.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self.taken = 0

    def take(self, size: int) -> bool:
        """Takes so many bytes, if there are as many."""
        if self.taken + size > self._most:
            return False
        self.taken += size
        return True

    def give(self, size: int) -> None:
        """Gives bytes back."""
        self.taken -= size


class Inbox:
    """A bounded queue. Belongs to one event loop.

    Args:
        most: frames in it.
        drop: what happens where there is no room.
        budget: shared with other inboxes.
    """

    def __init__(self, most: int, drop: Drop, budget: Budget) -> None:
        self._most = most
        self._drop = drop
        self._budget = budget
        self._frames: deque[Frame] = deque()
        self._room = asyncio.Event()
        self.dropped = 0
        """Frames that were given up for want of room."""

    def __len__(self) -> int:
        return len(self._frames)

    async def put(self, frame: Frame) -> bool:
        """Puts a frame in; where there is no room, one is dropped, or this waits.

        Returns:
            Whether the frame is in.

        Raises:
            Busy: frames may not be dropped, and those of other streams leave no room for a single one.
        """
        while not self._fits(frame):
            if self._drop is Drop.NEWEST or (self._drop is Drop.OLDEST and not self._frames):
                self.dropped += 1
                return False
            if self._drop is Drop.OLDEST:
                self.take()
                self.dropped += 1
                continue
            if not self._frames:
                raise Busy("the frames of other streams leave no room for this one", "Send it again a little later.")
            self._room.clear()
            await self._room.wait()
        self._frames.append(frame)
        return True

    def _fits(self, frame: Frame) -> bool:
        return len(self._frames) < self._most and self._budget.take(len(frame.image))

    def take(self) -> Frame | None:
        """The frame that has waited for longest."""
        if not self._frames:
            return None
        frame = self._frames.popleft()
        self._budget.give(len(frame.image))
        self._room.set()
        return frame

    def clear(self) -> None:
        """Throws away what waits."""
        while self.take():
            pass
