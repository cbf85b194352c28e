"""The ways past frames that nobody looks at: what they save, and that they never show another moment."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from service.errors import LimitExceeded
from service.video.decode import DecodeTask, MadePicture, decode
from service.video.probe import Index, Probed, probe
from service.video.sample import SamplingPlan
from service.video.scan import EXACT, Scan, Shortcuts, shortcuts
from service.video.source import NO_LIMITS, Header, Limits
from service.video.spec import PictureSpec
from service.video.work import Work, cheapest, work
from tests.samples import clip

FPS = 30
COUNT = 600
PLAN = SamplingPlan(num_clips=3, clip_len=4, fps=10, anchored=False)
LOOK = PictureSpec(name="look", picture="rgb", size=16, cadence=2)
TASK = DecodeTask(PLAN, (LOOK,), NO_LIMITS)


@pytest.fixture(scope="module")
def counting(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Twenty seconds of key frames, each of which shows its number in levels of grey."""
    path = tmp_path_factory.mktemp("clips") / "counting.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), FPS, (64, 48))
    for number in range(COUNT):
        frame = np.zeros((48, 64, 3), dtype=np.uint8)
        frame[:, :32], frame[:, 32:] = number % 25 * 10, number // 25 * 10
        writer.write(frame)
    writer.release()
    return path.read_bytes()


def number(scan: Scan) -> int:
    frame = scan.retrieve()
    return round(float(frame[:, :28].mean()) / 10) + 25 * round(float(frame[:, 36:].mean()) / 10)


def keys(data: bytes) -> Shortcuts:
    index = probe(data, NO_LIMITS).index
    assert index is not None
    return Shortcuts(index.key_times_s)


def made(data: bytes, task: DecodeTask) -> tuple[list[MadePicture], tuple[float, ...], int]:
    pictures: list[MadePicture] = []
    receipt = decode(data, task, pictures.append)
    return pictures, receipt.times_s, receipt.media.frames_decoded


def test_skipping_lets_the_next_frame_be_one_shortly_before(counting: bytes) -> None:
    scan = Scan(counting, NO_LIMITS, shortcuts=keys(counting))
    scan.skip(15.0)
    time_s = next(iter(scan))
    assert 15.0 - 2 / FPS <= time_s <= 15.0
    assert number(scan) == round(time_s * FPS), "the frame is the one of its timestamp"
    assert scan.frames < 25


def test_skipping_over_little_or_without_keys_decodes_on(counting: bytes) -> None:
    for scan, to_s in ((Scan(counting, NO_LIMITS, shortcuts=keys(counting)), 0.5), (Scan(counting, NO_LIMITS), 15.0)):
        scan.skip(to_s)
        assert next(iter(scan)) == 0.0
        assert number(scan) == 0


@pytest.mark.parametrize("name", ["h264.mp4", "vfr.mp4", "h264.ts"])
def test_a_key_frame_that_is_none_misleads_nobody(name: str) -> None:
    lies = Shortcuts((0.0, 0.9))
    pictures, times, _ = made(clip(name), replace(TASK, shortcuts=lies, start_s=1.6))
    expected, expected_times, _ = made(clip(name), replace(TASK, start_s=1.6))
    assert times == expected_times
    for one, other in zip(pictures, expected, strict=True):
        np.testing.assert_array_equal(one.pixels, other.pixels)


def test_seeking_gives_the_same_pictures_for_fewer_frames(counting: bytes) -> None:
    pictures, times, frames = made(counting, replace(TASK, shortcuts=keys(counting)))
    expected, expected_times, all_frames = made(counting, TASK)
    assert times == expected_times
    assert frames < 150
    assert all_frames > 500
    for one, other in zip(pictures, expected, strict=True):
        np.testing.assert_array_equal(one.pixels, other.pixels)


def test_leaving_frames_out_moves_a_moment_by_a_frame_at_most_and_says_so() -> None:
    _, times, frames = made(clip("h264.mp4"), replace(TASK, shortcuts=Shortcuts(most_gap_s=0.075)))
    _, exact, all_frames = made(clip("h264.mp4"), TASK)
    assert frames < all_frames
    assert times != exact
    np.testing.assert_allclose(times, exact, atol=1.01 / FPS)


