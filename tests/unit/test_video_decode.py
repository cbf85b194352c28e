"""Decoding: every container and codec, its times, its limits, its spans; and what is said of a clip that is broken."""

import io
import tracemalloc
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from service.errors import LimitExceeded, SpanOutsideClip, UndecodableClip, UnsupportedMedia
from service.video.decode import Decoded, DecodeTask, MadePicture, decode
from service.video.preprocess import Picture, View
from service.video.sample import SamplingPlan
from service.video.source import Limits
from service.video.spec import Flow, PictureSpec
from tests.samples import clip

EVERY_FRAME = SamplingPlan(num_clips=1000, clip_len=1, fps=30, anchored=False)
LOOK = PictureSpec(name="look", picture="rgb", size=64, cadence=1)
LIMITS = Limits(max_pixels=1_000_000, max_duration_s=60, max_frames=10_000)


def task(plan: SamplingPlan = EVERY_FRAME, *specs: PictureSpec, limits: Limits = LIMITS, **more: Any) -> DecodeTask:
    return DecodeTask(plan, specs or (LOOK,), limits, **more)


def look(data: bytes | str, wanted: DecodeTask | None = None) -> tuple[Decoded, list[MadePicture]]:
    """The receipt of a clip, and its pictures as they came."""
    pictures: list[MadePicture] = []
    decoded = decode(clip(data) if isinstance(data, str) else data, wanted or task(), pictures.append)
    return decoded, pictures


def frames(name: str) -> list[Picture]:
    return [picture.pixels for picture in look(name)[1]]


@pytest.mark.parametrize(
    ("name", "codec"),
    [
        ("h264.mp4", "h264"),
        ("faststart.mp4", "h264"),
        ("fragmented.mp4", "h264"),
        ("h264.mov", "h264"),
        ("h264.mkv", "h264"),
        ("h264.ts", "h264"),
        ("vp9.webm", "VP90"),
        ("live.webm", "VP90"),
        ("mpeg4.avi", "FMP4"),
    ],
)
def test_a_container_gives_all_its_frames_at_their_times(name: str, codec: str) -> None:
    decoded, pictures = look(name)
    assert decoded.times_s == pytest.approx([index / 30 for index in range(60)], abs=5.01e-4)  # Matroska: milliseconds
    media = decoded.media
    assert (media.width, media.height, media.codec) == (160, 120, codec)
    assert (media.fps, media.fps_source) == (30, "container")
    assert media.duration_s == pytest.approx(2, abs=1e-3)
    assert (len(pictures), decoded.padded, decoded.warnings) == (60, 0, ())


@pytest.mark.parametrize(("name", "count", "size"), [("animated.gif", 20, (120, 90)), ("animated.png", 10, (64, 48))])
def test_an_animation_is_a_video(name: str, count: int, size: tuple[int, int]) -> None:
    decoded, _ = look(name, task(SamplingPlan(1000, 1, 10, anchored=False)))
    assert decoded.times_s == pytest.approx([index / 10 for index in range(count)])
    assert (decoded.media.width, decoded.media.height) == size
    assert (decoded.padded, decoded.warnings) == (0, ())


@pytest.mark.parametrize("name", ["h264.mkv", "h264.ts", "h264.mov", "fragmented.mp4"])
def test_the_same_stream_gives_the_same_pictures_in_every_container(name: str) -> None:
    np.testing.assert_array_equal(frames(name), frames("h264.mp4"))


# The frames that `make` leaves in vfr.mp4, of 60 at 30 fps.
KEPT = [n for n in range(60) if not (10 <= n <= 29 or n in {40, 43, 44, 47, 48, 49})]


def test_a_variable_frame_rates_times_are_the_containers() -> None:
    decoded, _ = look("vfr.mp4")
    following = [min(frame for frame in KEPT if frame >= wanted) for wanted in range(60)]
    assert decoded.times_s == pytest.approx([frame / 30 for frame in following], abs=1e-5)
    assert decoded.media.frames_decoded == len(KEPT)
    assert decoded.padded == 60 - len(KEPT)
    assert any("frames repeated: 26 of 60 moments" in warning for warning in decoded.warnings)


