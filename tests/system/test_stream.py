"""Live streams as clients meet them: real sockets, shipped heads, parts that are killed, clients that misbehave."""

import asyncio
import json
import signal
import socket
import struct
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, asynccontextmanager
from functools import cache
from pathlib import Path
from typing import Any, Self

import httpx
import numpy as np
import pytest
from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as connect_async
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from service.alone import answer as alone
from service.stream.told import Told
from service.stream.wishes import Wishes
from tests.processes import decoders, kill, memory_mb
from tests.samples import ROOT, clip
from tests.server import PATIENCE_S, Server
from tests.streaming import Shot, engine, frames, load, make_streaming, noise, said, scores, sharing, shots

TOLERANCE = 1e-5
ARTIFACTS = ROOT / "model" / "artifacts"
HEADS = sorted(card.parent.name for card in ARTIFACTS.glob("*/card.json"))
GOLF = "real-golf.mp4"
# A whole window: of thirty frames a second, and of five, each of which stands for two moments.
WINDOW_S = 1.7
WINDOWS = {"h264.mp4": WINDOW_S, "slow.mp4": 1.61}
need_linux = pytest.mark.skipif(sys.platform != "linux", reason="processes are looked at in /proc")


@cache
def film(name: str, end_s: float) -> Sequence[Shot]:
    return frames(name, end_s)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_streaming(tmp_path_factory.mktemp("bundles"))


@pytest.fixture(scope="module")
def small(bundle: Path) -> Iterator[Server]:
    """A server of a model that takes next to nothing."""
    with Server(model=bundle, stream_ttl_s=30) as running:
        yield running.wait_ready()


class Raw:
    """A socket of a client that reads nothing, and goes without a goodbye."""

    def __init__(self, server: Server, **wishes: Any) -> None:
        host, _, port = server.url.removeprefix("http://").partition(":")
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
        self._socket.connect((host, int(port)))
        upgrade = ["GET /stream HTTP/1.1", "Host: x", "Upgrade: websocket", "Connection: Upgrade"]
        upgrade += ["Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==", "Sec-WebSocket-Version: 13", "", ""]
        self._socket.sendall("\r\n".join(upgrade).encode())
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += self._socket.recv(1)
        assert b" 101 " in head
        self.send(json.dumps(wishes).encode(), 1)
        self._socket.settimeout(1)

    def send(self, data: bytes, kind: int = 2) -> None:
        """Sends a message: 1 is text, 2 is binary; masked, as it has to be, but with zeros."""
        size = len(data)
        length = bytes([0x80 | size]) if size < 126 else bytes([0xFE]) + struct.pack(">H", size)
        self._socket.sendall(bytes([0x80 | kind]) + length + bytes(4) + data)

    def flood(self, data: Callable[[int], bytes], most: int) -> int:
        """Sends until the server takes no more; returns how many messages it took."""
        for number in range(most):
            try:
                self.send(data(number))
            except (TimeoutError, ConnectionError):
                return number
        return most

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._socket.close()


def message(shot: Shot) -> bytes:
    return struct.pack(">d", shot.time_s) + shot.image


def address(server: Server) -> str:
    return server.url.replace("http://", "ws://") + "/stream"


def talk(server: Server, sent: Sequence[Shot], **wishes: Any) -> list[dict[str, Any]]:
    """All that a socket is told of some frames, at whose end the client ends the stream."""
    with connect(address(server), compression=None, max_size=None) as live:
        live.send(json.dumps({"every_s": 0, "drop": "none", "top_k": 1000} | wishes))
        for shot in sent:
            live.send(message(shot))
        live.send('{"type": "end"}')
        return [json.loads(one) for one in live]


def answers(told: Sequence[dict[str, Any]]) -> list[Any]:
    return [(one["time_s"], one["predictions"], one["partial"]) for one in told if one["type"] == "answer"]


