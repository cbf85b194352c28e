"""The golden clip of a bundle: a small clip that the model is sure of, and right about."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from model.data.dataset import Clip
from model.data.views import LIMITS
from service.errors import UndecodableClip
from service.video.scan import Scan

SMALL = 2**20
"""The most bytes of a clip that is taken as it is: every bundle carries it."""

_SIDE = 320
_FPS = 25.0
_ROUNDING_S = 1e-3


def golden_clip(
    clips: Sequence[Clip], scores: NDArray[np.float64], truth: NDArray[np.int64], window_s: float, made: Path
) -> Path:
    """Chooses the clip that the model is surest of, among those it is right about and that are small files.

    Where no file is small, a window of the surest clip is encoded anew, smaller.

    Args:
        clips: those that the model was trained on.
        scores: float64 [N, C], the model's.
        truth: int64 [N], the label of each.
        window_s: seconds that the model looks at in one window.
        made: where a clip that is encoded anew is put, without the ending of its name.

    Raises:
        ClipError: the clip to be encoded anew cannot be decoded.
    """
    right = scores.argmax(1) == truth
    best = scores.max(1)
    # Of clips that are as sure to three digits the smallest, and then the first by name: the same at every training.
    order = sorted(
        range(len(clips)),
        key=lambda place: (
            not right[place],
            -round(float(best[place]), 3),
            _size(clips[place]),
            clips[place].path.name,
        ),
    )
    small = [place for place in order if not clips[place].span and _size(clips[place]) <= SMALL]
    # Right and small before surer and large.
    if small and (right[small[0]] or not right[order[0]]):
        return clips[small[0]].path
    return _cut(clips[order[0]], window_s, made.with_suffix(".avi"))


def _size(clip: Clip) -> int:
    return clip.path.stat().st_size


def _cut(clip: Clip, window_s: float, made: Path) -> Path:
    """Encodes the beginning of a clip anew, in MJPEG, no side longer than 320 pixels."""
    # By its bytes and not by its name: where clips of strangers are decoded, FFmpeg may open no files.
    scan = Scan(clip.path.read_bytes(), LIMITS)
    fps = scan.header.fps if 1 <= scan.header.fps <= 240 else _FPS
    ends_s = min(clip.start_s + window_s, clip.end_s or float("inf"))
    writer: cv2.VideoWriter | None = None
    for moment_s in scan:
        if moment_s < clip.start_s - _ROUNDING_S:
            continue
        if moment_s >= ends_s - _ROUNDING_S and writer is not None:
            break
        frame = scan.retrieve()
        height, width = frame.shape[:2]
        shrink = min(1.0, _SIDE / max(height, width))
        size = (max(2, round(width * shrink)), max(2, round(height * shrink)))
        if writer is None:
            writer = cv2.VideoWriter(str(made), cv2.VideoWriter.fourcc(*"MJPG"), fps, size)
        writer.write(cv2.resize(frame, size, interpolation=cv2.INTER_AREA))
    if writer is None:
        raise UndecodableClip(f"no frame of {clip.path} could be decoded", "Name a golden clip with --golden.")
    writer.release()
    return made
