"""Folders of tiny clips, each unlike any other, for the tests of `model/folder/`."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import cv2
import numpy as np

from model.data.dataset import Clip
from model.folder.gather import Found, gather


@cache
def clip_bytes(seed: int, frames: int = 5) -> bytes:
    """A clip of so many frames of 64x48 at 10 fps, in MJPEG."""
    noise = np.random.default_rng(seed).integers(0, 255, (48, 64, 3), dtype=np.uint8)
    with TemporaryDirectory() as directory:
        path = Path(directory) / "clip.avi"
        writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10, (64, 48))
        for shift in range(frames):
            writer.write(np.roll(noise, shift, axis=1))
        writer.release()
        return path.read_bytes()


def fill(root: Path, *names: str, content: Mapping[str, bytes] | None = None) -> Path:
    """Writes a clip at each of the names, each of other content, and other files with the content given."""
    for seed, name in enumerate(names):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(clip_bytes(seed))
    for name, data in (content or {}).items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return root


def found_in(where: Path, clips: Path | None = None) -> Found:
    """What is found there; made clips go beside it."""
    return gather(where, clips, where.parent / "cache", jobs=1)


def labels(found: Found) -> dict[str, str]:
    """The label of each clip, by its name."""
    return dict(zip(found.names, (clip.label for clip in found.clips), strict=True))


def clips_named(*names: str, source: str = "") -> list[Clip]:
    """Clips that are names alone: `class/name`."""
    return [Clip(Path(name), name.split("/")[0], source, -1) for name in names]
