"""Where frames wait in a capture process until the watch wants them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace

from service.watch.slots import COUNT
from service.watch.wire import WANT, Shot


class Desk:
    """One frame at most waits here. Used by the thread that reads the source and by the one that hears the watch.

    Args:
        newest: whether a newer frame takes the place of one that waits; otherwise there is a place only once that one
            has been handed over.
        hand_over: called with a frame that was wanted.
    """

    def __init__(self, newest: bool, hand_over: Callable[[Shot], None]) -> None:
        self._newest = newest
        self._hand_over = hand_over
        self._changed = threading.Condition()
        self._free = list(range(COUNT))
        self._wanted = 0
        self._waiting: Shot | None = None
        self._counts = _Counts()
        self._jump: str | None = None
        self._closed = False

    def want(self, byte: int) -> None:
        """The watch wants a frame; the byte may give a slot back."""
        with self._changed:
            if byte != WANT:
                self._free.append(byte)
            self._wanted += 1
            self._serve()
            self._changed.notify()

    def close(self) -> None:
        """The watch has gone: nothing is waited for any more."""
        with self._changed:
            self._closed = True
            self._changed.notify()

    def place(self) -> int | None:
        """A slot to write the next frame to; waits for one where every frame is wanted. None once closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._newest or (self._waiting is None and bool(self._free)))
            return None if self._closed else self._free.pop()

    def put(self, shot: Shot) -> None:
        """Takes the frame that was written to a slot; counts it, and keeps why one that was passed over jumped."""
        with self._changed:
            self._counts.received += 1
            self._jump = shot.jump or self._jump
            if self._waiting is not None:
                self._free.append(self._waiting.slot)
                self._counts.dropped += 1
            self._waiting = shot
            self._serve()

    def finish(self) -> bool:
        """Waits until the last frame has been handed over; False where it never will be."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._waiting is None)
            return not self._closed

    def _serve(self) -> None:
        if self._waiting is None or not self._wanted:
            return
        counts = self._counts
        self._hand_over(replace(self._waiting, jump=self._jump, received=counts.received, dropped=counts.dropped))
        self._wanted -= 1
        self._waiting = self._jump = None


@dataclass(slots=True)
class _Counts:
    received: int = 0
    dropped: int = 0
