"""A clip's bytes behind a descriptor, and the memory that its pictures share."""

import os
from pathlib import Path

import numpy as np
import pytest

from service.errors import BundleError, Busy, LimitExceeded, MalformedRequest, UndecodableClip, UnsupportedMedia
from service.video.canvas import Canvas, canvas_bytes
from service.video.encoded import EncodedClip
from service.video.sample import SamplingPlan
from service.video.spec import PictureSpec
from service.video.wire import Failed, failed, raised, read_said

PLAN = SamplingPlan(num_clips=2, clip_len=5, fps=10, anchored=False)
LOOK = PictureSpec(name="look", picture="rgb", size=4, cadence=2)
GLANCE = PictureSpec(name="glance", picture="rgb", size=2, cadence=1)


def test_every_reader_has_a_position_of_its_own() -> None:
    with EncodedClip.of(b"0123456789") as clip:
        assert clip.size == 10
        one, other = clip.open(), clip.open()
        assert one.read(4) == b"0123"
        assert other.read() == b"0123456789"
        assert one.read(2) == b"45"
        assert one.seek(-3, os.SEEK_END) == 7
        assert one.read() == b"789"
        assert other.seek(1) == 1
        assert other.seek(2, os.SEEK_CUR) == 3
        assert other.tell() == 3


def test_a_closed_clip_holds_no_descriptor() -> None:
    clip = EncodedClip.of(b"x")
    descriptor = clip.fileno()
    clip.close()
    clip.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)


def test_a_file_is_read_where_it_is(tmp_path: Path) -> None:
    (tmp_path / "clip").write_bytes(b"abc")
    with EncodedClip.read(tmp_path / "clip") as clip:
        assert clip.open().read() == b"abc"
    with pytest.raises(MalformedRequest, match="No such file"):
        EncodedClip.read(tmp_path / "none")


def test_without_files_in_memory_a_file_without_a_name_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "memfd_create", raising=False)
    with EncodedClip.of(b"abc") as clip:
        assert clip.open().read() == b"abc"
    Canvas(PLAN, (LOOK,)).close()


def test_what_is_painted_on_one_side_is_seen_on_the_other() -> None:
    ours = Canvas(PLAN, (LOOK, GLANCE))
    theirs = Canvas(PLAN, (LOOK, GLANCE), os.dup(ours.fileno()))
    ours.close()
    places = [("look", w, s, 4) for w in range(2) for s in (0, 2, 4)] + [
        ("glance", w, s, 2) for w in range(2) for s in range(5)
    ]
    for value, (kind, window, step, _) in enumerate(places):
        theirs.picture(kind, window, step)[:] = value
    for value, (kind, window, step, size) in enumerate(places):
        seen = ours.picture(kind, window, step)
        assert seen.shape == (size, size, 3)
        assert (seen == value).all(), "no two pictures share a place"
    flags = [theirs.stopped]
    ours.stop()
    flags.append(theirs.stopped)
    assert flags == [False, True]
    assert canvas_bytes(PLAN, (LOOK, GLANCE)) >= 6 * 48 + 10 * 12


@pytest.mark.parametrize("place", [("other", 0, 0), ("look", 2, 0), ("look", 0, 1), ("look", 0, 6), ("look", -1, 0)])
def test_there_is_no_place_for_what_the_plan_does_not_know(place: tuple[str, int, int]) -> None:
    with pytest.raises(ValueError, match="no place"):
        Canvas(PLAN, (LOOK,)).picture(*place)


def test_memory_goes_with_the_last_picture() -> None:
    canvas = Canvas(PLAN, (LOOK,))
    picture = canvas.picture("look", 1, 4)
    picture[:] = 7
    canvas.close()
    del canvas
    np.testing.assert_array_equal(picture, 7)


@pytest.mark.parametrize(
    "error",
    [
        LimitExceeded("KINEMA_MAX_PIXELS", "5", "detail", "advice"),
        UnsupportedMedia("detail", "advice", "text"),
        UndecodableClip("detail", "advice"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_error_comes_over_the_wire_as_it_was(error: LimitExceeded | UnsupportedMedia | UndecodableClip) -> None:
    again = raised(failed(error))
    assert type(again) is type(error)
    assert vars(again) == vars(error)


@pytest.mark.parametrize("name", [BundleError.__name__, Busy.__name__, "Exception", "nothing"])
def test_only_errors_of_the_clip_come_over_the_wire(name: str) -> None:
    with pytest.raises(ValueError, match="no error of a clip"):
        raised(Failed(name, {"detail": "x"}))


@pytest.mark.parametrize("line", [b"", b"{}", b'{"said": "painted"}', b'{"said": "other"}', b"\x80\x04"])
def test_what_nobody_understands_is_refused(line: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - pydantic's words
        read_said(line)
