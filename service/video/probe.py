"""What a clip says of itself: its header, and where its packets lie. No frame is decoded."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2

from service.video.source import Clip, Header, Limits, open_clip

# More key frames than this are thinned out: those that are left serve as well to seek by.
_MOST_KEY_FRAMES = 1024


@dataclass(frozen=True, slots=True)
class Index:
    """The packets of a clip.

    Attributes:
        frames: how many there are; each holds a frame.
        key_times_s: timestamps of frames at which decoding can begin, growing; not always all of them.
    """

    frames: int
    key_times_s: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Probed:
    """What is known of a clip before it is decoded.

    Attributes:
        header: the container's word.
        index: None where the packets cannot be read apart from the frames.
    """

    header: Header
    index: Index | None


def probe(clip: Clip, limits: Limits) -> Probed:
    """Reads a clip's header and its packets.

    Raises:
        UnsupportedMedia: no video that this build can read.
        UndecodableClip: an MP4 without its index.
        LimitExceeded: the header is over a limit.
    """
    capture, header = open_clip(clip, limits, packets=True)
    frames, keys, last_key_s = 0, list[float](), -math.inf
    while frames <= limits.max_frames and capture.grab():
        frames += 1
        if capture.get(cv2.CAP_PROP_LRF_HAS_KEY_FRAME):
            time_s = capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
            if math.isfinite(time_s) and time_s > last_key_s:
                keys.append(time_s)
                last_key_s = time_s
    while len(keys) > _MOST_KEY_FRAMES:
        keys = keys[::2]
    return Probed(header, Index(frames, tuple(keys)) if frames else None)
