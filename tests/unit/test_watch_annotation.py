"""The video with what was recognised drawn on it."""

from pathlib import Path

import numpy as np
import pytest

from service.watch import facts
from service.watch.annotation import CODECS, Annotation
from service.watch.answer import Answer, Prediction
from tests.films import frames

GREY = np.full((120, 161, 3), 128, np.uint8)
PREDICTIONS = (Prediction("golf", 0.75), Prediction("走る", 0.25))
ANSWER = Answer(1.0, PREDICTIONS, PREDICTIONS, 1.0, 1, 1, 0, 25.0, 10.0, 5.0)


def levels(path: Path) -> list[int]:
    return [round(float(frame[:60].mean()) / 10) for frame in frames(path)]


@pytest.mark.parametrize("suffix", CODECS)
def test_every_kind_of_file_plays(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"out{suffix.upper()}"
    one = Annotation(path)
    for index in range(10):
        assert one.write(GREY, index * 0.04, ANSWER, fps=25.0, jumped=False) == []
    one.close()
    shown = frames(path)
    assert len(shown) == 10
    assert shown[0].shape == (120, 160, 3)


def test_the_best_label_has_the_longest_bar_and_the_frame_is_left_as_it_is(tmp_path: Path) -> None:
    one = Annotation(tmp_path / "out.mp4")
    one.write(GREY, 0.0, ANSWER, fps=25.0, jumped=False)
    one.close()
    assert np.all(GREY == 128)
    (shown,) = frames(tmp_path / "out.mp4")
    green = (shown[..., 1].astype(int) - shown[..., 2] > 60).sum(axis=1)
    upper, lower = green[80:99].max(), green[99:].max()
    assert upper > 2 * lower > 0
    assert abs(float(shown[:70].mean()) - 128) < 5


def test_frames_are_held_or_left_out_so_that_times_are_the_sources(tmp_path: Path) -> None:
    one = Annotation(tmp_path / "out.mp4")
    for level, time_s in ((50, 5.0), (100, 5.1), (150, 5.14), (200, 5.5)):
        one.write(np.full((120, 160, 3), level, np.uint8), time_s, None, fps=10.0, jumped=False)
    one.close()
    assert levels(tmp_path / "out.mp4") == [5, 10, 10, 10, 10, 20]


def test_what_was_jumped_over_is_cut_out(tmp_path: Path) -> None:
    one = Annotation(tmp_path / "out.mp4")
    for level, time_s in ((50, 5.0), (100, 5.1), (150, 3605.0), (200, 3605.1)):
        one.write(np.full((120, 160, 3), level, np.uint8), time_s, None, fps=10.0, jumped=time_s == 3605)
    one.close()
    assert levels(tmp_path / "out.mp4") == [5, 10, 15, 20]


def test_frames_of_another_size_are_fitted(tmp_path: Path) -> None:
    one = Annotation(tmp_path / "out.mp4")
    for index, size in enumerate(((120, 160), (240, 320))):
        one.write(np.full((*size, 3), 100, np.uint8), index * 0.1, None, fps=10.0, jumped=False)
    one.close()
    assert [frame.shape for frame in frames(tmp_path / "out.mp4")] == [(120, 160, 3)] * 2


def test_a_file_that_cannot_be_written_is_told_once(tmp_path: Path) -> None:
    one = Annotation(tmp_path / "not-there" / "out.mp4")
    (trouble,) = one.write(GREY, 0.0, None, fps=None, jumped=False)
    assert isinstance(trouble, facts.Trouble)
    assert one.write(GREY, 0.1, None, fps=None, jumped=False) == []
    one.close()
