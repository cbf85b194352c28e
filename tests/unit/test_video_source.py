"""What a clip's first bytes say, what is refused before decoding, and that a clip opens nothing but itself."""

import socket
from collections.abc import Callable, Iterator

import cv2
import numpy as np
import pytest

from service.errors import LimitExceeded, UndecodableClip, UnsupportedMedia
from service.video.source import Header, Limits, nothing_decoded, open_clip, recognise
from tests.samples import CLIPS, clip

LIMITS = Limits(max_pixels=1_000_000, max_duration_s=60, max_frames=10_000)


@pytest.mark.parametrize(
    ("name", "recognised"),
    [
        ("h264.mp4", "MP4 or QuickTime"),
        ("h264.mov", "MP4 or QuickTime"),
        ("fragmented.mp4", "MP4 or QuickTime"),
        ("audio.m4a", "MP4 or QuickTime"),
        ("h264.mkv", "Matroska or WebM"),
        ("vp9.webm", "Matroska or WebM"),
        ("live.webm", "Matroska or WebM"),
        ("h264.ts", "MPEG-TS"),
        ("mpeg4.avi", "AVI"),
        ("animated.gif", "a GIF"),
        ("animated.png", "an animated PNG"),
        ("audio.mp3", "MP3 audio"),
        ("picture.jpg", "a JPEG picture"),
        ("text.mp4", "text"),
        ("playlist.m3u8", "text"),
    ],
)
def test_a_clip_is_recognised_by_its_bytes(name: str, recognised: str) -> None:
    assert recognise(clip(name)) == recognised


@pytest.mark.parametrize(
    ("data", "recognised"),
    [
        (b"RIFF\0\0\0\0WAVEfmt ", "WAV audio"),
        (b"RIFF\0\0\0\0WEBPVP8 ", "a WebP picture"),
        (b"RIFF\0\0\0\0CDDA", "RIFF"),
        (b"\x89PNG\r\n\x1a\n\0", "a PNG picture"),
        (b"BM\x9a\0\0", "a BMP picture"),
        (b"II*\0\x08", "a TIFF picture"),
        (b"MM\0*\0", "a TIFF picture"),
        (b"OggS\0\x02", "Ogg"),
        (b"\0\0\x01\xbaD", "MPEG-PS"),
        (b"FLV\x01\x05", "Flash video"),
        (b"\xff\xfb\x90\x64", "MP3 audio"),
        (b"\xff\xf3\x90\x64", "MP3 audio"),
        (b"fLaC\0", "FLAC audio"),
        (b"#?RADIANCE\nFORMAT", "a Radiance picture"),
        (b"\0\0\0\x18ftypheic", "a HEIC picture"),
        (b"\0\0\0\x18ftypavis", "MP4 or QuickTime"),  # animated AVIF
        (b"%PDF-1.7", "a PDF document"),
        (b"PK\x03\x04\x14", "a ZIP archive"),
        (b"\x1f\x8b\x08", "a gzip archive"),
        (b"{}", "text"),
        ("Grüße aus Köln, 日本".encode(), "text"),
        (b"x" + "ü".encode() * 300, "text"),  # cut in the middle of a character
        (b"G" + b"\0" * 187 + b"G", "MPEG-TS"),
        (b"G" + b"\0" * 187 + b"\0", None),  # one sync byte alone is nothing
        (b"\0\x01\x02\x03", None),
        (b"\xf0\xf1\xf2\xf3\xf4\xf5", None),
        (b"a few words of Latin-1: \xfc", None),
    ],
)
def test_bytes_are_recognised(data: bytes, recognised: str | None) -> None:
    assert recognise(data) == recognised


@pytest.mark.parametrize(
    ("name", "recognised"),
    [
        ("audio.m4a", "MP4 or QuickTime"),
        ("audio.mp3", "MP3 audio"),
        ("text.mp4", "text"),
        ("picture.jpg", "a JPEG picture"),
        ("playlist.m3u8", "text"),
        ("cut-no-frame.webm", "Matroska or WebM"),
    ],
)
def test_what_is_no_video_is_refused_by_the_name_of_what_it_is(name: str, recognised: str) -> None:
    with pytest.raises(UnsupportedMedia, match=recognised) as refused:
        open_clip(clip(name), LIMITS)
    assert refused.value.recognised == recognised
    assert "Send a video: MP4" in refused.value.advice


@pytest.mark.parametrize("extension", [".png", ".bmp", ".tiff", ".webp", ".jpg", ".jp2", ".ppm", ".pgm", ".avif"])
def test_a_still_picture_is_no_video(extension: str) -> None:
    encoded, picture = cv2.imencode(extension, np.zeros((48, 64, 1 if extension == ".pgm" else 3), dtype=np.uint8))
    assert encoded
    with pytest.raises(UnsupportedMedia, match="picture, not a video"):
        open_clip(picture.tobytes(), LIMITS)


@pytest.mark.parametrize("data", [b"\0\x01\x02\x03" * 64, bytes(range(256)), b"\0", b"\xf0\xf1"])
def test_bytes_that_are_nothing_known_are_refused(data: bytes) -> None:
    with pytest.raises(UnsupportedMedia) as refused:
        open_clip(data, LIMITS)
    assert refused.value.recognised is None


def test_an_mp4_cut_off_before_its_index_is_undecodable() -> None:
    with pytest.raises(UndecodableClip, match="cut off before its index") as refused:
        open_clip(clip("cut-index-last.mp4"), LIMITS)
    assert "faststart" in refused.value.advice


