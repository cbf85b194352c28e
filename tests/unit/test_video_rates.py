"""Clips whose container states no frame rate that a camera could have."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from service.video.decode import Decoded, DecodeTask, decode
from service.video.sample import SamplingPlan
from service.video.source import Limits
from service.video.spec import PictureSpec

PLAN = SamplingPlan(num_clips=1000, clip_len=1, fps=2, anchored=False)
LOOK = PictureSpec(name="look", picture="rgb", size=16, cadence=1)
LIMITS = Limits(max_pixels=1_000_000, max_duration_s=600, max_frames=10_000)


def look(data: bytes) -> Decoded:
    return decode(data, DecodeTask(PLAN, (LOOK,), LIMITS), lambda made: None)


def animation(extension: str, frames: int, frame_ms: int) -> bytes:
    """An animated picture, each frame of which is shown for so many milliseconds."""
    shown = cv2.Animation()
    shown.frames = [np.full((48, 64, 3), 20 * index, dtype=np.uint8) for index in range(frames)]
    shown.durations = [frame_ms] * frames
    encoded, data = cv2.imencodeanimation(extension, shown)
    assert encoded
    return data.tobytes()


def motion_jpeg(path: Path, fps: float, count: int) -> bytes:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), fps, (64, 48))
    for index in range(count):
        writer.write(np.full((48, 64, 3), index % 256, dtype=np.uint8))
    writer.release()
    return path.read_bytes()


@pytest.mark.parametrize("frames", [1, 2, 5])
def test_a_slide_show_lasts_as_long_as_its_container_says_and_was_not_cut_off(frames: int) -> None:
    decoded = look(animation(".gif", frames, 5000))
    assert (decoded.media.duration_s, decoded.media.fps_source) == (5 * frames, "assumed")
    assert not any("cut off" in warning for warning in decoded.warnings)


def test_a_rate_that_no_container_states_is_measured() -> None:
    decoded = look(animation(".png", 4, 5000))
    assert (decoded.media.duration_s, decoded.media.fps) == (20, 0.2)
    assert decoded.media.fps_source == "timestamps"
    assert set(decoded.times_s) == {0, 5, 10, 15}


def test_a_rate_that_no_camera_has_is_not_believed_but_the_times_are(tmp_path: Path) -> None:
    decoded = look(motion_jpeg(tmp_path / "clip.avi", 1000, 2000))
    assert (decoded.media.duration_s, decoded.media.fps, decoded.media.fps_source) == (2, 25, "assumed")
    assert decoded.times_s == pytest.approx((0, 0.5, 1, 1.5), abs=0.011)  # within a quarter of an assumed frame
    assert decoded.warnings == ()


def test_a_clip_of_an_assumed_rate_that_was_cut_off_is_warned_of(tmp_path: Path) -> None:
    whole = motion_jpeg(tmp_path / "clip.avi", 1000, 8000)
    decoded = look(whole[: len(whole) // 2])
    assert 3 < decoded.media.duration_s < 5
    assert "although its header says 8.00 s: cut off?" in decoded.warnings[0]
