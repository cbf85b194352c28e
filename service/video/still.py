"""One encoded picture: its size is read before it is decoded, so that a few bytes cannot ask for gigabytes."""

from __future__ import annotations

import struct
import zlib

import cv2
import numpy as np

from service.errors import UndecodableClip, UnsupportedMedia
from service.video.preprocess import Frame
from service.video.source import Limits, check_size, recognise

_JPEG, _PNG, _WEBP, _PPM = b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"RIFF", b"P6\n"
# JPEG's markers for frames begin here; three in between are tables.
_SOF, _NO_SOF = range(0xC0, 0xD0), (0xC4, 0xC8, 0xCC)
_HOW = "Send frames as JPEG, PNG or WebP."


def decode_still(data: bytes, limits: Limits) -> Frame:
    """Decodes a JPEG, PNG or WebP picture, or a PPM of 8 bits, to uint8 [H, W, 3], BGR; EXIF rotation is applied.

    Raises:
        UnsupportedMedia: it is none.
        UndecodableClip: it is broken.
        LimitExceeded: it has more pixels than a frame may have.
    """
    try:
        width, height = _size(data)
    except (struct.error, IndexError, ValueError) as error:
        raise _broken("it is cut off or damaged") from error
    if width <= 0 or height <= 0:
        raise _broken(f"its header gives it {width}x{height} pixels")
    check_size(width, height, limits)
    try:
        frame = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error as error:
        raise _broken(str(error)) from error
    if frame is None:
        raise _broken("it is cut off or damaged")
    return np.asarray(frame, dtype=np.uint8)


def _size(data: bytes) -> tuple[int, int]:
    if data.startswith(_JPEG):
        return _jpeg_size(data)
    if data.startswith(_PNG):
        return _png_size(data)
    if data.startswith(_WEBP) and data[8:12] == b"WEBP":
        return _webp_size(data)
    if data.startswith(_PPM):
        _, width, height = data[:64].split(maxsplit=3)[:3]
        return int(width), int(height)
    recognised = recognise(data)
    raise UnsupportedMedia(f"this is {recognised or 'nothing known'}, not a picture that can be read", _HOW, recognised)


def _png_size(data: bytes) -> tuple[int, int]:
    """Goes through all chunks: OpenCV makes room for what a chunk's length says, be it gigabytes, before reading it."""
    position, kind = len(_PNG), b""
    while kind != b"IEND":
        (length,) = struct.unpack_from(">I", data, position)
        end = position + 8 + length
        kind = data[position + 4 : position + 8]
        (checksum,) = struct.unpack_from(">I", data, end)
        if zlib.crc32(data[position + 4 : end]) != checksum:
            raise ValueError("a chunk was changed on its way")
        position = end + 4
    width, height = struct.unpack_from(">II", data, 16)
    return width, height


def _jpeg_size(data: bytes) -> tuple[int, int]:
    position = 2
    while True:
        if data[position] != 0xFF:
            raise ValueError("no marker where one has to be")
        marker = data[position + 1]
        if marker == 0xFF:  # markers may be filled up
            position += 1
            continue
        if marker in _SOF and marker not in _NO_SOF:
            height, width = struct.unpack_from(">HH", data, position + 5)
            return width, height
        (length,) = struct.unpack_from(">H", data, position + 2)
        position += 2 + length


def _webp_size(data: bytes) -> tuple[int, int]:
    form = data[12:16]
    if form == b"VP8X":
        return 1 + int.from_bytes(data[24:27], "little"), 1 + int.from_bytes(data[27:30], "little")
    if form == b"VP8L":
        (bits,) = struct.unpack_from("<I", data, 21)
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    if form == b"VP8 ":
        width, height = struct.unpack_from("<HH", data, 26)
        return width & 0x3FFF, height & 0x3FFF
    raise ValueError("an unknown form of WebP")


def _broken(why: str) -> UndecodableClip:
    return UndecodableClip(f"the frame cannot be decoded: {why}", _HOW)
