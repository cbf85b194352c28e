"""Clips in folders are found however the folders lie, and what is no clip is told or passed over."""

import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from model.data.dataset import NO_FOLD, DataError
from model.folder.frames import frames_of
from model.folder.look import Looker, Seen
from service.video.scan import Scan
from service.video.source import NO_LIMITS
from tests.samples import clip
from tests.unit.folder_clips import clip_bytes, fill, found_in, labels

TWO = ("run/a.avi", "walk/b.avi")


def test_a_folder_for_each_class(tmp_path: Path) -> None:
    root = fill(tmp_path / "clips", "run/a10.avi", "run/a2.avi", "walk/session1/b.avi")
    found = found_in(root)
    assert found.layout == f"a folder for each class in {root}: 2 classes"
    assert labels(found) == {"run/a2.avi": "run", "run/a10.avi": "run", "walk/session1/b.avi": "walk"}
    assert list(labels(found)) == ["run/a2.avi", "run/a10.avi", "walk/session1/b.avi"]
    assert not found.skipped
    assert not found.notes
    first, seen = found.clips[0], found.seen[0]
    assert (first.source, first.fold, first.split, first.span) == ("", NO_FOLD, "", "")
    assert first.path == seen.path == root / "run/a2.avi"
    assert (seen.width, seen.height, seen.fps, seen.duration_s) == (64, 48, 10, 0.5)


@pytest.mark.parametrize("validation", ["val", "valid", "Validation"])
def test_folders_for_train_validation_and_test(tmp_path: Path, validation: str) -> None:
    names = [f"{part}/{name}" for part in ("train", validation, "test") for name in TWO]
    found = found_in(fill(tmp_path / "clips", *names, content={"docs/readme.md": b"about"}))
    assert {(one.split, one.label) for one in found.clips} == {
        (part, label) for part in ("train", "val", "test") for label in ("run", "walk")
    }
    assert f"the folders test, train and {validation}" in found.layout or f"{validation}, test" in found.layout
    assert "in each a folder for each class: 2 classes" in found.layout


def test_a_class_named_like_a_part_is_a_class_beside_others(tmp_path: Path) -> None:
    assert set(labels(found_in(fill(tmp_path / "clips", "train/a.avi", "plane/b.avi"))).values()) == {"train", "plane"}


def test_an_unpacked_archive_is_entered(tmp_path: Path) -> None:
    root = fill(tmp_path / "clips", *(f"data/{name}" for name in TWO), content={"__MACOSX/data/._a.avi": b"x"})
    found = found_in(root)
    assert labels(found) == {"data/run/a.avi": "run", "data/walk/b.avi": "walk"}
    assert found.skipped == ()


def write_frames(folder: Path, numbers: list[int], seed: int, name: str = "{:06d}.jpg") -> None:
    folder.mkdir(parents=True)
    noise = np.random.default_rng(seed).integers(0, 255, (48, 64, 3), dtype=np.uint8)
    for number in numbers:
        cv2.imwrite(str(folder / name.format(number)), np.roll(noise, number, axis=1))


@pytest.mark.parametrize("part", ["", "train/"])
def test_folders_of_frames(tmp_path: Path, part: str) -> None:
    root = tmp_path / "clips"
    write_frames(root / f"{part}run/one", [1, 2, 3, 7, 8, 10], seed=1, name="{}.jpg")
    write_frames(root / f"{part}walk/two", [1, 2, 3], seed=2)
    (root / f"{part}walk/two/000002.jpg").write_bytes(b"broken")
    found = found_in(root)
    assert found.layout.endswith("; each clip is a folder of frames")
    assert labels(found) == {f"{part}run/one": "run", f"{part}walk/two": "walk"}
    assert [one.path.name for one in found.clips] == ["one.avi", "two.avi"]
    assert [one.duration_s for one in found.seen] == pytest.approx([6 / 25, 2 / 25])
    assert found.notes == ("the frames of 2 folders are taken as 25 a second",)
    assert {one.split for one in found.clips} == {part.strip("/")}
    # The last frame of the first clip is what its picture shows, without loss.
    scan = Scan(found.clips[0].path.read_bytes(), NO_LIMITS)
    times = iter(scan)
    frames = [scan.retrieve() for _ in times]
    assert len(frames) == 6
    np.testing.assert_array_equal(frames[-1], cv2.imread(str(root / f"{part}run/one/10.jpg")))
    before = found.clips[0].path.stat().st_mtime_ns
    assert found_in(root).clips[0].path.stat().st_mtime_ns == before  # made once


def test_pictures_of_flow_are_no_frames(tmp_path: Path) -> None:
    for name in ("img_{:05d}.jpg", "flow_x_{:05d}.jpg", "flow_y_{:05d}.jpg"):
        for number in range(9, 12):
            (tmp_path / name.format(number)).write_bytes(b"x")
    assert [path.name for path in frames_of(tmp_path)] == ["img_00009.jpg", "img_00010.jpg", "img_00011.jpg"]


