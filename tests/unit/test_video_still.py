"""One encoded picture: what it is, how large it says it is, and what comes of broken ones."""

import struct
import zlib

import cv2
import numpy as np
import pytest

from service.errors import LimitExceeded, UndecodableClip, UnsupportedMedia
from service.video.source import NO_LIMITS, Limits
from service.video.still import decode_still
from tests.samples import clip
from tests.streaming import noise

SMALL = Limits(max_pixels=64 * 48, max_duration_s=60, max_frames=10)
PIXELS = np.random.default_rng(1).integers(0, 256, (48, 64, 3), dtype=np.uint8)
LOSSLESS = {".png": [], ".webp": [cv2.IMWRITE_WEBP_QUALITY, 101], ".ppm": []}


def encoded(form: str, pixels: np.ndarray = PIXELS) -> bytes:
    return cv2.imencode(form, pixels, LOSSLESS.get(form, []))[1].tobytes()


def png_that_says(width: int, height: int) -> bytes:
    """A PNG whose header promises pixels that never come."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("form", LOSSLESS)
def test_what_is_encoded_without_loss_comes_out_as_it_was(form: str) -> None:
    np.testing.assert_array_equal(decode_still(encoded(form), SMALL), PIXELS)


@pytest.mark.parametrize("options", [[], [cv2.IMWRITE_JPEG_PROGRESSIVE, 1], [cv2.IMWRITE_JPEG_RST_INTERVAL, 1]])
def test_jpeg_of_every_kind_is_read(options: list[int]) -> None:
    smooth = np.asarray(cv2.GaussianBlur(PIXELS, (0, 0), 8), dtype=np.uint8)
    data = cv2.imencode(".jpg", smooth, [cv2.IMWRITE_JPEG_QUALITY, 95, *options])[1].tobytes()
    decoded = decode_still(data, SMALL)
    assert decoded.shape == (48, 64, 3)
    assert np.abs(decoded.astype(int) - smooth).mean() < 4


def test_webp_with_loss_is_read() -> None:
    assert decode_still(cv2.imencode(".webp", PIXELS, [cv2.IMWRITE_WEBP_QUALITY, 50])[1].tobytes(), SMALL).shape == (
        48,
        64,
        3,
    )


def test_grey_and_transparent_pictures_become_colours() -> None:
    assert decode_still(encoded(".png", PIXELS[:, :, 0]), SMALL).shape == (48, 64, 3)
    transparent = np.dstack([PIXELS, np.full((48, 64), 7, dtype=np.uint8)])
    for form in (".png", ".webp"):
        assert decode_still(encoded(form, transparent), SMALL).shape == (48, 64, 3)


def test_exif_rotation_is_applied() -> None:
    exif = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0"
    data = encoded(".jpg")
    turned = data[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + data[2:]
    assert decode_still(turned, SMALL).shape == (64, 48, 3)


@pytest.mark.parametrize("form", [".jpg", ".png", ".webp", ".ppm"])
def test_too_many_pixels_are_refused_before_they_are_decoded(form: str) -> None:
    with pytest.raises(LimitExceeded, match="65x48") as refused:
        decode_still(encoded(form, np.zeros((48, 65, 3), dtype=np.uint8)), SMALL)
    assert refused.value.limit == "KINEMA_MAX_PIXELS"


def test_a_few_bytes_cannot_ask_for_gigabytes() -> None:
    with pytest.raises(LimitExceeded, match="30000x30000"):
        decode_still(png_that_says(30_000, 30_000), SMALL)
    with pytest.raises(LimitExceeded):
        decode_still(b"P6\n99999 99999\n255\n", SMALL)


def test_a_chunk_that_promises_gigabytes_is_broken() -> None:
    data = png_that_says(20, 20)
    place = data.index(b"IDAT") - 4
    with pytest.raises(UndecodableClip, match="it is cut off or damaged"):
        decode_still(data[:place] + b"\xf0" + data[place + 1 :], SMALL)


@pytest.mark.parametrize("name", ["h264.mp4", "animated.gif", "audio.mp3", "text.mp4", "vp9.webm"])
def test_what_is_no_picture_is_named(name: str) -> None:
    with pytest.raises(UnsupportedMedia, match="not a picture that can be read") as refused:
        decode_still(clip(name), NO_LIMITS)
    assert refused.value.recognised
    assert "JPEG, PNG or WebP" in refused.value.advice


@pytest.mark.parametrize("data", [b"", b"\0", b"\x80\xff", b"RIFF....WAVE", b"BM" + b"\0" * 60, bytes(200)])
def test_bytes_that_are_nothing_known_are_refused(data: bytes) -> None:
    with pytest.raises(UnsupportedMedia):
        decode_still(data, NO_LIMITS)


@pytest.mark.parametrize(
    "data",
    [
        b"\xff\xd8\xff",
        b"\xff\xd8\xff\xe0\x00\x00\x00\x00" * 8,
        b"\xff\xd8\xff" + b"\xff" * 100,
        b"\xff\xd8\xff\xc0\x00\x0b\x08\x00\x00\x00\x00\x01",
        b"\x89PNG\r\n\x1a\n",
        b"\x89PNG\r\n\x1a\n" + b"\0" * 40,
        b"RIFF\0\0\0\0WEBPVP8 ",
        b"RIFF\0\0\0\0WEBPVP8L",
        b"RIFF\0\0\0\0WEBPVP8Z" + b"\1" * 40,
        b"P6\n",
        b"P6\nmany few\n255\n",
        b"P6\n-1 -1\n255\n\0\0\0",
        b"P6\n9999999999999999999999 1\n255\n",
        png_that_says(20, 0),
    ],
)
def test_broken_headers_are_told_so(data: bytes) -> None:
    with pytest.raises((UndecodableClip, LimitExceeded)):
        decode_still(data, Limits(max_pixels=100_000, max_duration_s=1, max_frames=1))


@pytest.mark.parametrize("form", [".jpg", ".png", ".webp"])
def test_a_picture_that_is_cut_off_is_broken(form: str) -> None:
    data = encoded(form)
    with pytest.raises(UndecodableClip, match="cannot be decoded"):
        decode_still(data[: len(data) // 2], SMALL)


@pytest.mark.parametrize("form", [".jpg", ".png", ".webp", ".ppm"])
def test_bytes_changed_on_their_way_give_a_picture_or_a_problem(form: str) -> None:
    chance = np.random.default_rng(4)
    for _ in range(60):
        data = bytearray(encoded(form))
        for place in chance.integers(0, min(len(data), 400), 6):
            data[place] = chance.integers(0, 256)
        try:
            assert decode_still(bytes(data), SMALL).shape[2] == 3
        except (UndecodableClip, UnsupportedMedia, LimitExceeded):
            continue


def test_the_pictures_that_streams_are_tested_with_are_such_pictures() -> None:
    assert decode_still(noise(1), SMALL).shape == (32, 32, 3)
