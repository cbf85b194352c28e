"""Streams of encoded video: decoded while it arrives, by a process for each."""

import json
import os
import signal
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from tests.processes import decoders
from tests.samples import clip
from tests.server import Server
from tests.streaming import frames, make_streaming
from tests.system.test_stream import address, talk

CHUNK = 700


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    bundle = make_streaming(tmp_path_factory.mktemp("bundles"))
    with Server(model=bundle, video_streams=2, max_pixels=320 * 240) as running:
        yield running.wait_ready()


def chunks(data: bytes) -> Iterator[bytes]:
    for start in range(0, len(data), CHUNK):
        yield data[start : start + CHUNK]


def begin(socket: ClientConnection, **wishes: Any) -> dict[str, Any]:
    socket.send(json.dumps({"format": "video", "every_s": 0, **wishes}))
    said: dict[str, Any] = json.loads(socket.recv())
    return said


def told(server: Server, sent: Iterable[bytes], *, end: bool = True, **wishes: Any) -> list[dict[str, Any]]:
    """All that a socket is told of a video, and the code that it is closed with."""
    said: list[dict[str, Any]] = []
    with connect(address(server)) as socket:
        begin(socket, **wishes)
        try:
            for chunk in sent:
                socket.send(chunk)
            if end:
                socket.send(json.dumps({"type": "end"}))
            said += map(json.loads, socket)
        except ConnectionClosed:
            said += map(json.loads, _left(socket))
    return [*said, {"type": "close", "code": socket.close_code}]


def _left(socket: ClientConnection) -> Iterator[str]:
    """What came before a socket was closed."""
    try:
        while True:
            yield str(socket.recv())
    except ConnectionClosed:
        return


@pytest.mark.parametrize("name", ["live.webm", "recorder.webm", "fragmented.mp4"])
def test_a_video_that_arrives_is_looked_at_like_its_frames_one_by_one(name: str, server: Server) -> None:
    arrived = [one for one in told(server, chunks(clip(name)), top_k=9) if one["type"] == "answer"]
    sent = [one for one in talk(server, frames(name, 60.0), top_k=9, every_s=0, drop="none") if one["type"] == "answer"]
    assert len(arrived) == len(sent) > 10
    for one, other in zip(arrived, sent, strict=True):
        assert one["time_s"] == pytest.approx(other["time_s"], abs=1e-6)
        scores, expected = ({each["label"]: each["score"] for each in said["predictions"]} for said in (one, other))
        assert scores == pytest.approx(expected, abs=1e-5)
    assert arrived[-1]["received"] == sent[-1]["received"]


def test_frames_are_told_before_the_video_has_arrived(server: Server) -> None:
    data = clip("recorder.webm")
    with connect(address(server)) as socket:
        begin(socket)
        socket.send(data[: len(data) // 2])
        assert json.loads(socket.recv())["type"] == "answer"


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (clip("picture.jpg"), 4415),
        (b"no video at all" * 1000, 4415),
        (clip("h264.mp4"), 4415),  # its index comes last: it cannot be read while it arrives
        (b"", 4415),
    ],
    ids=["picture", "text", "mp4", "nothing"],
)
def test_what_cannot_be_decoded_as_it_arrives_is_told(sent: bytes, code: int, server: Server) -> None:
    problem, closed = told(server, chunks(sent))
    assert problem["type"] == "problem"
    assert problem["problem"]["status"] == code - 4000
    assert "MediaRecorder" in problem["problem"]["advice"]
    assert closed["code"] == code


def test_frames_over_the_limit_are_refused(server: Server, tmp_path: Path) -> None:
    with Server(model=make_streaming(tmp_path), max_pixels=100 * 100) as small:
        small.wait_ready()
        problem, closed = told(small, chunks(clip("recorder.webm")))
    assert problem["problem"]["limit"] == "KINEMA_MAX_PIXELS"
    assert closed["code"] == 4413


def test_only_so_many_are_decoded_and_others_are_told_so(server: Server) -> None:
    with connect(address(server)) as one, connect(address(server)) as two:
        assert begin(one)["type"] == begin(two)["type"] == "ready"
        with connect(address(server)) as third:
            assert begin(third)["problem"]["status"] == 429
            with pytest.raises(ConnectionClosed):
                third.recv()
            assert third.close_code == 4429
    server.until(lambda: server.metric("kinema_streams") == 0)
    with connect(address(server)) as after:
        assert begin(after)["type"] == "ready"


def test_a_client_that_goes_takes_its_decoder_along(server: Server) -> None:
    server.until(lambda: server.metric("kinema_streams") == 0)
    before = set(decoders(server.process.pid))
    with connect(address(server)) as socket:
        begin(socket)
        (own,) = set(decoders(server.process.pid)) - before
        socket.send(clip("recorder.webm")[:2000])
    server.until(lambda: own not in decoders(server.process.pid))
    assert set(decoders(server.process.pid)) == before


def test_a_decoder_that_dies_ends_its_stream_alone(server: Server) -> None:
    server.until(lambda: server.metric("kinema_streams") == 0)
    before = set(decoders(server.process.pid))
    with connect(address(server)) as socket, connect(address(server)) as other:
        begin(socket)
        (own,) = set(decoders(server.process.pid)) - before
        begin(other)
        os.kill(own, signal.SIGKILL)
        assert json.loads(socket.recv())["problem"]["status"] == 422
        with pytest.raises(ConnectionClosed):
            socket.recv()
        assert socket.close_code == 4422
        other.send(clip("recorder.webm"))
        assert json.loads(other.recv())["type"] == "answer"
