"""What can be watched, and what is told of it."""

from pathlib import Path

import pytest

from service.errors import SourceLost
from service.watch.address import Address, masked


@pytest.mark.parametrize(("text", "number"), [("0", "0"), ("12", "12"), ("/dev/video3", "3")])
def test_a_number_is_a_camera(text: str, number: str) -> None:
    address = Address.parse(text)
    assert (address.kind, address.opened, address.told, address.live) == ("camera", number, f"camera {number}", True)


def test_a_path_is_a_file_whatever_its_name_looks_like(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("concat:x.mp4", "12.mp4"):
        Path(name).touch()
        address = Address.parse(name)
        assert (address.kind, address.opened, address.told, address.live) == ("file", f"file:{name}", name, False)


def test_a_dash_is_what_is_piped_in() -> None:
    assert Address.parse("-").opened == "pipe:0"


@pytest.mark.parametrize("scheme", ["rtsp", "rtsps", "http", "https", "udp", "tcp", "RTSP"])
def test_a_url_may_open_its_own_protocols_and_no_file(scheme: str) -> None:
    address = Address.parse(f"{scheme}://host/path")
    assert address.live
    options = dict(option.split(";") for option in address.options.split("|"))
    allowed = options["protocol_whitelist"].split(",")
    assert scheme.lower() in allowed
    assert not {"file", "concat", "subfile", "pipe", "data"} & set(allowed)


@pytest.mark.parametrize(
    ("text", "what"),
    [("ftp://host/x", "ftp:// are not known"), ("not-there.mp4", "is not there"), (".", "is a directory")],
)
def test_what_cannot_be_watched_is_refused_in_words(text: str, what: str) -> None:
    with pytest.raises(SourceLost, match=what):
        Address.parse(text)


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("rtsp://host:554/cam/1", "rtsp://host:554/cam/1"),
        ("rtsp://user:p@ss/w?rd@host/cam", "rtsp://***@host/cam"),
        ("http://host/x?token=secret&b=1", "http://host/x?***"),
        ("http://host/x#secret", "http://host/x?***"),
        ("http://user@host?secret", "http://***@host?***"),
    ],
)
def test_what_may_be_secret_in_a_url_is_not_told(url: str, told: str) -> None:
    assert masked(url) == told


def test_a_playlist_is_known_by_its_name() -> None:
    assert Address.parse("https://host/live.m3u8?token=1").playlist
    assert not Address.parse("https://host/live.ts").playlist