def test_a_recorders_clip_that_states_neither_rate_nor_duration_is_timed() -> None:
    stamps = [round(0.033 * n + 0.001 * (n * n % 7), 3) for n in range(61)]
    decoded, _ = look("recorder.webm", task(SamplingPlan(1000, 1, 100, anchored=False)))
    assert sorted(set(decoded.times_s)) == stamps
    media = decoded.media
    assert media.fps_source == "timestamps"
    assert media.fps == pytest.approx(60 / stamps[-1], abs=1e-3)
    assert media.duration_s == pytest.approx(stamps[-1] * 61 / 60, abs=1e-3)
    assert media.frames_decoded == 2 * 61, "once to measure it, once to look"


def test_a_stream_cut_off_after_its_first_frame_is_one_frame_long() -> None:
    decoded, pictures = look(clip("live.webm")[:4200])
    assert (decoded.times_s, len(pictures)) == ((0.0,), 1)
    assert decoded.media.duration_s == pytest.approx(1 / 30, abs=1e-6)


def test_a_frames_picture_is_the_one_of_its_time() -> None:
    steady = np.asarray(frames("h264.mp4"), dtype=np.float64)
    decoded, pictures = look("vfr.mp4")
    seen: dict[float, Picture] = {time: one.pixels for time, one in zip(decoded.times_s, pictures, strict=True)}
    for time_s, picture in seen.items():
        nearest = np.abs(steady - picture).mean(axis=(1, 2, 3)).argmin()
        assert nearest == round(time_s * 30)


@pytest.mark.parametrize("name", ["vp9.webm", "mpeg4.avi"])
def test_another_codec_shows_the_same_at_the_same_time(name: str) -> None:
    steady = np.asarray(frames("h264.mp4"), dtype=np.float64)
    for index, picture in enumerate(frames(name)):
        assert np.abs(steady - picture).mean(axis=(1, 2, 3)).argmin() == index


def test_rotation_is_applied_to_size_and_pixels() -> None:
    decoded, pictures = look("rotated.mp4")
    assert (decoded.media.width, decoded.media.height) == (120, 160)
    upright = cv2.VideoCapture(io.BytesIO(clip("h264.mp4")), cv2.CAP_FFMPEG, [])  # type: ignore[call-overload]
    frame = upright.read()[1]
    turned = np.rot90(frame)[20:140]  # as FFmpeg itself turns it; of it the middle square, as serving sees it
    expected = cv2.resize(np.ascontiguousarray(turned[..., ::-1]), (64, 64), interpolation=cv2.INTER_AREA)
    np.testing.assert_allclose(pictures[0].pixels.astype(float), expected.astype(float), atol=1)


def test_a_portrait_clip_keeps_its_shape_in_the_receipt() -> None:
    media = look("portrait.mp4")[0].media
    assert (media.width, media.height, media.duration_s) == (90, 160, 1)


def test_a_single_frame_is_a_step_from_itself_to_itself() -> None:
    anchored = SamplingPlan(num_clips=3, clip_len=4, fps=10, anchored=True)
    motion = PictureSpec(
        name="drift",
        picture="flow",
        size=32,
        cadence=1,
        flow=Flow(size=32, preset="fast", scale=10, magnitude_scale=16),
    )
    decoded, pictures = look("one-frame.mp4", task(anchored, LOOK, motion))
    assert list(decoded.times_s) == [0, 0]
    assert (decoded.padded, decoded.steps, decoded.pictures) == (1, (1,), {"look": 1, "drift": 1})
    still = next(one.pixels for one in pictures if one.kind == "drift")
    np.testing.assert_array_equal(still, np.broadcast_to(np.array([128, 128, 0]), (32, 32, 3)))
    assert any("shorter than" in warning for warning in decoded.warnings)


def test_a_clip_shorter_than_the_window_is_looked_at_whole_and_warned_of() -> None:
    decoded, _ = look("short.mp4", task(SamplingPlan(3, 16, 10, anchored=False)))
    assert decoded.times_s == pytest.approx([0, 0.1, 0.2])
    assert decoded.steps == (3,)
    assert decoded.warnings == ("shorter than the model's window of 1.60 s: 3 of 16 steps could be looked at",)


def test_a_clip_slower_than_the_model_repeats_frames_and_says_so() -> None:
    decoded, pictures = look("slow.mp4", task(SamplingPlan(1, 10, 10, anchored=False), limits=LIMITS))
    # The window [0.5, 1.5) at 10 fps, of a clip with 5: every second moment has no new frame.
    assert decoded.times_s == pytest.approx([0.6, 0.6, 0.8, 0.8, 1, 1, 1.2, 1.2, 1.4, 1.4])
    assert decoded.padded == 5
    np.testing.assert_array_equal(pictures[0].pixels, pictures[1].pixels)
    assert any("frames repeated: 5 of 10 moments" in warning for warning in decoded.warnings)


