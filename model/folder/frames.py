"""Folders of frames, made into clips that are decoded as any other."""

from __future__ import annotations

import hashlib
import os
import re
from collections import defaultdict
from pathlib import Path

import cv2
import numpy as np

from model.folder.candidate import PICTURES, hidden, kind
from model.folder.words import natural
from service.errors import UndecodableClip

# FFV1 loses nothing and every build of FFmpeg reads it; it costs about twice what JPEG of high quality would.
_CODEC, _ENDING = "FFV1", "avi"
_NUMBER = re.compile(r"\d+$")
# In data sets of optical flow, its pictures lie beside the frames.
_FLOW = re.compile(r"(?:^|[_-])(?:flow|depth|mask|[uvxy])(?:[_-]|$)", re.IGNORECASE)


def frames_of(folder: Path) -> list[Path]:
    """The frames in a folder, in the order of their numbers: of several series of pictures, the one of frames."""
    series: defaultdict[str, list[Path]] = defaultdict(list)
    for path in folder.iterdir():
        if kind(path) in PICTURES and not hidden(path.name):
            series[_NUMBER.sub("", path.stem)].append(path)
    largest = max(series, key=lambda name: (not _FLOW.search(name), len(series[name]), name), default="")
    chosen = series.get(largest, [])
    if len(chosen) == 1:  # names without numbers
        chosen = [path for one in series.values() for path in one]
    return sorted(chosen, key=lambda path: natural(path.name))


def clip_of_frames(folder: Path, fps: float, cache: Path) -> Path:
    """Makes a clip of the frames in a folder, without loss, or finds the one made before.

    Numbers that are missing leave no gap; pictures that cannot be read are left out; all get the size of the first.

    Args:
        folder: where the frames lie.
        fps: at which they were taken.
        cache: the directory for clips that are made; the clip's name tells its content and keeps the folder's name.

    Raises:
        UndecodableClip: no picture in it can be read.
        OSError: the folder cannot be read, or the clip not written.
    """
    frames = frames_of(folder)
    digest = hashlib.sha256(f"{_CODEC} {fps}".encode())
    for frame in frames:
        with frame.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    made = cache / "frames" / digest.hexdigest()[:32] / f"{folder.name}.{_ENDING}"
    if not made.is_file():
        made.parent.mkdir(parents=True, exist_ok=True)
        unfinished = made.parent / f"{os.getpid()}.{_ENDING}"
        try:
            _write(frames, fps, unfinished)
            unfinished.replace(made)
        finally:
            unfinished.unlink(missing_ok=True)
    return made


def _write(frames: list[Path], fps: float, path: Path) -> None:
    writer: cv2.VideoWriter | None = None
    size = (0, 0)
    for frame in frames:
        # cv2.imread takes no name that is not UTF-8.
        data = np.frombuffer(frame.read_bytes(), np.uint8)
        pixels = cv2.imdecode(data, cv2.IMREAD_COLOR) if data.size else None
        if pixels is None:
            continue
        if writer is None:
            size = (pixels.shape[1], pixels.shape[0])
            writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*_CODEC), fps, size)
        if (pixels.shape[1], pixels.shape[0]) != size:
            pixels = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
        writer.write(pixels)
    if writer is None:
        raise UndecodableClip("not one of its pictures can be read")
    writer.release()