def freed(server: Server) -> None:
    server.until(lambda: server.metric("kinema_streams") == 0)
    assert server.metric("kinema_stream_bytes") == 0


@pytest.mark.parametrize("head", HEADS)
async def test_the_frames_of_a_clip_say_to_every_shipped_head_what_the_clip_says(head: str) -> None:
    bundle = load(ARTIFACTS / head)
    wishes = Wishes(top_k=100, every_s=3600)
    async with engine(bundle) as own:
        with sharing(own) as streams:
            for name, end_s in WINDOWS.items():
                _, stream = await streams.open(wishes)
                (told,) = await said(stream, film(name, end_s))
                assert isinstance(told, Told)
                expected = alone(bundle, clip(name), 0, end_s)
                np.testing.assert_allclose(scores(told.predictions), expected, rtol=0, atol=TOLERANCE)
                assert told.state_age_s == 1.6


def test_a_clip_says_the_same_over_every_way(server: Server) -> None:
    sent = film(GOLF, WINDOW_S)
    params = {"top_k": 1000, "end_s": WINDOW_S}
    files = {"file": (GOLF, clip(GOLF))}
    whole = httpx.post(f"{server.url}/predict", params=params, files=files, timeout=PATIENCE_S).json()
    found = [talk(server, sent, every_s=3600)[1]]
    wishes = {"every_s": 3600, "top_k": 1000}
    path = f"{server.url}/streams/" + httpx.post(f"{server.url}/streams", json=wishes).json()["id"]
    for start in range(0, len(sent), 20):
        part = sent[start : start + 20]
        form = {"time_s": [str(shot.time_s) for shot in part]}
        images = [("frame", ("f.png", shot.image, "image/png")) for shot in part]
        assert httpx.post(f"{path}/frames", data=form, files=images, timeout=PATIENCE_S).json()["news"] == []
    found += httpx.delete(path, timeout=PATIENCE_S).json()["news"]
    for one in found:
        np.testing.assert_allclose(scores(one["predictions"]), scores(whole["predictions"]), rtol=0, atol=TOLERANCE)
        assert one["predictions"][0]["label"] == "golf"
    assert (found[0]["used"], found[0]["received"]) == (len(whole["sampling"]["times_s"]), len(sent))
    freed(server)


def test_many_sockets_at_once_are_told_what_each_is_told_alone(small: Server) -> None:
    films = [shots(20, fps=8 + seed, seed=seed) for seed in range(5)]
    expected = [answers(talk(small, film)) for film in films]
    with ThreadPoolExecutor(25) as pool:
        together = list(pool.map(lambda number: answers(talk(small, films[number % 5])), range(50)))
    for number, found in enumerate(together):
        for (time_s, predictions, partial), other in zip(found, expected[number % 5], strict=True):
            assert (time_s, partial) == (other[0], other[2])
            np.testing.assert_allclose(scores(predictions), scores(other[1]), rtol=0, atol=TOLERANCE)
    freed(small)


def test_a_state_goes_on_at_another_server(small: Server, bundle: Path) -> None:
    first, last = shots(14), shots(8, start_s=1.4, seed=1)

    def push(server: Server, name: str, sent: Sequence[Shot]) -> list[Any]:
        found = []
        for shot in sent:
            headers, params = {"Content-Type": "image/png"}, {"time_s": shot.time_s}
            path = f"{server.url}/streams/{name}/frames"
            found += httpx.post(path, params=params, content=shot.image, headers=headers, timeout=PATIENCE_S).json()[
                "news"
            ]
        return answers(found)

    def begin(server: Server) -> str:
        return str(httpx.post(f"{server.url}/streams", json={"every_s": 0}).json()["id"])

    stays = begin(small)
    push(small, stays, first)
    state = httpx.get(f"{small.url}/streams/{stays}/state").content
    with Server(model=bundle) as other:
        goes = begin(other.wait_ready())
        assert httpx.get(f"{other.url}/streams/{stays}").status_code == 404
        assert httpx.put(f"{other.url}/streams/{goes}/state", content=state).status_code == 200
        assert push(other, goes, last) == push(small, stays, last)
    httpx.delete(f"{small.url}/streams/{stays}")
    freed(small)


