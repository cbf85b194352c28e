"""The encoded bytes of a clip, kept where another process can read them without a copy."""

from __future__ import annotations

import io
import os
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

from service.errors import MalformedRequest

# FFmpeg asks for 32 KiB at a time; a larger buffer saves calls where it skips little.
_BUFFER = 256 * 1024


def anonymous_file() -> int:
    """A descriptor of a file without a name, in memory where the system can. The file goes with its last user."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create("kinema", os.MFD_CLOEXEC)
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


class EncodedClip:
    """The bytes of one clip behind a file descriptor, which is closed with it. Every reader has a position of its own.

    Args:
        descriptor: open for reading; the clip owns it from now on.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self.size = os.fstat(descriptor).st_size

    @classmethod
    def of(cls, data: bytes) -> Self:
        """Copies bytes into anonymous memory."""
        descriptor = anonymous_file()
        with open(descriptor, "wb", closefd=False) as file:
            file.write(data)
        return cls(descriptor)

    @classmethod
    def read(cls, path: Path) -> Self:
        """Opens a file where it is.

        Raises:
            MalformedRequest: it cannot be read.
        """
        try:
            return cls(os.open(path, os.O_RDONLY | os.O_CLOEXEC))
        except OSError as error:
            raise MalformedRequest(f"cannot be read: {error.strerror}", "Check the path.") from error

    def fileno(self) -> int:
        """The descriptor."""
        return self._descriptor

    def open(self) -> io.BufferedReader:
        """A reader from the start, which is valid until the clip is closed."""
        return io.BufferedReader(_Reader(self._descriptor, self.size), _BUFFER)

    def close(self) -> None:
        """Lets go of the bytes; harmless the second time."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class _Reader(io.RawIOBase):
    """Reads a descriptor at a position of its own: processes that share a descriptor share its position too."""

    def __init__(self, descriptor: int, size: int) -> None:
        self._descriptor = descriptor
        self._size = size
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # typeshed's is wider than what is called
        count = os.preadv(self._descriptor, [buffer], self._position)
        self._position += count
        return count

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size}[whence]
        self._position = max(0, base + offset)
        return self._position

    def tell(self) -> int:
        return self._position
