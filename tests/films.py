"""What a video that was written shows."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from service.video.source import NO_LIMITS, open_clip


def frames(path: Path) -> list[NDArray[np.uint8]]:
    """All frames, each uint8 [H, W, 3], BGR. Where clips are decoded OpenCV opens no file, so it reads from memory."""
    capture, _ = open_clip(path.read_bytes(), NO_LIMITS)
    shown = []
    while capture.grab():
        shown.append(np.asarray(capture.retrieve()[1], np.uint8))
    return shown