@pytest.mark.parametrize(
    "boxes",
    [
        b"\0\0\0\x14ftypisom\0\0\x02\0isom",  # all whole, but no index at all
        b"\0\0\0\x14ftypisom\0\0\x02\0isom" + b"\0\0\0\0mdat" + b"\0" * 64,  # the last box goes on to the end
    ],
)
def test_an_mp4_of_whole_boxes_without_a_track_is_not_called_cut_off(boxes: bytes) -> None:
    with pytest.raises(UnsupportedMedia, match="looks like MP4 or QuickTime, but no video track"):
        open_clip(boxes, LIMITS)


def test_an_mp4_cut_off_within_a_large_box_is_undecodable() -> None:
    large = b"\0\0\0\x01mdat" + (5_000_000_000).to_bytes(8) + b"\0" * 64
    with pytest.raises(UndecodableClip, match="cut off"):
        open_clip(b"\0\0\0\x14ftypisom\0\0\x02\0isom" + large, LIMITS)


@pytest.mark.parametrize(
    ("name", "header"),
    [
        ("h264.mp4", Header(160, 120, 30, "container", 2.0, "h264")),
        ("vp9.webm", Header(160, 120, 30, "container", 2.0, "VP90")),
        ("live.webm", Header(160, 120, 30, "container", None, "VP90")),
        ("mpeg4.avi", Header(160, 120, 30, "container", 2.0, "FMP4")),
        ("animated.gif", Header(120, 90, 10, "container", 2.0, "gif")),
        ("animated.png", Header(64, 48, 10, "container", None, "apng")),
        ("slow.mp4", Header(160, 120, 5, "container", 2.0, "h264")),
        ("portrait.mp4", Header(90, 160, 30, "container", 1.0, "h264")),
    ],
)
def test_a_header_says_what_the_container_says(name: str, header: Header) -> None:
    assert open_clip(clip(name), LIMITS)[1] == header


def test_too_many_pixels_are_refused_before_decoding() -> None:
    with pytest.raises(LimitExceeded, match="160x120 = 19200 pixels; the limit is 19199") as refused:
        open_clip(clip("h264.mp4"), Limits(19_199, 60, 10_000))
    assert (refused.value.limit, refused.value.maximum) == ("KINEMA_MAX_PIXELS", "19199 pixels a frame")


def test_a_stated_duration_over_the_limit_is_refused_before_decoding() -> None:
    with pytest.raises(LimitExceeded, match=r"lasts 2\.0 s; the limit is 1\.5 s") as refused:
        open_clip(clip("h264.mp4"), Limits(1_000_000, 1.5, 10_000))
    assert (refused.value.limit, refused.value.maximum) == ("KINEMA_MAX_DURATION_S", "1.5 s")


def test_a_clip_at_its_limits_is_opened() -> None:
    assert open_clip(clip("h264.mp4"), Limits(160 * 120, 2.0, 60))[1].width == 160


def test_a_clip_without_a_frame_is_called_by_its_codec() -> None:
    error = nothing_decoded(Header(160, 120, 30, "container", 2.0, "h264"))
    assert "opens as h264 video" in error.detail


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """Listens on a free port; `accept` raises BlockingIOError where nobody has called."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        yield server


def concat(reference: str) -> bytes:
    """A list of clips, for FFmpeg."""
    return f"ffconcat version 1.0\nfile '{reference}'\nduration 2\n".encode()


def hls(reference: str) -> bytes:
    """A playlist, for FFmpeg."""
    return f"#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n{reference}\n#EXT-X-ENDLIST\n".encode()


def disguised(text: bytes) -> bytes:
    """The same with a remark that is not UTF-8, so that it gets as far as FFmpeg."""
    data = text.replace(b"\n", b"\n#\xff\xff\xff\xff\n", 1)
    assert recognise(data) is None
    return data


@pytest.mark.parametrize("write", [concat, hls])
def test_a_clip_that_names_a_file_does_not_open_it(write: Callable[[str], bytes]) -> None:
    with pytest.raises(UnsupportedMedia):
        open_clip(disguised(write(str(CLIPS / "h264.ts"))), LIMITS)


@pytest.mark.parametrize("protocol", ["http", "tcp"])
@pytest.mark.parametrize("write", [concat, hls])
def test_a_clip_that_names_an_address_does_not_call_it(
    write: Callable[[str], bytes], protocol: str, listener: socket.socket
) -> None:
    with pytest.raises(UnsupportedMedia):
        open_clip(disguised(write(f"{protocol}://127.0.0.1:{listener.getsockname()[1]}/h264.ts")), LIMITS)
    with pytest.raises(BlockingIOError):
        listener.accept()


def test_a_session_description_opens_no_socket() -> None:
    sdp = b"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 45678 RTP/AVP 96\n"
    with pytest.raises(UnsupportedMedia):  # opened, it would wait half a minute for packets
        open_clip(disguised(sdp + b"a=rtpmap:96 H264/90000\n"), LIMITS)


def test_it_is_the_service_that_keeps_references_shut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENCV_FFMPEG_CAPTURE_OPTIONS", "protocol_whitelist;file|safe;0")
    _, header = open_clip(disguised(concat(str(CLIPS / "h264.ts"))), LIMITS)
    assert header.codec == "h264"
