"""From frames to pictures: which part of a frame is seen, its colours, and its flow."""

from typing import Any

import cv2
import numpy as np
import pytest

from service.video.preprocess import SERVED, Box, FlowMaker, Frame, Picture, RgbMaker, Sight, View, maker, resize
from service.video.spec import Flow, PictureSpec

FLOW = Flow(size=128, preset="fast", scale=10, magnitude_scale=16)
SIDE = 128
WHOLE = Box(0, SIDE, 0, SIDE)


def texture(seed: int = 0) -> Frame:
    """A smooth random texture of 192x192 pixels, over all grey levels."""
    noise = np.random.default_rng(seed).integers(0, 256, (192, 192, 3), dtype=np.uint8)
    smooth = cv2.GaussianBlur(noise, (0, 0), 3).astype(np.float32)
    return np.asarray(np.rint((smooth - smooth.min()) / np.ptp(smooth) * 255), dtype=np.uint8)


def shifted(right: int, down: int) -> Frame:
    """The texture, its contents moved by so many pixels to the right and down."""
    return np.ascontiguousarray(texture()[32 - down : 32 - down + SIDE, 32 - right : 32 - right + SIDE])


def flow_picture(right: int, down: int, size: int = SIDE, view: View = SERVED, flow: Flow = FLOW) -> Picture:
    pictures = FlowMaker(size, flow)
    pictures.look(view.of(shifted(0, 0)))
    return pictures.make(view.of(shifted(right, down)))


def levels(picture: Picture, margin: int = 16) -> list[float]:
    """The mean of each channel, the edges aside: what enters the frame there came from nowhere."""
    inner = picture[margin:-margin, margin:-margin].astype(np.float64)
    return [float(inner[..., channel].mean()) for channel in range(3)]


@pytest.mark.parametrize(
    ("height", "width", "box"),
    [
        (240, 320, Box(0, 240, 0, 320)),  # 4:3, all of it
        (240, 240, Box(0, 240, 0, 240)),  # square, all of it
        (90, 160, Box(0, 90, 20, 140)),  # 16:9, the middle 4:3
        (160, 90, Box(35, 125, 0, 90)),  # 9:16, the middle square
        (1080, 1920, Box(0, 1080, 240, 1680)),
        (256, 340, Box(0, 256, 0, 340)),  # within a pixel of 4:3
        (1, 100, Box(0, 1, 49, 50)),
        (100, 1, Box(49, 50, 0, 1)),
    ],
)
def test_serving_sees_the_middle(height: int, width: int, box: Box) -> None:
    assert Box.middle(height, width) == box


def test_the_served_view_is_the_middle_and_not_mirrored() -> None:
    frame = texture()[:90, :160]
    sight = SERVED.of(frame)
    assert sight.frame is frame
    assert sight.box == Box.middle(90, 160)


@pytest.mark.parametrize(
    ("view", "box"),
    [
        (View(height=0.5, width=0.5, y=0, x=0), Box(0, 45, 20, 80)),
        (View(height=0.5, width=0.5, y=1, x=1), Box(45, 90, 80, 140)),
        (View(height=0.5, width=0.5), Box(22, 67, 50, 110)),
        (View(height=0.001, width=0.001, y=1, x=1), Box(89, 90, 139, 140)),
    ],
)
def test_a_view_lies_in_the_part_that_serving_sees(view: View, box: Box) -> None:
    assert view.of(texture()[:90, :160]).box == box


def test_a_mirrored_view_swaps_left_and_right() -> None:
    frame = shifted(0, 0)
    np.testing.assert_array_equal(View(mirrored=True).of(frame).frame, frame[:, ::-1])


def test_a_part_of_the_right_size_is_not_touched() -> None:
    frame = texture()
    np.testing.assert_array_equal(resize(frame, Box(10, 74, 20, 84), 64), frame[10:74, 20:84])


def test_shrinking_averages_what_it_drops() -> None:
    stripes = np.zeros((64, 64, 3), dtype=np.uint8)
    stripes[:, ::2] = 200
    np.testing.assert_array_equal(resize(stripes, Box(0, 64, 0, 64), 32), np.full((32, 32, 3), 100))


def test_a_small_frame_is_enlarged() -> None:
    frame = np.full((3, 2, 3), 77, dtype=np.uint8)
    np.testing.assert_array_equal(resize(frame, Box(0, 3, 0, 2), 8), np.full((8, 8, 3), 77))


def test_pictures_are_rgb_where_frames_are_bgr() -> None:
    frame = np.zeros((8, 8, 3), dtype=np.uint8)
    frame[:] = (1, 2, 3)
    picture = RgbMaker(8).make(Sight(frame, Box(0, 8, 0, 8)))
    assert picture.tolist() == [[[3, 2, 1]] * 8] * 8
    assert picture.dtype == np.uint8


