"""A video that is decoded while it still arrives, such as a browser's MediaRecorder makes it."""

from __future__ import annotations

import io
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

import cv2

from service.errors import UndecodableClip, UnsupportedMedia
from service.video.preprocess import Frame
from service.video.source import CONFINED, OPTIONS, Limits, check_size, is_no_video, recognise

# FFmpeg would wait for seconds of frames to find out how many there are in one, which nobody asks.
_AT_ONCE = f"{CONFINED}|fpsprobesize;0"
# Decoding one frame takes a fraction of this; what takes more hangs, and ends the process.
_HANGS_S = 10.0
_CHUNK, _HEAD = 1 << 16, 512
_ONE_THREAD = (cv2.CAP_PROP_N_THREADS, 1)
_HOW = (
    "Send the chunks of a MediaRecorder as they come: WebM, or fragmented MP4 (`-movflags frag_keyframe+empty_moov`)."
)


class Pipe(io.BufferedIOBase):
    """The reading end of a pipe, for FFmpeg: it waits for what has not arrived yet, and there is no way back.

    Args:
        descriptor: of the pipe, which stays open.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._position = 0
        self._head = b""

    def readable(self) -> bool:
        return True

    def read(self, size: int | None = -1, /) -> bytes:
        most = size if size and size > 0 else _CHUNK
        data, self._head = self._head[:most], self._head[most:]
        data = data or os.read(self._descriptor, most)
        self._position += len(data)
        return data

    def head(self) -> bytes:
        """The first bytes, which are read again; fewer than it takes to recognise them where the pipe ends."""
        while len(self._head) < _HEAD and (more := os.read(self._descriptor, _CHUNK)):
            self._head += more
        return self._head

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """Stays where it is: FFmpeg looks where it has come to, and goes on without an index."""
        return self._position

    def tell(self) -> int:
        return self._position


class Arriving:
    """The frames of a video that arrives through a pipe.

    Args:
        pipe: where it comes from.
        limits: what its frames may cost.

    Raises:
        UnsupportedMedia: no video that can be read while it arrives.
        LimitExceeded: its frames have too many pixels.
    """

    def __init__(self, pipe: Pipe, limits: Limits) -> None:
        self._limits = limits
        self.frames = 0
        """Frames that came."""
        recognised = recognise(pipe.head())
        if is_no_video(recognised):  # FFmpeg would take a picture for a video of one frame
            raise UnsupportedMedia(f"this is {recognised}, not a video", _HOW, recognised)
        os.environ[OPTIONS] = _AT_ONCE
        try:
            # OpenCV's stubs name only their own stream class; what it accepts is any io.BufferedIOBase.
            with _hanging_ends():
                self._capture = cv2.VideoCapture(cast("cv2.IStreamReader", pipe), cv2.CAP_FFMPEG, _ONE_THREAD)
        except cv2.error as error:
            raise UnsupportedMedia("the bytes cannot be read as a video", _HOW) from error
        finally:
            os.environ[OPTIONS] = CONFINED
        if not self._capture.isOpened():
            raise UnsupportedMedia("no video that can be read while it arrives was found", _HOW)
        width, height = (int(self._capture.get(one)) for one in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT))
        check_size(width, height, limits)

    def __iter__(self) -> Iterator[float]:
        """The timestamps of frames in seconds, as they come.

        Raises:
            UndecodableClip: the video ended without a frame.
        """
        while self._grab():
            self.frames += 1
            yield self._capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
        if not self.frames:
            raise UndecodableClip("a video arrived, but not one frame of it could be decoded", _HOW)

    def _grab(self) -> bool:
        with _hanging_ends():
            return self._capture.grab()

    def retrieve(self) -> Frame | None:
        """The frame that came last, uint8 [H, W, 3], BGR; None where it is damaged.

        Raises:
            LimitExceeded: frames have become too large on the way.
        """
        there, frame = self._capture.retrieve()
        if not there:
            return None
        check_size(frame.shape[1], frame.shape[0], self._limits)
        return cast("Frame", frame)


@contextmanager
def _hanging_ends() -> Iterator[None]:
    """Ends the process, by SIGPROF, where the block takes too much CPU time; waiting for bytes takes none."""
    signal.setitimer(signal.ITIMER_PROF, _HANGS_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
