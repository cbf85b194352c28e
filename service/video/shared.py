"""Memory that the service and a decoder process share."""

from __future__ import annotations

import mmap
import os

from service.video.encoded import anonymous_file


class Shared:
    """Memory of a fixed size; only the pages that are written to are ever taken.

    Args:
        size: its bytes.
        descriptor: of memory that another process made with the same size; None makes some. It is closed once the
            memory is mapped.
    """

    def __init__(self, size: int, descriptor: int | None = None) -> None:
        made = anonymous_file() if descriptor is None else descriptor
        try:
            if descriptor is None:
                os.truncate(made, size)
            self._memory = mmap.mmap(made, size)
        finally:
            if descriptor is not None:
                os.close(made)
        self._descriptor = made if descriptor is None else -1

    def fileno(self) -> int:
        """The descriptor of memory made here."""
        return self._descriptor

    def close(self) -> None:
        """Closes the descriptor; the memory stays as long as this, or a part of it that is used."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