def test_a_frame_that_is_looked_at_leaves_no_trace_in_the_next_rgb_picture() -> None:
    fresh, used = RgbMaker(SIDE), RgbMaker(SIDE)
    used.look(Sight(shifted(5, 5), WHOLE))
    np.testing.assert_array_equal(used.make(Sight(shifted(0, 0), WHOLE)), fresh.make(Sight(shifted(0, 0), WHOLE)))


# DIS finds the displacement of a smooth texture to a fifth of a pixel in the mean: 2 grey levels of u and v at 10 a
# pixel, and 4 of the magnitude at 16.
UV_TOLERANCE, MAGNITUDE_TOLERANCE = 2.0, 4.0


@pytest.mark.parametrize(("right", "down"), [(0, 0), (3, 0), (-3, 0), (0, 2), (0, -2), (4, -3), (-6, 5)])
def test_flow_has_the_sign_and_the_scale_of_the_movement(right: int, down: int) -> None:
    u, v, magnitude = levels(flow_picture(right, down))
    assert u == pytest.approx(128 + 10 * right, abs=UV_TOLERANCE)
    assert v == pytest.approx(128 + 10 * down, abs=UV_TOLERANCE)
    assert magnitude == pytest.approx(16 * np.hypot(right, down), abs=MAGNITUDE_TOLERANCE)


def test_the_flow_between_equal_frames_is_128_128_0() -> None:
    np.testing.assert_array_equal(flow_picture(0, 0), np.broadcast_to(np.array([128, 128, 0]), (SIDE, SIDE, 3)))


@pytest.mark.parametrize("preset", ["ultrafast", "fast", "medium"])
@pytest.mark.parametrize("size", [64, 112, SIDE])
def test_a_still_picture_is_that_of_any_frame_seen_twice(preset: Any, size: int) -> None:
    dice = np.random.default_rng(0)
    pictures = FlowMaker(size, Flow(size=112, preset=preset, scale=10, magnitude_scale=16))
    for seed in range(8):
        noise = dice.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
        sight = SERVED.of(noise if seed % 2 else texture(seed))
        pictures.look(sight)
        np.testing.assert_array_equal(pictures.make(sight), pictures.still())


def test_flow_beyond_the_scale_is_clipped() -> None:
    steep = Flow(size=SIDE, preset="fast", scale=100, magnitude_scale=100)
    u, _, magnitude = levels(flow_picture(4, 0, flow=steep))
    assert (round(u), round(magnitude)) == (255, 255)
    assert round(levels(flow_picture(-4, 0, flow=steep))[0]) == 0


@pytest.mark.parametrize("preset", ["ultrafast", "fast", "medium"])
def test_every_preset_finds_the_movement(preset: str) -> None:
    flow = Flow.model_validate({"size": SIDE, "preset": preset, "scale": 10, "magnitude_scale": 16})
    assert levels(flow_picture(3, -2, flow=flow))[:2] == pytest.approx([158, 108], abs=2 * UV_TOLERANCE)


def test_a_mirrored_view_flips_the_sign_of_u_and_nothing_else() -> None:
    plain, mirrored = levels(flow_picture(4, 3)), levels(flow_picture(4, 3, view=View(mirrored=True)))
    assert mirrored[0] - 128 == pytest.approx(128 - plain[0], abs=UV_TOLERANCE)
    assert mirrored[1:] == pytest.approx(plain[1:], abs=UV_TOLERANCE)


def test_flow_is_measured_at_its_own_size_and_shown_at_the_encoders() -> None:
    picture = flow_picture(4, 0, size=64)
    assert picture.shape == (64, 64, 3)
    assert levels(picture, margin=8)[0] == pytest.approx(128 + 10 * 4, abs=UV_TOLERANCE)


def test_flow_is_measured_from_the_frame_before_whether_pictured_or_not() -> None:
    pictures = FlowMaker(SIDE, FLOW)
    pictures.look(Sight(shifted(0, 0), WHOLE))
    first = pictures.make(Sight(shifted(3, 0), WHOLE))
    second = pictures.make(Sight(shifted(3, 2), WHOLE))
    assert levels(first)[:2] == pytest.approx([158, 128], abs=UV_TOLERANCE)
    assert levels(second)[:2] == pytest.approx([128, 148], abs=UV_TOLERANCE)


def test_flow_needs_a_frame_before() -> None:
    with pytest.raises(ValueError, match="between two frames"):
        FlowMaker(SIDE, FLOW).make(Sight(shifted(0, 0), WHOLE))


def test_a_spec_chooses_its_maker() -> None:
    rgb = PictureSpec(name="look", picture="rgb", size=32, cadence=1)
    motion = PictureSpec(name="drift", picture="flow", size=32, cadence=1, flow=FLOW)
    assert isinstance(maker(rgb), RgbMaker)
    assert isinstance(maker(motion), FlowMaker)
