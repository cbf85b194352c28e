"""Where the states of streams lie that rest: in a file without a name, so that they take no memory."""

from __future__ import annotations

import os
from tempfile import TemporaryFile
from typing import IO


class Attic:
    """Bytes kept on disk, in TMPDIR; the file goes with the process. Belongs to one event loop.

    Args:
        room: the most bytes of one thing that is put here.
    """

    def __init__(self, room: int) -> None:
        self._room = room
        self._file: IO[bytes] | None = None  # made when there is something to put away
        self._sizes: dict[int, int] = {}
        self._free: list[int] = []

    def __len__(self) -> int:
        return len(self._sizes)

    def put(self, data: bytes) -> int | None:
        """Puts bytes away.

        Returns:
            The place where they lie, or None where they have no room, here or on the disk.
        """
        if len(data) > self._room:
            return None
        place = self._free.pop() if self._free else len(self._sizes)
        try:
            if self._file is None:
                self._file = TemporaryFile(buffering=0)  # noqa: SIM115 - it stays open for as long as the attic is there
            written = os.pwrite(self._file.fileno(), data, place * self._room)
        except OSError:  # no room on the disk, or no disk to write on
            written = 0
        if written < len(data):
            self._free.append(place)
            return None
        self._sizes[place] = len(data)
        return place

    def take(self, place: int) -> bytes:
        """Takes bytes out; their place is free then.

        Raises:
            KeyError: nothing lies there.
            OSError: the disk does not give them back.
        """
        size = self._sizes.pop(place)
        self._free.append(place)
        assert self._file is not None
        return os.pread(self._file.fileno(), size, place * self._room)

    def drop(self, place: int) -> None:
        """Throws away what lies at a place.

        Raises:
            KeyError: nothing lies there.
        """
        del self._sizes[place]
        self._free.append(place)

    def close(self) -> None:
        """Gives the disk back what it took."""
        if self._file is not None:
            self._file.close()
