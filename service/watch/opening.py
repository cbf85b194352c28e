"""Opening a source by OpenCV, and why it could not be opened. Only a capture process imports this."""

from __future__ import annotations

import ctypes
import os
import re
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Self

import cv2

from service.watch.wire import Request

# FFmpeg's words on why a source cannot be opened are errors and warnings.
_WARNINGS = "24"
# Only these of its words are told: others may hold the URL and what is secret in it.
_REASONS = re.compile(
    r"HTTP error \d+ [\w ]{1,40}|method \w+ failed: \d+ [\w ]{1,40}"
    r"|Connection refused|Connection timed out|Connection reset by peer|No route to host|Network is unreachable"
    r"|Name or service not known|Temporary failure in name resolution|Address already in use"
    r"|No such file or directory|Permission denied|moov atom not found|Invalid data found when processing input"
    r"|Protocol '?\w+'? not on whitelist"
)


class Refused(Exception):
    """The source cannot be read; the text says why."""


def open_source(request: Request) -> cv2.VideoCapture:
    """Opens a source. Its `release` may be called: only captures from memory crash there.

    Raises:
        Refused: it does not open, or its frames are too large.
    """
    started_s = time.monotonic()
    with _Words() as words:
        source = _camera(request) if request.camera else _url(request)
    if not source.isOpened():
        late = time.monotonic() - started_s >= request.open_s
        known = f"there is no camera {request.opened}, or another program has it" if request.camera else words.reason
        raise Refused(
            known or (f"it did not open within {request.open_s:g} s" if late else "it does not open as a video")
        )
    width, height = (int(source.get(one)) for one in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT))
    if width * height > request.max_pixels:
        raise Refused(f"its frames have {width}x{height} pixels; KINEMA_MAX_PIXELS allows {request.max_pixels}")
    return source


def _camera(request: Request) -> cv2.VideoCapture:
    return cv2.VideoCapture(int(request.opened), cv2.CAP_V4L2 if sys.platform == "linux" else cv2.CAP_ANY)


def _url(request: Request) -> cv2.VideoCapture:
    # More threads decode several frames at once, so that each is late.
    given = (
        *(cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, int(request.open_s * 1e3)),
        *(cv2.CAP_PROP_READ_TIMEOUT_MSEC, int(request.read_s * 1e3)),
        *(cv2.CAP_PROP_N_THREADS, 1),
    )
    os.environ["OPENCV_FFMPEG_CAPTURE_OPTIONS"] = request.options
    return cv2.VideoCapture(request.opened, cv2.CAP_FFMPEG, given)


class _Words:
    """Hears what FFmpeg says while a source is opened. OpenCV prints it on standard output, which is ours alone."""

    def __init__(self) -> None:
        os.environ["OPENCV_FFMPEG_LOGLEVEL"] = _WARNINGS
        cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
        self._said = ""

    @property
    def reason(self) -> str:
        """The last that can be told of it, or nothing."""
        found: list[str] = _REASONS.findall(self._said)
        return found[-1] if found else ""

    def __enter__(self) -> Self:
        self._file = tempfile.TemporaryFile()
        _redirect(self._file.fileno())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        ctypes.CDLL(None).fflush(None)  # C keeps what was printed
        self._file.seek(0)
        self._said = self._file.read(1 << 16).decode(errors="replace")
        self._file.close()
        with Path(os.devnull).open("wb") as nowhere:
            _redirect(nowhere.fileno())


def _redirect(descriptor: int) -> None:
    os.dup2(descriptor, sys.__stdout__.fileno() if sys.__stdout__ else 1)
