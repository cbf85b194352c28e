"""A writer of Matroska files whose pictures are JPEG and whose times are the pictures' own.

OpenCV writes frames at one rate only, so what it writes of a camera that slows down, or of a network that stalls, has
wrong times. Matroska keeps a time for each picture, and is whole after each: a file that was cut off plays as far as it
goes. See
https://www.rfc-editor.org/rfc/rfc9559.html
"""

from __future__ import annotations

import os
import struct
from pathlib import Path

# 2001-01-01T00:00:00Z, from which Matroska counts.
_EPOCH_S = 978_307_200
# Times are in milliseconds, which every player knows.
_SCALE_NS = 1_000_000
_UNKNOWN_SIZE = bytes.fromhex("01ffffffffffffff")
_KEY_FRAME = b"\x81\x00\x00\x80"  # of track 1, at the time of its cluster

_EBML, _SEGMENT, _INFO, _TRACKS, _CLUSTER = "1a45dfa3", "18538067", "1549a966", "1654ae6b", "1f43b675"
_SCALE, _DURATION, _DATE, _MUXER, _WRITER = "2ad7b1", "4489", "4461", "4d80", "5741"
_TRACK, _VIDEO, _WIDTH, _HEIGHT, _CODEC = "ae", "e0", "b0", "ba", "86"
_TIME, _BLOCK = "e7", "a3"


class Matroska:
    """A file that is being written.

    Args:
        path: where; it must not be there yet.
        width, height: of every picture, in pixels.
        at: the wall clock at time 0, in seconds since 1970, or None where nobody knows.

    Raises:
        OSError: it cannot be written.
    """

    def __init__(self, path: Path, width: int, height: int, at: float | None) -> None:
        self._file = path.open("xb")
        head = _element(_EBML, _text("4282", "matroska"), _number("4287", 4), _number("4285", 2))
        info = _element(
            _INFO,
            _number(_SCALE, _SCALE_NS),
            _text(_MUXER, "kinema"),
            _text(_WRITER, "kinema"),
            b"" if at is None else _element(_DATE, struct.pack(">q", round((at - _EPOCH_S) * 1e9))),
            _element(_DURATION, struct.pack(">d", 0.0)),
        )
        video = _element(_VIDEO, _number(_WIDTH, width), _number(_HEIGHT, height))
        # Number and identity of the track, that it holds video, and that its blocks hold one picture each.
        plain = (_number("d7", 1), _number("73c5", 1), _number("83", 1), _number("9c", 0))
        track = _element(_TRACK, *plain, _text(_CODEC, "V_MJPEG"), video)
        self._file.write(head + bytes.fromhex(_SEGMENT) + _UNKNOWN_SIZE + info)
        self._duration_at = self._file.tell() - 8
        self._file.write(_element(_TRACKS, track))
        self._last_s = 0.0

    def write(self, time_s: float, jpeg: bytes) -> None:
        """Adds a picture.

        Args:
            time_s: seconds since time 0, not before that of the picture before.
            jpeg: the picture, encoded.

        Raises:
            OSError: it cannot be written.
        """
        cluster = _element(_CLUSTER, _number(_TIME, round(time_s * 1e3)), _element(_BLOCK, _KEY_FRAME, jpeg))
        self._file.write(cluster)
        self._last_s = time_s

    def close(self) -> None:
        """Writes how long it is, and closes the file; harmless the second time.

        Raises:
            OSError: it cannot be written.
        """
        if self._file.closed:
            return
        try:
            self._file.seek(self._duration_at)
            self._file.write(struct.pack(">d", self._last_s * 1e3))
            self._file.seek(0, os.SEEK_END)
        finally:
            self._file.close()


def _element(name: str, *parts: bytes) -> bytes:
    data = b"".join(parts)
    return bytes.fromhex(name) + (len(data) | 1 << 56).to_bytes(8) + data


def _number(name: str, value: int) -> bytes:
    return _element(name, value.to_bytes(8))


def _text(name: str, value: str) -> bytes:
    return _element(name, value.encode())
