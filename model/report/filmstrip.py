"""A few frames of a clip side by side, to recognise it by."""

from __future__ import annotations

import cv2
import numpy as np

from service.errors import ClipError
from service.video.preprocess import Frame, Picture
from service.video.scan import Scan
from service.video.source import Clip, Limits

# A clip that cannot be shown within these is not worth the wait: it is only to be recognised.
_LONGEST_S = 60.0
_LIMITS = Limits(max_pixels=4096 * 4096, max_duration_s=24 * 3600, max_frames=4000)
_UNKNOWN_S = 2.0
_GAP = 2


def filmstrip(
    clip: Clip, start_s: float = 0.0, end_s: float | None = None, frames: int = 4, height: int = 108
) -> Picture | None:
    """Frames spread evenly over a span of a clip, or over its first minute if it is longer, in a row.

    Args:
        clip: its encoded bytes.
        start_s: where the span begins, in seconds.
        end_s: where it ends; None means with the clip.
        frames: how many; fewer where the clip has fewer.
        height: in pixels; their width is as the clip has it, but at most twice as much.

    Returns:
        uint8 [height, W, 3], RGB; None of a clip of which nothing can be decoded.
    """
    shown: list[Picture] = []
    try:
        scan = Scan(clip, _LIMITS)
        ends_s = end_s or scan.header.duration_s or start_s + _UNKNOWN_S
        span_s = min(ends_s - start_s, _LONGEST_S)
        for time_s in scan:
            if time_s - start_s >= span_s * (len(shown) + 0.5) / frames - 1e-3:
                shown.append(_small(scan.retrieve(), height))
            if len(shown) == frames:
                break
    except ClipError:
        pass  # what has been decoded so far is shown
    if not shown:
        return None
    gap = np.full((height, _GAP, 3), 128, dtype=np.uint8)
    row = [part for picture in shown for part in (gap, picture)][1:]
    return np.concatenate(row, axis=1)


def _small(frame: Frame, height: int) -> Picture:
    width = min(2 * height, max(1, round(frame.shape[1] * height / frame.shape[0])))
    small = cv2.resize(frame, (width, height), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.cvtColor(small, cv2.COLOR_BGR2RGB), dtype=np.uint8)
