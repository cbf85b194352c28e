"""Rows of numbers, put down once and read in any order, whatever they come to: in memory, or else in a file."""

from __future__ import annotations

import os
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.float16]
"""float16 [N, ...]."""

IN_MEMORY = 128 * 2**20
"""The most bytes of a shelf in memory. A folder of thousands of clips, looked at several times, has gigabytes."""


class Shelf:
    """Rows of one shape, float16; written first, then read.

    Beyond `IN_MEMORY` they go to a file that has no name and is gone with the shelf. It is read with `pread` and not
    mapped: pages of a mapping that were touched count as the process's memory.

    Args:
        directory: where the file would lie.
        in_memory: bytes up to which there is none.
    """

    def __init__(self, directory: Path, in_memory: int = IN_MEMORY) -> None:
        self._directory, self._in_memory = directory, in_memory
        self._parts: list[Rows] = []
        self._file: IO[bytes] | None = None
        self._held = 0
        self._count = 0
        self.shape: tuple[int, ...] = ()

    def __len__(self) -> int:
        return self._count

    def put(self, rows: Rows) -> None:
        """Adds rows behind those that are there."""
        self.shape = rows.shape[1:]
        self._count += len(rows)
        self._parts.append(rows)
        self._held += rows.nbytes
        if self._held > self._in_memory or self._file is not None:
            self._write()

    def take(self, places: NDArray[np.int64]) -> Rows:
        """The rows at some places, [...] → float16 [..., row]."""
        if self._file is None:
            return self._whole()[places]
        wanted, back = np.unique(places, return_inverse=True)
        found = np.empty((len(wanted), *self.shape), np.float16)
        first = 0
        # Steps of a window follow each other, so that most reads are of many rows.
        for row in np.split(wanted, np.flatnonzero(np.diff(wanted) != 1) + 1):
            self._read(int(row[0]), found[first : first + len(row)])
            first += len(row)
        return np.asarray(found[back.reshape(places.shape)])

    def _whole(self) -> Rows:
        if len(self._parts) != 1:
            self._parts = [np.concatenate(self._parts)]
        return self._parts[0]

    def _write(self) -> None:
        if self._file is None:
            self._directory.mkdir(parents=True, exist_ok=True)
            self._file = TemporaryFile(dir=self._directory)  # noqa: SIM115 - open as long as the shelf is
        for part in self._parts:
            self._file.write(np.ascontiguousarray(part).data.cast("B"))
        self._file.flush()
        self._parts, self._held = [], 0

    def _read(self, first: int, into: Rows) -> None:
        assert self._file is not None
        row = int(np.prod(self.shape, dtype=np.int64)) * into.itemsize
        rest, at = into.reshape(-1).view(np.uint8).data, first * row
        while rest:
            count = os.preadv(self._file.fileno(), [rest], at)
            if not count:
                raise EOFError("the file of features is shorter than it was written")
            rest, at = rest[count:], at + count