def test_pictures_come_in_order_each_with_its_window_and_step() -> None:
    sparse = PictureSpec(name="sparse", picture="rgb", size=16, cadence=2)
    decoded, pictures = look("h264.mp4", task(SamplingPlan(2, 3, 5, anchored=True), LOOK, sparse))
    assert [(one.window, one.step) for one in pictures if one.kind == "look"] == [
        (window, step) for window in range(2) for step in range(3)
    ]
    assert [(one.window, one.step) for one in pictures if one.kind == "sparse"] == [(0, 0), (0, 2), (1, 0), (1, 2)]
    assert {one.pixels.shape for one in pictures} == {(64, 64, 3), (16, 16, 3)}
    assert decoded.pictures == {"look": 6, "sparse": 4}
    assert decoded.steps == (3, 3)
    assert len(decoded.times_s) == 2 * 4, "the anchors are in the receipt"


def test_scanning_stops_after_the_last_moment() -> None:
    assert look("h264.mp4", task(start_s=0, end_s=0.5))[0].media.frames_decoded <= 16


def test_a_mirrored_view_mirrors_pictures() -> None:
    _, mirrored = look("h264.mp4", task(view=View(mirrored=True)))
    np.testing.assert_allclose(
        np.asarray([one.pixels for one in mirrored], dtype=float)[:, :, ::-1],
        np.asarray(frames("h264.mp4"), dtype=float),
        atol=1,
    )


# What is broken.


@pytest.mark.parametrize(
    ("name", "count"), [("cut-index-first.mp4", 7), ("cut.avi", 25)], ids=["index first", "index last"]
)
def test_a_clip_that_was_cut_off_gives_its_frames_and_a_warning(name: str, count: int) -> None:
    decoded, pictures = look(name)
    assert len(pictures) == count
    assert decoded.media.duration_s == pytest.approx(count / 30, abs=1e-3)
    assert any(f"ends at {count / 30:.2f} s although its header says 2.00 s" in told for told in decoded.warnings)


def test_a_stream_that_was_cut_off_has_no_header_to_contradict() -> None:
    decoded, pictures = look("cut.ts")
    assert len(pictures) == round(decoded.media.duration_s * 30) == 27
    assert decoded.warnings == ()


def test_a_clip_cut_off_before_its_index_is_undecodable() -> None:
    with pytest.raises(UndecodableClip, match="before its index"):
        look("cut-index-last.mp4")


def test_a_video_without_a_frame_is_undecodable() -> None:
    with pytest.raises(UndecodableClip, match="opens as VP90 video, but not one frame"):
        look(clip("live.webm")[:600])  # its header, and a piece of its first frame


