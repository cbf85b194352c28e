"""A clip's bytes, opened for decoding."""

from __future__ import annotations

import codecs
import io
import math
import os
import sys
from dataclasses import dataclass
from typing import Literal, cast

import cv2

from service.errors import LimitExceeded, UndecodableClip, UnsupportedMedia
from service.video.encoded import EncodedClip

FpsSource = Literal["container", "timestamps", "assumed"]

# Frame rates outside this range come from clocks, not from cameras: WebM and MPEG-TS may report 1,000 or 90,000.
_CREDIBLE_FPS = (0.5, 480.0)
_ASSUMED_FPS = 25.0

_PNG, _APNG = "a PNG picture", "an animated PNG"
_STILL_IMAGES = (
    (b"\xff\xd8\xff", "a JPEG picture"),
    (b"\0\0\0\x0cjP  ", "a JPEG 2000 picture"),
    (b"\x89PNG\r\n\x1a\n", _PNG),
    (b"BM", "a BMP picture"),
    (b"II*\0", "a TIFF picture"),
    (b"MM\0*", "a TIFF picture"),
    (b"P5\n", "a PGM picture"),
    (b"P6\n", "a PPM picture"),
    (b"#?RADIANCE\n", "a Radiance picture"),
)
_MP4 = "MP4 or QuickTime"
_MAGIC = (
    *_STILL_IMAGES,
    (b"GIF8", "a GIF"),
    (b"\x1aE\xdf\xa3", "Matroska or WebM"),
    (b"\0\0\x01\xba", "MPEG-PS"),
    (b"OggS", "Ogg"),
    (b"FLV", "Flash video"),
    (b"ID3", "MP3 audio"),
    (b"\xff\xfb", "MP3 audio"),
    (b"\xff\xf3", "MP3 audio"),
    (b"fLaC", "FLAC audio"),
    (b"%PDF", "a PDF document"),
    (b"PK\x03\x04", "a ZIP archive"),
    (b"\x1f\x8b", "a gzip archive"),
)
_RIFF = {b"AVI ": "AVI", b"WAVE": "WAV audio", b"WEBP": "a WebP picture"}
_BRANDS = {b"avif": "an AVIF picture", b"heic": "a HEIC picture", b"mif1": "a HEIF picture"}
# This build of FFmpeg reads animated GIF, PNG and AVIF, but of WebP only still pictures.
_PICTURES = {name for _, name in _STILL_IMAGES} | set(_BRANDS.values()) | {_RIFF[b"WEBP"]}
_TS_PACKET = 188

# OpenCV hands these to FFmpeg for the whole process. A clip comes from memory and needs no protocol at all, so whatever
# a playlist or a reference inside it names (a file of ours, a host on our network) cannot be opened.
OPTIONS, CONFINED = "OPENCV_FFMPEG_CAPTURE_OPTIONS", "protocol_whitelist;none"
"""The variable for FFmpeg's options, and what they are at least."""


_PACKETS = (cv2.CAP_PROP_FORMAT, -1)


def silence_and_confine_ffmpeg() -> None:
    """Sets the process-wide variables that OpenCV reads whenever it opens a clip.

    FFmpeg otherwise prints what it thinks of a broken clip, a line for each packet.
    """
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    os.environ[OPTIONS] = CONFINED
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)


silence_and_confine_ffmpeg()


@dataclass(frozen=True, slots=True)
class Limits:
    """What a clip may cost.

    Attributes:
        max_pixels: pixels of one frame.
        max_duration_s: seconds of the clip.
        max_frames: frames that may be decoded to answer.
    """

    max_pixels: int
    max_duration_s: float
    max_frames: int


NO_LIMITS = Limits(max_pixels=sys.maxsize, max_duration_s=sys.maxsize, max_frames=sys.maxsize)
"""For clips of our own."""


