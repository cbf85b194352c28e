"""The golden clip of a bundle: one that the model is sure of and right about, as it is where its file is small."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from model.bundle import golden
from model.bundle.golden import golden_clip
from model.data.dataset import Clip
from model.data.views import LIMITS
from service.errors import ClipError
from service.video.scan import Scan

FPS, SIDES = 10.0, (640, 360)
TRUTH = np.array([0, 1, 0])
SCORES = np.array([[0.7, 0.3], [0.2, 0.8], [0.1, 0.9]])  # the last is surest, and wrong


def write_grey(path: Path, frames: int = 20) -> Path:
    """Writes frames of which each is lighter by ten than the one before."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), FPS, SIDES)
    for number in range(frames):
        writer.write(np.full((SIDES[1], SIDES[0], 3), 20 + 10 * number, dtype=np.uint8))
    writer.release()
    return path


def frames_of(path: Path) -> list[NDArray[np.uint8]]:
    scan = Scan(path.read_bytes(), LIMITS)
    found = [np.asarray(scan.retrieve(), dtype=np.uint8) for _ in scan]
    assert scan.header.fps == FPS
    return found


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> tuple[Clip, ...]:
    directory = tmp_path_factory.mktemp("golden")
    return tuple(Clip(write_grey(directory / f"{number}.avi"), "ab"[number % 2], "", 0) for number in range(3))


def test_the_surest_of_those_that_are_right_is_taken_as_it_is(clips: tuple[Clip, ...], tmp_path: Path) -> None:
    assert golden_clip(clips, SCORES, TRUTH, 1.0, tmp_path / "golden") == clips[1].path
    assert not list(tmp_path.iterdir())


def test_of_clips_that_are_as_sure_the_first_by_name_is_taken(clips: tuple[Clip, ...], tmp_path: Path) -> None:
    alike = np.array([[0.8001, 0.1999], [0.2, 0.8], [0.8002, 0.1998]])
    assert golden_clip(clips[::-1], alike[::-1], TRUTH[::-1], 1.0, tmp_path / "golden") == clips[0].path


def test_a_clip_of_which_only_a_span_is_labelled_is_encoded_anew_and_smaller(
    clips: tuple[Clip, ...], tmp_path: Path
) -> None:
    spans = [replace(clip, start_s=0.5, end_s=1.2) for clip in clips]
    made = golden_clip(spans, SCORES, TRUTH, 5.0, tmp_path / "golden")
    assert made == tmp_path / "golden.avi"
    frames = frames_of(made)
    assert {frame.shape for frame in frames} == {(180, 320, 3)}
    # Frames 5 to 11 lie within the span.
    assert [round((float(frame.mean()) - 20) / 10) for frame in frames] == list(range(5, 12))


def test_of_a_large_file_no_more_is_encoded_than_a_window(
    clips: tuple[Clip, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(golden, "SMALL", 10)
    made = golden_clip(clips, SCORES, TRUTH, 0.6, tmp_path / "golden")
    assert [round((float(frame.mean()) - 20) / 10) for frame in frames_of(made)] == list(range(6))


def test_right_and_large_comes_before_small_and_wrong(
    clips: tuple[Clip, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = Clip(write_grey(tmp_path / "small.avi", frames=2), "a", "", 0)
    monkeypatch.setattr(golden, "SMALL", small.path.stat().st_size)
    assert golden_clip((clips[0], small), SCORES[[0, 2]], TRUTH[[0, 2]], 1.0, tmp_path / "golden").stem == "golden"
    assert golden_clip((clips[0], small), SCORES[[2, 2]], TRUTH[[0, 2]], 1.0, tmp_path / "golden") == small.path


def test_what_cannot_be_decoded_is_no_golden_clip(tmp_path: Path) -> None:
    broken = tmp_path / "broken.avi"
    broken.write_bytes(b"RIFF, but no video")
    spans = [Clip(broken, "a", "", 0, end_s=1.0)]
    with pytest.raises(ClipError):
        golden_clip(spans, SCORES[:1], TRUTH[:1], 1.0, tmp_path / "golden")