@pytest.mark.parametrize("kept", [0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99])
@pytest.mark.parametrize(
    "name", ["h264.mp4", "faststart.mp4", "fragmented.mp4", "h264.mkv", "vp9.webm", "mpeg4.avi", "h264.ts", "h264.mov"]
)
def test_wherever_a_clip_is_cut_off_it_is_looked_at_or_refused(name: str, kept: float) -> None:
    data = clip(name)
    try:
        decoded, pictures = look(data[: int(len(data) * kept)])
    except (UndecodableClip, UnsupportedMedia):
        return
    assert 0 < len(pictures) <= 60
    assert decoded.media.duration_s <= 2.1


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("name", ["h264.mp4", "vp9.webm", "mpeg4.avi", "h264.ts"])
def test_a_damaged_clip_is_looked_at_or_refused(name: str, seed: int) -> None:
    random = np.random.default_rng(seed)
    data = np.frombuffer(clip(name), dtype=np.uint8).copy()
    data[random.integers(0, len(data), len(data) // 200)] = random.integers(0, 256, len(data) // 200)
    try:
        decoded, _ = look(data.tobytes())
    except (UndecodableClip, UnsupportedMedia, LimitExceeded):
        return
    assert decoded.times_s
    assert all(later >= earlier for earlier, later in zip(decoded.times_s, decoded.times_s[1:], strict=False))


# Spans.


@pytest.mark.parametrize(("start_s", "end_s"), [(0, 0.5), (0.5, 1), (1.9, None), (0.05, 0.15), (0, 100)])
@pytest.mark.parametrize("name", ["h264.mp4", "vfr.mp4", "live.webm"])
def test_no_frame_outside_the_span_is_looked_at(name: str, start_s: float, end_s: float | None) -> None:
    try:
        decoded, _ = look(name, task(start_s=start_s, end_s=end_s))
    except SpanOutsideClip:
        assert name == "vfr.mp4", "the only clip with a gap"
        assert start_s == 0.5
        return
    assert min(decoded.times_s) >= start_s - 1e-3
    assert max(decoded.times_s) < (end_s or 2.001)


def test_the_end_of_a_span_is_excluded() -> None:
    assert look("h264.mp4", task(start_s=0.5, end_s=1))[0].times_s == pytest.approx([n / 30 for n in range(15, 30)])


def test_the_duration_is_the_clips_whatever_the_span() -> None:
    assert look("h264.mp4", task(start_s=0.5, end_s=1))[0].media.duration_s == 2


@pytest.mark.parametrize(
    ("name", "start_s", "end_s"),
    [
        ("h264.mp4", 2, None),
        ("h264.mp4", 60, 61),
        ("live.webm", 2.5, None),
        ("vfr.mp4", 0.4, 0.9),  # in its gap
        ("cut-index-first.mp4", 1, None),  # the header promises it
    ],
)
def test_a_span_without_a_frame_is_refused_with_the_clips_length(name: str, start_s: float, end_s: float) -> None:
    with pytest.raises(SpanOutsideClip, match=rf"no frame in \[{start_s:g}, .* it lasts [0-9.]+ s"):
        look(name, task(start_s=start_s, end_s=end_s))


# Limits.


@pytest.mark.parametrize("name", ["h264.mp4", "live.webm"])
def test_a_clip_with_more_frames_than_allowed_is_refused(name: str) -> None:
    with pytest.raises(LimitExceeded, match="more than 59 frames") as refused:
        look(name, task(limits=Limits(1_000_000, 60, 59)))
    assert (refused.value.limit, refused.value.maximum) == ("KINEMA_MAX_FRAMES", "59 frames")
    look(name, task(limits=Limits(1_000_000, 60, 60)))


def test_frames_that_are_not_needed_do_not_count() -> None:
    look("h264.mp4", task(limits=Limits(1_000_000, 60, 20), end_s=0.5))


def test_a_clip_that_states_no_duration_is_refused_when_it_turns_out_too_long() -> None:
    with pytest.raises(LimitExceeded, match=r"the limit is 1\.5 s") as refused:
        look("live.webm", task(limits=Limits(1_000_000, 1.5, 10_000)))
    assert refused.value.limit == "KINEMA_MAX_DURATION_S"


def test_a_clip_with_too_many_pixels_is_refused() -> None:
    with pytest.raises(LimitExceeded) as refused:
        look("h264.mp4", task(limits=Limits(160 * 120 - 1, 60, 10_000)))
    assert refused.value.limit == "KINEMA_MAX_PIXELS"


def test_the_checkpoint_is_passed_before_every_frame_and_ends_the_work() -> None:
    passed = 0

    class Enough(Exception):
        pass

    def checkpoint() -> None:
        nonlocal passed
        passed += 1
        if passed > 5:
            raise Enough

    pictures: list[MadePicture] = []
    with pytest.raises(Enough):
        decode(clip("h264.mp4"), task(), pictures.append, checkpoint)
    assert len(pictures) == 5


def motion_jpeg(path: Path, count: int) -> bytes:
    """A clip of so many frames of 320x240 at 30 fps."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 30, (320, 240))
    frame: NDArray[np.uint8] = np.zeros((240, 320, 3), dtype=np.uint8)
    for index in range(count):
        frame[:] = index % 256
        writer.write(frame)
    writer.release()
    return path.read_bytes()


def test_memory_does_not_grow_with_the_length_of_a_clip(tmp_path: Path) -> None:
    def peak(count: int) -> int:
        data = motion_jpeg(tmp_path / f"{count}.avi", count)
        tracemalloc.start()
        try:
            decoded = decode(data, task(), lambda made: None)
            assert decoded.media.frames_decoded == count
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    a_frame = 320 * 240 * 3
    assert peak(30) > a_frame, "frames are counted at all"
    assert peak(900) - peak(30) < 2 * a_frame