def test_what_cannot_be_used_is_told_and_what_belongs_to_a_system_is_not(tmp_path: Path) -> None:
    content = {
        "run/empty.mp4": b"",
        "run/broken.mp4": b"\0\0\0\x18ftypmp42" + bytes(100),
        "run/notes.mp4": b"no video at all\n",
        "run/sound.mp3": clip("audio.mp3"),
        "run/cut.webm": clip("cut-no-frame.webm"),
        "run/thumbnail.jpg": clip("picture.jpg"),
        "run/a.json": b"{}",
        "run/a.txt": b"beside",
        "run/.DS_Store": b"x",
        "run/.hidden.mp4": b"x",
        "walk/Thumbs.db": b"x",
        "loose.avi": clip_bytes(99),
        "pictures/1.jpg": clip("picture.jpg"),
        "nothing/readme.txt": b"x",
    }
    found = found_in(fill(tmp_path / "clips", *TWO, content=content))
    assert set(labels(found)) == set(TWO)
    reasons = {one.path.name: one.reason for one in found.skipped}
    assert reasons.keys() == {
        *("empty.mp4", "broken.mp4", "notes.mp4", "sound.mp3", "cut.webm", "loose.avi", "pictures"),
    }
    assert reasons["empty.mp4"] == "it is empty"
    assert "cut off before its index" in reasons["broken.mp4"] or "no video track" in reasons["broken.mp4"]
    assert reasons["notes.mp4"] == "this is text, not a video"
    assert "no video track" in reasons["sound.mp3"]
    assert "no video track" in reasons["cut.webm"]
    assert reasons["loose.avi"] == "it lies in no class's folder"
    assert reasons["pictures"].startswith("holds 1 picture and no clip")


def test_videos_are_told_by_their_content_where_their_names_do_not(tmp_path: Path) -> None:
    found = found_in(fill(tmp_path / "clips", "run/a", "walk/b.video"))
    assert set(labels(found)) == {"run/a", "walk/b.video"}


def test_links_in_a_circle_are_walked_once(tmp_path: Path) -> None:
    root = fill(tmp_path / "clips", *TWO)
    (root / "run/again").symlink_to(root / "run", target_is_directory=True)
    assert set(labels(found_in(root))) == set(TWO)


def test_the_same_content_counts_once_and_under_two_labels_not_at_all(tmp_path: Path) -> None:
    one, other = clip_bytes(50), clip_bytes(51)
    content = {"run/1.avi": one, "run/2.avi": one, "run/x.avi": other, "walk/x.avi": other}
    found = found_in(fill(tmp_path / "clips", *TWO, content=content))
    assert set(labels(found)) == {*TWO, "run/1.avi"}
    reasons = {one.path.relative_to(tmp_path / "clips").as_posix(): one.reason for one in found.skipped}
    assert reasons["run/2.avi"] == "it is the same as run/1.avi, byte for byte"
    assert "labelled run, and walk/x.avi with the same content walk" in reasons["run/x.avi"]
    assert "labelled walk" in reasons["walk/x.avi"]
    assert found.notes == (
        "2 clips with the same content under two labels: none of them is used",
        "1 clip left out as a copy of another",
    )


def test_of_copies_on_both_sides_of_a_split_the_one_to_test_on_stays(tmp_path: Path) -> None:
    names = [f"{part}/{name}" for part in ("train", "test") for name in TWO]
    same = {"train/run/s.avi": clip_bytes(60), "test/run/s.avi": clip_bytes(60)}
    found = found_in(fill(tmp_path / "clips", *names, content=same))
    assert "test/run/s.avi" in labels(found)
    assert "train/run/s.avi" not in labels(found)
    assert "1 of them lay on both sides of your split" in found.notes[0]


@pytest.mark.parametrize(
    ("names", "said"),
    [
        ((), "holds no clip"),
        (("a.avi", "b.avi"), "2 files left out, such as a.avi: it lies in no class's folder"),
        (("run/a.avi", "run/b.avi"), "holds clips of one class, run"),
    ],
)
def test_nothing_to_train_on_is_said(tmp_path: Path, names: tuple[str, ...], said: str) -> None:
    (tmp_path / "clips").mkdir()
    with pytest.raises(DataError, match=said) as caught:
        found_in(fill(tmp_path / "clips", *names))
    assert caught.value.advice


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no file or directory"):
        found_in(tmp_path / "none")


class Crashing(Looker):
    """Looks at files with a decoder that some of them crash."""

    def look(self, path: Path) -> Seen | str:
        if path.name.startswith("crash"):
            os._exit(1)
        return super().look(path)


def test_a_file_that_crashes_its_decoder_costs_itself_alone(tmp_path: Path) -> None:
    root = fill(tmp_path, "a.avi", "b.avi", "crash.avi", "c.avi", "crash too.avi")
    watched: list[tuple[int, int]] = []
    paths = sorted(root.iterdir())
    seen = dict(Crashing(tmp_path, 25).look_all(paths, 2, lambda *now: watched.append(now)))
    assert {path.name for path, one in seen.items() if isinstance(one, Seen)} == {"a.avi", "b.avi", "c.avi"}
    assert {one for one in seen.values() if isinstance(one, str)} == {"it crashes its decoder"}
    assert watched == [(done, 5) for done in range(1, 6)]
