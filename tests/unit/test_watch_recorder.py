"""Clips around events: what is in them, when it was, and what they cost."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from service.watch import facts
from service.watch.answer import Event
from service.watch.matroska import Matroska
from service.watch.recorder import Recorder, SaveOptions
from service.watch.ring import Ring, Still
from tests.films import frames
from tests.require import need

# A camera that slows down, and a network that stalls.
TIMES_S = [*(index * 0.04 for index in range(50)), *(2.0 + index * 0.1 for index in range(30)), 6.517, 6.6, 6.9, 9.0]


def grey(time_s: float, size: tuple[int, int] = (48, 64)) -> NDArray[np.uint8]:
    return np.full((*size, 3), round(time_s * 20) % 256, np.uint8)


def recorder(tmp_path: Path, **options: Any) -> Recorder:
    return Recorder(SaveOptions(tmp_path, **{"before_s": 1.0, "after_s": 1.0, **options}), "a camera", lambda _: None)


def play(one: Recorder, times_s: list[float]) -> list[facts.Fact]:
    return [fact for time_s in times_s for fact in one.add(time_s, grey(time_s))]


def pts(path: Path) -> list[float]:
    need("ffmpeg", shutil.which("ffprobe") is not None, "it reads the clips that were written")
    command = ["ffprobe", "-v", "error", "-show_entries", "packet=pts_time", "-of", "csv=p=0", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return [float(line.strip(",")) for line in done.stdout.split()]


def test_a_clip_has_the_frames_around_an_event_at_their_own_times(tmp_path: Path) -> None:
    one = recorder(tmp_path)
    play(one, [time_s for time_s in TIMES_S if time_s < 2.5])
    assert one.event(Event("golf", 2.0, None, 0.9)) == []
    play(one, [time_s for time_s in TIMES_S if 2.5 <= time_s < 5])
    one.event(Event("golf", 2.0, 4.5, 0.95))
    (saved,) = play(one, [time_s for time_s in TIMES_S if time_s >= 5])
    assert isinstance(saved, facts.Saved)
    inside = [time_s for time_s in TIMES_S if 1.0 <= time_s <= 5.5]
    assert (saved.start_s, saved.end_s, saved.frames) == (inside[0], inside[-1], len(inside))
    assert pts(Path(saved.path)) == pytest.approx([time_s - inside[0] for time_s in inside], abs=0.0006)
    told = json.loads(Path(saved.path).with_suffix(".json").read_text())
    assert told.pop("frames_s") == pytest.approx(inside)
    assert told == {
        "source": "a camera", "label": "golf", "start_s": 2.0, "end_s": 4.5, "peak": 0.95,
        "at": None, "whole": True, "first_frame_at": None,
    }  # fmt: skip


def test_the_pictures_of_a_clip_are_those_of_its_times(tmp_path: Path) -> None:
    one = recorder(tmp_path)
    play(one, TIMES_S[:60])
    one.event(Event("golf", 1.5, 2.0, 0.9))
    one.finish()
    shown = [float(frame.mean()) for frame in frames(next(tmp_path.glob("*.mkv")))]
    assert shown == pytest.approx([grey(time_s).mean() for time_s in TIMES_S[:60] if time_s >= 0.5], abs=3)


def test_an_event_that_is_told_late_and_as_a_whole_has_its_clip(tmp_path: Path) -> None:
    one = recorder(tmp_path)
    play(one, TIMES_S)
    (saved,) = one.event(Event("golf", 1.5, 2.0, 0.9))
    assert isinstance(saved, facts.Saved)
    assert (saved.start_s, saved.end_s) == pytest.approx((0.52, 3.0))
    assert one.event(Event("golf", 1.5, 2.0, 0.9)) == []


def test_events_at_the_same_time_have_a_clip_each(tmp_path: Path) -> None:
    one = recorder(tmp_path)
    play(one, TIMES_S[:60])
    for label in ("golf", "stand / sit", "sit stand"):
        one.event(Event(label, 1.5, None, 0.9))
    assert len(one.finish()) == 3
    assert sorted(path.name for path in tmp_path.glob("*.mkv")) == [
        "000001.500s_golf.mkv", "000001.500s_sit_stand.mkv", "000001.500s_stand_sit.mkv",
    ]  # fmt: skip


def test_clips_of_one_name_are_kept_beside_each_other(tmp_path: Path) -> None:
    for name in ("000001.500s_golf.mkv", "000001.500s_golf_2.mkv"):
        one = recorder(tmp_path)
        play(one, TIMES_S[:60])
        one.event(Event("golf", 1.5, None, 0.9))
        assert [Path(fact.path).name for fact in one.finish() if isinstance(fact, facts.Saved)] == [name]


def test_an_event_that_goes_on_is_cut_off_once(tmp_path: Path) -> None:
    one = recorder(tmp_path, longest_s=2.0)
    play(one, TIMES_S[:45])
    one.event(Event("golf", 1.5, None, 0.9))
    (saved,) = play(one, TIMES_S[45:])
    assert isinstance(saved, facts.Saved)
    assert saved.end_s - saved.start_s == pytest.approx(2.0, abs=0.1)
    assert one.event(Event("golf", 1.5, 8.0, 0.9)) == []
    assert one.finish() == []
    assert not json.loads(Path(saved.path).with_suffix(".json").read_text())["whole"]


def test_a_clip_that_lacks_its_beginning_says_so(tmp_path: Path) -> None:
    one = recorder(tmp_path, most_bytes=20 * len(cv2.imencode(".jpg", grey(1.0))[1]))
    play(one, TIMES_S[:60])
    one.event(Event("golf", 1.5, None, 0.9))
    (saved,) = one.finish()
    assert isinstance(saved, facts.Saved)
    assert saved.start_s > 1.0
    assert not json.loads(Path(saved.path).with_suffix(".json").read_text())["whole"]


def test_an_event_of_which_nothing_is_kept_any_more_is_told(tmp_path: Path) -> None:
    (trouble,) = recorder(tmp_path).event(Event("golf", 1.5, None, 0.9))
    assert isinstance(trouble, facts.Trouble)
    assert trouble.lost == 1


def test_pictures_of_another_size_end_a_clip(tmp_path: Path) -> None:
    one = recorder(tmp_path)
    play(one, TIMES_S[:45])
    one.event(Event("golf", 1.5, None, 0.9))
    (saved,) = one.add(1.9, grey(1.9, (96, 128)))
    assert isinstance(saved, facts.Saved)
    assert saved.end_s < 1.9


def test_a_disk_that_fails_costs_the_clip_alone(tmp_path: Path) -> None:
    one = recorder(tmp_path / "clips")
    play(one, TIMES_S[:45])
    one.event(Event("golf", 1.5, None, 0.9))
    shutil.rmtree(tmp_path / "clips")
    one.event(Event("walk", 1.6, None, 0.9))
    told = [*play(one, TIMES_S[45:60]), *one.event(Event("run", 1.7, None, 0.9)), *one.finish()]
    assert [fact.lost for fact in told if isinstance(fact, facts.Trouble)] == [2, 3]
    (tmp_path / "clips").mkdir()
    one.event(Event("jump", 1.8, None, 0.9))
    assert [type(fact) for fact in one.finish()] == [facts.Saved]


def test_a_clip_that_was_cut_off_plays_as_far_as_it_goes(tmp_path: Path) -> None:
    path = tmp_path / "cut.mkv"
    jpeg = cv2.imencode(".jpg", grey(1.0))[1].tobytes()
    file = Matroska(path, 64, 48, at=1_790_000_000.5)
    for index in range(20):
        file.write(index * 0.1, jpeg)
    file.close()
    path.write_bytes(path.read_bytes()[: -len(jpeg) // 2])
    need("ffmpeg", shutil.which("ffprobe") is not None, "it reads the clips that were written")
    command = ["ffprobe", "-v", "fatal", "-count_frames", "-show_entries"]
    command += ["stream=nb_read_frames:format_tags=creation_time", "-of", "csv=p=0", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    frames, made_at = done.stdout.split()
    assert int(frames) >= 19
    assert made_at.startswith("2026-09-21T14:13:20.5")


def test_a_ring_keeps_so_many_seconds_and_so_many_bytes() -> None:
    ring = Ring(2.0, 1000)
    for index in range(100):
        ring.push(Still(index * 0.1, b"x" * 10, 1, 1))
    assert [still.time_s for still in ring.since(0)] == pytest.approx(
        [index * 0.1 for index in range(79, 100)], abs=0.11
    )
    ring.push(Still(10.0, b"x" * 900, 1, 1))
    assert ring.bytes <= 1000
    ring.push(Still(10.1, b"x" * 2000, 1, 1))
    assert ring.bytes == 0