@dataclass(frozen=True, slots=True)
class Header:
    """What a container says of itself, before a frame has been decoded.

    Attributes:
        width, height: pixels as the stream is coded, before rotation.
        fps: frames a second; see `fps_source`.
        fps_source: `container`, or `assumed` where it states nothing credible.
        duration_s: seconds, or None where it states nothing credible.
        codec: the four-character code, for example `h264`.
    """

    width: int
    height: int
    fps: float
    fps_source: FpsSource
    duration_s: float | None
    codec: str


Clip = bytes | EncodedClip
"""A clip's encoded bytes, as they are or behind a file descriptor."""

# An animated PNG says so before its first pixels, behind colour profiles and the like.
_HEAD = 64 * 1024


def reader(clip: Clip) -> io.BufferedIOBase:
    """A reader of a clip, from its start."""
    return io.BytesIO(clip) if isinstance(clip, bytes) else clip.open()


def recognise(data: bytes) -> str | None:
    """Names what the first bytes look like, or None where they look like nothing known."""
    head = data[:512]
    if head[4:8] == b"ftyp":
        return _BRANDS.get(head[8:12], _MP4)
    if head[:4] == b"RIFF":
        return _RIFF.get(head[8:12], "RIFF")
    if head[:1] == b"G" and data[_TS_PACKET : _TS_PACKET + 1] == b"G":
        return "MPEG-TS"
    for magic, name in _MAGIC:
        if head.startswith(magic):
            # An animation says how many frames it has before the pixels of the first.
            return _APNG if name == _PNG and b"acTL" in data[: max(0, data.find(b"IDAT"))] else name
    return "text" if _is_text(head) else None


def is_no_video(recognised: str | None) -> bool:
    """Whether what `recognise` said is nothing that can be decoded as a video, whatever FFmpeg makes of it."""
    return recognised == "text" or recognised in _PICTURES


def _is_text(head: bytes) -> bool:
    try:
        # The cut at 512 bytes may split the last character.
        text = codecs.getincrementaldecoder("utf-8")().decode(head, final=len(head) < 512)
    except UnicodeDecodeError:
        return False
    return all(character.isprintable() or character.isspace() for character in text)


def _is_cut_off_mp4(clip: Clip) -> bool:
    """Whether one of the outermost boxes of an MP4 ends after the data does, so that its index may be missing."""
    with reader(clip) as stream:
        end = stream.seek(0, os.SEEK_END)
        position = 0
        while position + 8 <= end:
            stream.seek(position)
            head = stream.read(16)
            size = int.from_bytes(head[:4])
            if size == 1:
                size = int.from_bytes(head[8:])
            if size < 8:  # 0: the box goes on to the end of the file; anything else is not a box
                return False
            position += size
    return position != end


def open_clip(
    clip: Clip, limits: Limits, *, packets: bool = False, keep_all: bool = True, threads: int = 1
) -> tuple[cv2.VideoCapture, Header]:
    """Opens a clip, reads its header and holds it against the limits.

    With `packets` the capture grabs packets instead of frames, which costs next to nothing. Without `keep_all` FFmpeg
    leaves out frames that no other refers to; only a process that opens one clip at a time may ask for it, since OpenCV
    takes it from the environment. FFmpeg decodes in so many `threads`.

    Drop the capture to close it, and never call its `release`: OpenCV 5.0 lets go of the stream there without holding
    the interpreter's lock, which crashes the process.

    Raises:
        UnsupportedMedia: the bytes are no video that this build can read.
        UndecodableClip: an MP4 without the index that its end would hold.
        LimitExceeded: the header is over a limit.
    """
    with reader(clip) as stream:
        recognised = recognise(stream.read(_HEAD))
    parameters = (cv2.CAP_PROP_N_THREADS, threads, *(_PACKETS if packets else ()))
    # FFmpeg would take a picture for a video of one frame, and would follow a playlist.
    if is_no_video(recognised):
        raise _unsupported(f"this is {recognised}, not a video", recognised)
    try:
        # OpenCV's stubs name only their own stream class; what it accepts is any io.BufferedIOBase and io.BytesIO.
        source = cast("cv2.IStreamReader", reader(clip))
        if not keep_all:
            os.environ[OPTIONS] = f"{CONFINED}|avdiscard;nonref"
        capture = cv2.VideoCapture(source, cv2.CAP_FFMPEG, parameters)
    except cv2.error as error:  # a header so broken that OpenCV refuses to look further
        raise _unsupported("the bytes cannot be read as a video", recognised) from error
    finally:
        os.environ[OPTIONS] = CONFINED
    if not capture.isOpened():
        if recognised == _MP4 and _is_cut_off_mp4(clip):
            raise UndecodableClip(
                "the clip is an MP4 or QuickTime file that was cut off before its index, so no frame can be decoded",
                "Send the whole file; `ffmpeg -i CLIP -c copy -movflags faststart OUT.mp4` puts the index first.",
            )
        named = f"it looks like {recognised}, but " if recognised else ""
        raise _unsupported(f"{named}no video track that this build can read was found", recognised)
    header = _header(capture)
    check_size(header.width, header.height, limits)
    if header.duration_s is not None:
        check_duration(header.duration_s, limits)
    return capture, header


