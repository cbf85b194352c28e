"""A video of what was watched with what was recognised drawn on it."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from service.watch import facts
from service.watch.answer import Answer, Prediction

CODECS = {".mp4": "mp4v", ".mov": "mp4v", ".mkv": "mp4v", ".ts": "mp4v", ".avi": "MJPG", ".webm": "VP80"}
"""The codec for each kind of file that can be written."""

_MOST_FPS = 60.0
_WHITE, _GREY, _GREEN = (255, 255, 255), (90, 90, 90), (80, 200, 80)
_FONT = "sans"
_ROWS = 3


class Annotation:
    """A file of one rate that keeps the source's times: frames are held or left out. Gaps where nothing came are cut.

    Everything here may wait for a disk: call it from a thread, one call at a time.

    Args:
        path: where; its suffix is one of `CODECS`.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._writer: cv2.VideoWriter | None = None
        self._failed = False
        self._fps = 25.0
        self._size = (0, 0)
        self._base_s = 0.0
        self._written = 0
        self._last: NDArray[np.uint8] | None = None
        self._font = cv2.FontFace(_FONT)

    def write(
        self, pixels: NDArray[np.uint8], time_s: float, answer: Answer | None, *, fps: float | None, jumped: bool
    ) -> list[facts.Fact]:
        """Draws on a frame and writes it.

        Args:
            pixels: uint8 [H, W, 3], BGR; it is left as it is.
            time_s: when the frame was.
            answer: the last there is.
            fps: frames a second of the source, where it says so; the first counts.
            jumped: whether the frame does not follow the one before.

        Returns:
            What came of it.
        """
        if self._failed:
            return []
        if self._writer is None:
            self._open(pixels, fps)
            self._base_s = time_s
        if self._writer is None:
            return [facts.Trouble("annotate", f"{self._path} cannot be written", 1)]
        if jumped:
            self._base_s = time_s - self._written / self._fps
        place = round((time_s - self._base_s) * self._fps)
        if place < self._written:
            return []  # the source is faster than the file
        while self._last is not None and self._written < place:
            self._put(self._last)
        self._last = self._drawn(pixels, answer)
        self._put(self._last)
        return []

    def close(self) -> None:
        """Ends the file, which is valid from then on."""
        if self._writer is not None:
            self._writer.release()
            self._writer = None
        self._failed = True

    def _open(self, pixels: NDArray[np.uint8], fps: float | None) -> None:
        # Halved pictures of colour need even sides.
        height, width = (side - side % 2 for side in pixels.shape[:2])
        self._size, self._fps = (width, height), min(fps or self._fps, _MOST_FPS)
        code = cv2.VideoWriter.fourcc(*CODECS[self._path.suffix.lower()])
        writer = cv2.VideoWriter(str(self._path), cv2.CAP_FFMPEG, code, self._fps, self._size)
        if writer.isOpened():
            self._writer = writer
        else:
            self._failed = True

    def _put(self, frame: NDArray[np.uint8]) -> None:
        assert self._writer is not None
        self._writer.write(frame)
        self._written += 1

    def _drawn(self, pixels: NDArray[np.uint8], answer: Answer | None) -> NDArray[np.uint8]:
        width, height = self._size
        same = (pixels.shape[1], pixels.shape[0]) == self._size
        frame = pixels.copy() if same else np.asarray(cv2.resize(pixels, self._size), np.uint8)
        row = max(14, height // 16)
        predictions = () if answer is None else (answer.smoothed or answer.predictions)[:_ROWS]
        for index, one in enumerate(predictions):
            self._row(frame, one, (row // 2, height - row // 2 - (len(predictions) - index) * row), row, width)
        return frame

    def _row(self, frame: NDArray[np.uint8], one: Prediction, at: tuple[int, int], row: int, width: int) -> None:
        left, top = at
        most = width // 3
        bar = (left + max(1, round(most * one.score)), top + row - 3)
        cv2.rectangle(frame, (left, top), (left + most, top + row - 3), _GREY, -1)
        cv2.rectangle(frame, (left, top), bar, _GREEN, -1)
        text, size = f"{one.label} {one.score:.2f}", row - 5
        cv2.putText(frame, text, (left + 4, top + row - 6), _WHITE, self._font, size)
