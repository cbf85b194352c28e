"""What cameras send."""

import cv2
import numpy as np
import pytest

from service.load.film import Film
from tests.samples import CLIPS

GOLF = (CLIPS / "real-golf.mp4").read_bytes()


def test_a_film_has_the_frames_of_its_clip_at_a_rate() -> None:
    capture_s = 16 / 10
    assert len(Film.of(GOLF, 10.0).images) == pytest.approx(10 * capture_s, abs=1)
    assert len(Film.of(GOLF, 5.0).images) == pytest.approx(5 * capture_s, abs=1)


def test_frames_come_twice_where_the_clip_has_too_few() -> None:
    images = Film.of(GOLF, 120.0).images
    assert len(images) > 2 * len(set(images))


def test_frames_are_pictures_of_the_size_wanted() -> None:
    for image in Film.of(GOLF, 2.0, (64, 48)).images:
        frame = cv2.imdecode(np.frombuffer(image, np.uint8), cv2.IMREAD_COLOR)
        assert frame is not None
        assert frame.shape == (48, 64, 3)


def test_timestamps_go_on_where_the_film_begins_anew() -> None:
    film = Film((b"a", b"b", b"c"), 10.0)
    assert [film.image(number) for number in range(5)] == [b"a", b"b", b"c", b"a", b"b"]
    assert [film.time_s(number) for number in (0, 3, 20)] == [0.0, 0.3, 2.0]
