"""The engine under load, while parts of it are killed, stopped and deserted."""

import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from tests.processes import canvases, cpu_ticks, decoders, descriptors, kill, memory_mb
from tests.require import need
from tests.samples import CLIPS, clip
from tests.server import PATIENCE_S, Server

GOLF = clip("real-golf.mp4")
need_linux = pytest.mark.skipif(sys.platform != "linux", reason="processes are looked at in /proc")
pytestmark = [need_linux, pytest.mark.alone]


@pytest.fixture(scope="module")
def engine() -> Iterator[Server]:
    with Server(decoders=2) as running:
        yield running.wait_ready()


def post(server: Server, data: bytes, **headers: str) -> httpx.Response:
    return httpx.post(
        f"{server.url}/predict",
        content=data,
        headers={"Content-Type": "video/mp4", **headers},
        timeout=PATIENCE_S,
    )


def desert(server: Server, data: bytes, wait_s: float) -> None:
    """Posts a clip and hangs up after a while."""
    host, _, port = server.url.removeprefix("http://").partition(":")
    head = f"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: video/mp4\r\nContent-Length: {len(data)}\r\n\r\n"
    with socket.create_connection((host, int(port)), timeout=PATIENCE_S) as connection:
        connection.sendall(head.encode() + data)
        time.sleep(wait_s)


def busiest(server: Server) -> int:
    """The decoder that is working: the one whose CPU time has grown most in a moment."""
    before = {pid: cpu_ticks(pid) for pid in decoders(server.process.pid)}
    time.sleep(0.1)
    return max(before, key=lambda pid: cpu_ticks(pid) - before[pid])


def settled(server: Server) -> None:
    server.until(lambda: server.metric("kinema_requests_in_progress") == 0)


def test_killing_decoders_under_load_costs_their_clips_alone(engine: Server) -> None:
    kills = 4
    with ThreadPoolExecutor(8) as pool:
        answers: list[Future[httpx.Response]] = [pool.submit(post, engine, GOLF) for _ in range(60)]
        for _ in range(kills):
            kill(busiest(engine))
        statuses = Counter(answer.result().status_code for answer in answers)
    assert set(statuses) <= {200, 422}
    assert statuses[422] <= kills
    for answer in answers:
        if answer.result().status_code == 422:
            assert "ended by SIGKILL" in answer.result().json()["detail"]
        else:
            assert answer.result().json()["predictions"][0]["label"] == "golf"
    engine.until(lambda: len(decoders(engine.process.pid)) == 5)


def test_without_decoders_it_is_not_ready_until_they_are_replaced(engine: Server) -> None:
    before = decoders(engine.process.pid)
    assert len(before) == 5
    for pid in before:
        kill(pid)
    engine.until(lambda: httpx.get(f"{engine.url}/readyz").status_code == 503)
    engine.until(lambda: httpx.get(f"{engine.url}/readyz").status_code == 200)
    assert not set(before) & set(decoders(engine.process.pid))
    assert post(engine, GOLF).status_code == 200


def test_a_decoder_that_hangs_costs_its_clip_its_deadline_and_is_replaced(engine: Server) -> None:
    stopped = decoders(engine.process.pid)
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)
    late = post(engine, GOLF, **{"X-Request-Timeout": "1"})
    assert (late.status_code, late.json()["type"]) == (504, "urn:kinema:problem:deadline-exceeded")
    for pid in stopped:
        try:
            os.kill(pid, signal.SIGCONT)
        except ProcessLookupError:
            continue  # this one has been replaced
    assert post(engine, GOLF).status_code == 200
    engine.until(lambda: len(decoders(engine.process.pid)) == 5)


def test_a_deadline_that_cannot_be_met_is_refused_before_it_costs_anything(engine: Server) -> None:
    frames = engine.metric("kinema_frames_total", stage="decoded")
    hopeless = post(engine, GOLF, **{"X-Request-Timeout": "0.001"})
    assert hopeless.status_code == 504
    assert engine.metric("kinema_frames_total", stage="decoded") == frames
    assert post(engine, GOLF, **{"X-Request-Timeout": "soon"}).status_code == 422


