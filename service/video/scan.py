"""The frames of a clip, one after the other, and the ways past those that nobody looks at.

Most frames are only grabbed, which decodes them and skips their conversion to pixels. Two shortcuts avoid the decoding
too, where the clip's packets are known: seeking, where key frames lie between the windows of the plan, and leaving out
frames that no other frame refers to, where there are several frames to each moment. Both are taken only as long as the
timestamps prove them right; where they do not, the scan begins anew without them and passes what it has passed already.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import cv2
import numpy as np

from service.errors import LimitExceeded
from service.video.preprocess import Frame
from service.video.probe import Probed
from service.video.source import Clip, Header, Limits, check_duration, check_size, nothing_decoded, open_clip

# Timestamps that do not grow are none: raw streams have no clock, so frames are then counted.
_SMALLEST_STEP_S = 1e-6
# OpenCV seeks to a key frame at least so many frames before the one asked for, and decodes from there.
_SEEK_MARGIN = 16
# Seeking opens a new group of pictures and empties the decoder, which costs about so many frames.
_SEEK_COST = 12
# A frame found by its number is off by less than this, in frames, if the clip's frames come evenly.
_SEEK_ERROR = 1.5

Checkpoint = Callable[[], None]
"""Called before every frame; raises to stop."""


@dataclass(frozen=True, slots=True)
class Shortcuts:
    """Which frames a scan may pass without decoding them.

    Attributes:
        key_times_s: where decoding can begin, growing.
        most_gap_s: frames that no other refers to are left out, as long as no two that are left are further apart
            than this; None keeps them all.
    """

    key_times_s: tuple[float, ...] = ()
    most_gap_s: float | None = None

    def landing_s(self, target_s: float, from_s: float, frame_s: float) -> float | None:
        """The key frame from which seeking to a time would decode, or None where scanning on costs no more."""
        place = bisect.bisect_right(self.key_times_s, target_s - _SEEK_MARGIN * frame_s)
        if not place or self.key_times_s[place - 1] - from_s < _SEEK_COST * frame_s:
            return None
        return self.key_times_s[place - 1]


EXACT = Shortcuts()
"""Every frame is decoded."""


def shortcuts(probed: Probed, plan_fps: float) -> tuple[Shortcuts, ...]:
    """The shortcuts for a clip of which so many moments a second are looked at.

    Seeking and leaving frames out exclude each other, since OpenCV finds its place by counting frames.
    """
    # Without a rate of its own the clip is timed by the frames that are decoded, all of them.
    if probed.index is None or probed.header.fps_source != "container" or probed.header.duration_s is None:
        return ()
    seeking = Shortcuts(key_times_s=probed.index.key_times_s)
    if probed.header.fps < _FEWEST_A_MOMENT * plan_fps:
        return (seeking,)
    return seeking, Shortcuts(most_gap_s=_MOST_GAP / plan_fps)


# Frames for each moment, below which every single one counts.
_FEWEST_A_MOMENT = 3.0
# The furthest that two frames may be apart, as a part of the time between two moments.
_MOST_GAP = 0.75


class Scan:
    """Grabs frame after frame and tells the time of each.

    Args:
        clip: its encoded bytes.
        limits: what it may cost.
        checkpoint: called before every frame.
        shortcuts: which frames may be passed undecoded; any but EXACT only in a process that opens one clip at a time.
        threads: in which FFmpeg decodes.

    Raises:
        ClipError: as `open_clip` does.
    """

    def __init__(
        self,
        clip: Clip,
        limits: Limits,
        checkpoint: Checkpoint = lambda: None,
        shortcuts: Shortcuts = EXACT,
        threads: int = 1,
    ) -> None:
        self._clip = clip
        self._limits = limits
        self._checkpoint = checkpoint
        self._shortcuts = shortcuts
        self._threads = threads
        self._capture, self.header = self._open()
        self.frames = 0
        self.first_s = self.last_s = -math.inf

    def _open(self) -> tuple[cv2.VideoCapture, Header]:
        keep_all = self._shortcuts.most_gap_s is None
        return open_clip(self._clip, self._limits, keep_all=keep_all, threads=self._threads)

    def __iter__(self) -> Iterator[float]:
        while self._grab():
            time_s = self._time_s()
            gap_s = self._shortcuts.most_gap_s
            if gap_s is not None and self.frames > 1 and time_s - self.last_s > gap_s:
                self._begin_anew()
                continue
            self._pass(time_s)
            yield time_s

    def _grab(self) -> bool:
        self._checkpoint()
        if not self._capture.grab():
            return False
        self.frames += 1
        if self.frames > self._limits.max_frames:
            raise LimitExceeded(
                "KINEMA_MAX_FRAMES",
                f"{self._limits.max_frames} frames",
                f"more than {self._limits.max_frames} frames would have to be decoded",
                "Cut the clip into shorter ones, or lower its frame rate.",
            )
        return True

    def _pass(self, time_s: float) -> None:
        if self.first_s == -math.inf:
            self.first_s = time_s
        self.last_s = time_s
        check_duration(time_s, self._limits)

    def _stated_s(self) -> float:
        return float(self._capture.get(cv2.CAP_PROP_POS_MSEC)) / 1000

    def _time_s(self) -> float:
        time_s = self._stated_s()
        if self.last_s == -math.inf:
            return time_s if math.isfinite(time_s) else 0.0
        if math.isfinite(time_s) and time_s > self.last_s + _SMALLEST_STEP_S:
            return time_s
        return self.last_s + 1 / self.header.fps

    def skip(self, time_s: float) -> None:
        """Lets the next frame be one shortly before a time, if that saves decoding; else does nothing.

        The frame grabbed last is lost, so that none can be retrieved before the next.
        """
        frame_s = 1 / self.header.fps
        target_s = time_s - 2 * frame_s
        landing_s = self._shortcuts.landing_s(target_s, max(self.last_s, 0.0), frame_s)
        if landing_s is None:
            return
        self._capture.set(cv2.CAP_PROP_POS_MSEC, target_s * 1000)
        if self._grab() and abs(self._stated_s() - target_s) < _SEEK_ERROR * frame_s:
            self.frames += round((target_s - landing_s) / frame_s)  # decoded by OpenCV on its way there
            self._pass(self._stated_s())
        else:
            self._begin_anew()

    def _begin_anew(self) -> None:
        """Decodes every frame from now on, up to where the scan has been."""
        self._shortcuts = EXACT
        passed_s, self.last_s = self.last_s, -math.inf
        self._capture, self.header = self._open()
        while self.last_s < passed_s and self._grab():
            self.last_s = self._time_s()

    @property
    def frame_s(self) -> float:
        """How long a frame lasts: by the container's rate, or else in the mean of those grabbed."""
        if self.header.fps_source == "container":
            return 1 / self.header.fps
        return (self.last_s - self.first_s) / (self.frames - 1) if self.frames > 1 else math.inf

    def retrieve(self) -> Frame:
        """The pixels of the frame grabbed last, BGR, rotation applied."""
        retrieved, frame = self._capture.retrieve()
        if not retrieved:
            raise nothing_decoded(self.header)
        check_size(frame.shape[1], frame.shape[0], self._limits)
        return np.asarray(frame, dtype=np.uint8)