def test_where_too_much_was_left_out_every_frame_is_decoded_from_there_on() -> None:
    all_times = list(Scan(clip("h264.mp4"), NO_LIMITS))
    scan = Scan(clip("h264.mp4"), NO_LIMITS, shortcuts=Shortcuts(most_gap_s=0.05))
    assert list(scan) == all_times
    assert scan.frames > len(all_times), "those before were decoded twice"


def test_frames_passed_by_seeking_count_towards_the_limit(counting: bytes) -> None:
    scan = Scan(counting, Limits(10**9, 1e9, 20), shortcuts=keys(counting))
    scan.skip(15.0)
    with pytest.raises(LimitExceeded):
        list(scan)


def probed(fps: float = 30.0, frames: int = 3000, keys: int = 10, **header: object) -> Probed:
    known = Header(1280, 720, fps, "container", frames / fps, "h264")
    spacing = frames / fps / keys
    return Probed(replace(known, **header), Index(frames, tuple(n * spacing for n in range(keys))))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "unknown", [probed(fps_source="assumed"), probed(duration_s=None), Probed(probed().header, None)], ids=str
)
def test_without_a_clock_and_an_index_there_are_no_shortcuts(unknown: Probed) -> None:
    assert shortcuts(unknown, 10) == ()
    assert cheapest(TASK, unknown)[0].shortcuts == EXACT


def test_frames_are_left_out_only_where_there_are_several_to_a_moment() -> None:
    assert [one.most_gap_s for one in shortcuts(probed(fps=30), 10)] == [None, pytest.approx(0.075)]
    assert [one.most_gap_s for one in shortcuts(probed(fps=25), 10)] == [None]


@pytest.mark.parametrize(
    ("clip_is", "way"),
    [
        (probed(keys=10), lambda one: one.key_times_s != ()),
        (probed(keys=1), lambda one: one.most_gap_s is not None),
        (probed(frames=60, keys=1), lambda one: one == EXACT),
    ],
    ids=["long, with keys", "long, one key", "short"],
)
def test_the_way_that_saves_most_is_taken_if_it_saves_enough(clip_is: Probed, way: Callable[[Shortcuts], bool]) -> None:
    task, left = cheapest(TASK, clip_is)
    assert way(task.shortcuts)
    assert left == work(task, clip_is)
    assert left.frames <= work(TASK, clip_is).frames


def test_work_is_what_the_plan_asks_of_the_clip() -> None:
    there = probe(clip("h264.mp4"), NO_LIMITS)
    assert work(TASK, there) == Work(frames=54, pixels=160 * 120, pictures={"look": 6})
    assert work(replace(TASK, start_s=5.0), there) == Work(0, 160 * 120, {})
    unknown = replace(there, header=replace(there.header, duration_s=None))
    assert work(TASK, unknown).frames == 2 * 54, "it is measured first"
    blind = Probed(replace(there.header, duration_s=None), None)
    assert work(replace(TASK, limits=Limits(10**9, 100, 500)), blind).frames == 1000, "at most what the limits allow"


def test_the_work_that_was_estimated_is_the_work_that_is_done(counting: bytes) -> None:
    for way in (TASK, replace(TASK, shortcuts=keys(counting))):
        _, _, frames = made(counting, way)
        assert work(way, probe(counting, NO_LIMITS)).frames == pytest.approx(frames, abs=12)


def test_many_key_frames_are_thinned_out(tmp_path: Path) -> None:
    path = tmp_path / "keys.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), FPS, (16, 16))
    for _ in range(2500):
        writer.write(np.zeros((16, 16, 3), dtype=np.uint8))
    writer.release()
    index = probe(path.read_bytes(), NO_LIMITS).index
    assert index is not None
    assert index.frames == 2500
    assert len(index.key_times_s) <= 1024
    assert index.key_times_s[-1] > 80