def check_size(width: int, height: int, limits: Limits) -> None:
    """Refuses frames with too many pixels.

    Raises:
        LimitExceeded: width x height is over the limit.
    """
    if width * height > limits.max_pixels:
        raise LimitExceeded(
            "KINEMA_MAX_PIXELS",
            f"{limits.max_pixels} pixels a frame",
            f"the clip's frames have {width}x{height} = {width * height} pixels; the limit is {limits.max_pixels}",
            "Scale the clip down before sending it: the model looks at far smaller pictures.",
        )


def check_duration(duration_s: float, limits: Limits) -> None:
    """Refuses clips that are too long.

    Raises:
        LimitExceeded: the duration is over the limit.
    """
    if duration_s > limits.max_duration_s:
        raise LimitExceeded(
            "KINEMA_MAX_DURATION_S",
            f"{limits.max_duration_s:g} s",
            f"the clip lasts {duration_s:.1f} s; the limit is {limits.max_duration_s:g} s",
            "Cut the clip into shorter ones and send each.",
        )


def nothing_decoded(header: Header) -> UndecodableClip:
    """The error for a video that gave no frame."""
    return UndecodableClip(
        f"the clip opens as {header.codec} video, but not one frame of it could be decoded",
        "The file may be cut off or damaged: play it, or write it anew with `ffmpeg -i CLIP -c:v libx264 OUT.mp4`.",
    )


def _header(capture: cv2.VideoCapture) -> Header:
    fps = capture.get(cv2.CAP_PROP_FPS)
    credible = math.isfinite(fps) and _CREDIBLE_FPS[0] <= fps <= _CREDIBLE_FPS[1]
    frames = capture.get(cv2.CAP_PROP_FRAME_COUNT)
    counted = math.isfinite(fps) and fps > 0 and math.isfinite(frames) and frames >= 1
    return Header(
        width=int(capture.get(cv2.CAP_PROP_FRAME_WIDTH)),
        height=int(capture.get(cv2.CAP_PROP_FRAME_HEIGHT)),
        fps=fps if credible else _ASSUMED_FPS,
        fps_source="container" if credible else "assumed",
        # OpenCV makes its count of duration x rate where the container counts nothing, so this gives the duration back.
        duration_s=frames / fps if counted else None,
        codec=_fourcc(int(capture.get(cv2.CAP_PROP_FOURCC))),
    )


def _fourcc(code: int) -> str:
    letters = "".join(chr((code >> shift) & 0xFF) for shift in (0, 8, 16, 24)).strip("\0 ")
    return letters if letters and letters.isprintable() else "unknown"


def _unsupported(detail: str, recognised: str | None) -> UnsupportedMedia:
    return UnsupportedMedia(
        detail,
        "Send a video: MP4, MKV, WebM, AVI, MOV, MPEG-TS or GIF. `ffmpeg -i CLIP -c:v libx264 OUT.mp4` makes one.",
        recognised,
    )