def test_a_socket_that_is_cut_frees_its_stream_at_once(small: Server) -> None:
    broken = small.metric("kinema_streams_ended_total", reason="broken")
    for count in (0, 3, 40):
        with Raw(small) as live:
            for shot in shots(count):
                live.send(message(shot))
            small.until(lambda: small.metric("kinema_streams") == 1)
        freed(small)
    small.until(lambda: small.metric("kinema_streams_ended_total", reason="broken") == broken + 3)


def test_a_message_larger_than_any_frame_ends_the_socket(small: Server) -> None:
    with connect(address(small), compression=None) as live:
        live.send("{}")
        live.recv()
        with pytest.raises(ConnectionClosed) as ended:  # noqa: PT012 - the end may come while it is being sent
            live.send(bytes(9_000_000))
            live.recv()
        # A socket that is closed with bytes unread may be reset before its client has read why.
        assert ended.value.rcvd is None or ended.value.rcvd.code == 1009
    freed(small)


def test_what_clients_send_leaves_lines_of_json_and_no_secret(small: Server) -> None:
    name = httpx.post(f"{small.url}/streams").json()["id"]
    jpeg = b"\xff\xd8\xff\xc0\x00\x11\x08\x00\x10\x00\x10\x03\x01\x11\x00\x02\x11\x01\x03\x11\x01" + b"\xff\xda" * 20
    for index, image in enumerate((jpeg, noise(1)[:100], b"RIFF\0\0\0\0WEBPVP8L/" + bytes(20), b"P6 9 9 255\n")):
        path = f"{small.url}/streams/{name}/frames"
        headers, params = {"Content-Type": "image/jpeg"}, {"time_s": index / 10}
        refused = httpx.post(path, content=image, headers=headers, params=params, timeout=PATIENCE_S)
        assert refused.status_code in {415, 422}, refused.text
    httpx.delete(f"{small.url}/streams/{name}")
    assert all(json.loads(line) for line in small.output)
    assert name not in "".join(small.output)
    freed(small)


@need_linux
def test_decoders_that_are_killed_cost_no_stream_and_few_frames(small: Server) -> None:
    sent = shots(60)
    kills = 3
    with connect(address(small), compression=None) as live:
        live.send('{"every_s": 0, "drop": "none"}')
        live.recv()
        for index, shot in enumerate(sent):
            if index % 20 == 10:
                for pid in decoders(small.process.pid):
                    kill(pid)
            live.send(message(shot))
        live.send('{"type": "end"}')
        told = [json.loads(one) for one in live]
    problems = [one for one in told if one["type"] == "problem"]
    assert len(problems) <= kills
    assert all("SIGKILL" in one["problem"]["detail"] for one in problems)
    assert told[-1]["used"] == 60 - len(problems)
    freed(small)


def test_sigterm_lets_sockets_end_with_what_was_left_to_tell(bundle: Path) -> None:
    with Server(model=bundle) as draining:
        draining.wait_ready()
        httpx.post(f"{draining.url}/streams")  # nobody holds this one
        with connect(address(draining), compression=None) as live, connect(address(draining)) as mute:
            live.send('{"every_s": 3600}')
            live.recv()
            for shot in shots(5):
                live.send(message(shot))
            draining.until(lambda: draining.metric("kinema_stream_frames_total", stage="used") == 5)
            draining.signal(signal.SIGTERM)
            told = []
            with pytest.raises(ConnectionClosed) as ended:  # noqa: PT012 - until it ends
                while True:
                    told.append(json.loads(live.recv(timeout=PATIENCE_S)))
            assert [one["type"] for one in told] == ["answer", "end"]
            assert (told[0]["partial"], told[0]["time_s"]) == (True, 0.4)
            assert (told[1]["reason"], told[1]["used"]) == ("drained", 5)
            assert ended.value.rcvd is not None
            assert ended.value.rcvd.code == 1012
            assert draining.wait() == 0
            with pytest.raises(ConnectionClosed):
                mute.recv(timeout=PATIENCE_S)