def test_work_beyond_the_backlog_is_refused_before_the_upload_is_read() -> None:
    with Server(max_backlog_s=0.05) as tiny:
        tiny.wait_ready()
        with ThreadPoolExecutor(8) as pool:
            answers = [future.result() for future in [pool.submit(post, tiny, GOLF) for _ in range(16)]]
        statuses = Counter(answer.status_code for answer in answers)
        assert set(statuses) == {200, 429}
        for answer in answers:
            if answer.status_code == 429:
                assert int(answer.headers["Retry-After"]) >= 1
                assert "keep all cores busy" in answer.json()["detail"]
        assert httpx.get(f"{tiny.url}/readyz").status_code == 200
        assert post(tiny, GOLF).status_code == 200


def test_nothing_is_left_of_a_thousand_mixed_requests(engine: Server) -> None:
    pid = engine.process.pid
    good, bad = (
        clip("short.mp4"),
        [clip(name) for name in ("text.mp4", "cut-index-last.mp4", "audio.mp3", "cut-no-frame.webm")],
    )
    for _ in range(20):  # whatever is allocated once, is allocated now
        post(engine, good)
    settled(engine)
    assert canvases(pid) == 0  # also while decoders wait, no clip's pictures are kept
    chance = random.Random(1)
    before = (descriptors(pid), len(decoders(pid)), canvases(pid))
    held_mb = memory_mb(pid)

    def mixed(number: int) -> int:
        match number % 3:
            case 0:
                return post(engine, good).status_code
            case 1:
                return post(engine, bad[number % len(bad)]).status_code
            case _:
                desert(engine, GOLF, chance.random() * 0.15)
                return 499

    with ThreadPoolExecutor(12) as pool:
        statuses = Counter(pool.map(mixed, range(1000)))
    assert set(statuses) == {200, 415, 422, 499}
    settled(engine)
    assert engine.metric("kinema_queue_depth") == 0
    engine.until(lambda: (descriptors(pid), len(decoders(pid)), canvases(pid)) == before)
    assert memory_mb(pid) < held_mb + 50
    assert engine.metric("kinema_request_failures_total", reason="other") == 0


@pytest.fixture(scope="module")
def hour(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An hour-long clip, made by looping."""
    ffmpeg = shutil.which("ffmpeg")
    need("ffmpeg", ffmpeg is not None, "FFmpeg is not installed")
    made = tmp_path_factory.mktemp("hour") / "hour.mp4"
    source = CLIPS / "h264.mp4"
    loop = [str(ffmpeg), "-v", "error", "-stream_loop", "1799", "-i", str(source), "-c", "copy", str(made)]
    subprocess.run(loop, check=True)
    return made


@pytest.mark.parametrize("decode", ["auto", "exact"])
def test_memory_after_an_hour_long_clip_is_what_it_was_before(hour: Path, decode: str) -> None:
    with Server(decode=decode, max_duration_s=4000, max_frames=200_000, decoders=1) as patient:
        patient.wait_ready()
        for _ in range(3):
            post(patient, GOLF)
        before_mb = memory_mb(patient.process.pid)
        answer = post(patient, hour.read_bytes())
        assert answer.status_code == 200
        assert answer.json()["media"]["duration_s"] == pytest.approx(3600, abs=1)
        times = answer.json()["sampling"]["times_s"]
        assert times[-1] > 2900, "its last window is far into the hour"
        assert (answer.json()["media"]["frames_decoded"] < 10_000) == (decode == "auto")
        settled(patient)
        assert memory_mb(patient.process.pid) < before_mb + 50


def test_uploads_take_the_memory_that_the_settings_say_and_no_more() -> None:
    uploads, upload_mb, memory = 16, 20, 0.5
    with Server(upload_memory_mb=memory, max_in_flight=uploads) as bounded:
        bounded.wait_ready()
        post(bounded, GOLF)
        before_mb = memory_mb(bounded.process.pid)
        host, _, port = bounded.url.removeprefix("http://").partition(":")
        size = upload_mb * 10**6
        head = f"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: video/mp4\r\nContent-Length: {size}\r\n\r\n"
        connections = [socket.create_connection((host, int(port)), timeout=PATIENCE_S) for _ in range(uploads)]
        try:
            for connection in connections:
                connection.sendall(head.encode() + b"\0" * (size - 1))
            bounded.until(lambda: bounded.metric("kinema_requests_in_progress") == uploads)
            assert memory_mb(bounded.process.pid) - before_mb < uploads * (2 * memory + 4)
        finally:
            for connection in connections:
                connection.close()
        settled(bounded)