@need_linux
@pytest.mark.alone
def test_clients_that_neither_wait_nor_read_take_little_memory_and_are_given_up(bundle: Path) -> None:
    image, nothing = noise(1, side=300), struct.pack(">d", float("nan")) + bytes(2000)
    with Server(model=bundle, stream_ttl_s=5) as flooded, ExitStack() as stack:
        flooded.wait_ready()
        talk(flooded, shots(30))
        before_mb = memory_mb(flooded.process.pid)
        for drop in ("oldest", "none"):
            sending = stack.enter_context(Raw(flooded, every_s=0, drop=drop))
            sending.flood(lambda number: message(Shot(number / 10, image)), 150)
            assert memory_mb(flooded.process.pid) - before_mb < 30
        taken = stack.enter_context(Raw(flooded)).flood(lambda number: nothing, 100_000)
        assert taken < 100_000, "problems that nobody reads are not made without end"
        assert memory_mb(flooded.process.pid) - before_mb < 30
        assert httpx.get(f"{flooded.url}/readyz").status_code == 200
        assert answers(talk(flooded, shots(5))), "others are served"
        freed(flooded)
        assert memory_mb(flooded.process.pid) - before_mb < 30


def test_frames_that_come_as_fast_as_the_line_takes_them_are_dropped_only_where_they_may_be(small: Server) -> None:
    sent = [Shot(index / 10, noise(index % 9, side=200)) for index in range(200)]
    held_up = talk(small, sent, every_s=3600, drop="none")[-1]
    assert (held_up["received"], held_up["used"], held_up["dropped"]) == (200, 200, 0)
    for drop in ("oldest", "newest"):
        end = talk(small, sent, every_s=3600, drop=drop)[-1]
        assert end["received"] == 200
        assert end["used"] + end["dropped"] == 200
        assert end["dropped"] > 0
    freed(small)


@need_linux
@pytest.mark.alone
async def test_hundreds_of_streams_that_come_and_go_leave_nothing(bundle: Path) -> None:
    with Server(model=bundle) as busy:
        busy.wait_ready()
        sent = shots(6)

        @asynccontextmanager
        async def opened() -> AsyncIterator[ClientConnection]:
            async with connect_async(address(busy), compression=None) as live:
                await live.send('{"every_s": 0}')
                await live.recv()
                yield live

        async def visit(number: int) -> None:
            async with opened() as live:
                for shot in sent[: number % 7]:
                    await live.send(message(shot))
                if number % 3:
                    await live.send('{"type": "end"}')
                    async for _ in live:
                        pass

        async def crowd(count: int) -> None:
            for start in range(0, count, 50):
                await asyncio.gather(*(visit(start + index) for index in range(50)))

        await crowd(100)  # whatever is allocated once, is allocated now
        freed(busy)
        before_mb = memory_mb(busy.process.pid)
        await crowd(200)
        freed(busy)
        assert memory_mb(busy.process.pid) - before_mb < 15
        assert busy.metric("kinema_streams_ended_total", reason="failed") == 0


def test_a_stream_is_answered_while_others_flood(small: Server) -> None:
    with ExitStack() as stack, ThreadPoolExecutor(3) as pool:
        flooding = [stack.enter_context(Raw(small, every_s=3600)) for _ in range(3)]
        floods = [pool.submit(one.flood, lambda n: message(Shot(n / 10, noise(n % 9))), 1000) for one in flooding]
        assert len(answers(talk(small, shots(20)))) == 19
        for flood in floods:
            flood.result()
    freed(small)
