"""`kinema bench` against a real server, shortly. How fast that is, is no matter here."""

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.container.podman import free_port
from tests.processes import heard
from tests.samples import CLIPS, ROOT
from tests.server import PATIENCE_S, Server, kinema

pytestmark = pytest.mark.alone

GOLF, PULLUP = CLIPS / "real-golf.mp4", CLIPS / "real-pullup.mp4"
# Any answer within a minute is good enough.
EASY = ("--p95", "60000")


def test_one_rate_is_measured_and_told_in_a_table(server: Server) -> None:
    done = kinema("bench", server.url, GOLF, PULLUP, "--rate", "4", "--seconds", "1", *EASY)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].split()[:2] == ["offered/s", "answered/s"]
    assert lines[1].split()[0] == "4.00"
    assert lines[1].endswith("carried")
    assert lines[-1].startswith(f"{server.url} carries 4.00 clips/s")


@pytest.mark.parametrize("arrivals", ["fixed", "poisson"])
def test_one_rate_is_told_in_json(server: Server, arrivals: str) -> None:
    before = server.metric("kinema_requests_total", code="200")
    options = ("--rate", "4", "--seconds", "1", "--arrivals", arrivals, "--json", *EASY)
    done = kinema("bench", f"{server.url}/", GOLF, PULLUP, *options)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["clips"] == [str(GOLF), str(PULLUP)]
    assert told["arrivals"] == arrivals
    assert told["alone_p50_ms"] > 0
    (step,) = told["steps"]
    assert told["carried"] == {key: step[key] for key in ("rate", "answered_per_s", "p95_ms")}
    assert step["outcomes"] == {"200": step["sent"]}
    assert 0 < step["p50_ms"] <= step["p95_ms"] <= step["p99_ms"]
    # Five alone, and in both seconds, the one that settles and the one that is measured, four.
    assert server.metric("kinema_requests_total", code="200") - before == 13


def test_a_search_ends_with_the_rate_below_the_one_that_was_refused() -> None:
    """A server with one slot refuses what comes while it works, so that a search soon finds its limit."""
    with Server(max_in_flight=1) as server:
        server.wait_ready()
        done = kinema("bench", server.url, GOLF, "--seconds", "0.5", "--errors", "10", "--json", *EASY)
    told = json.loads(done.stdout)
    rates = [step["rate"] for step in told["steps"]]
    assert len(rates) >= 2
    assert any(step["refused"] for step in told["steps"])
    assert done.returncode == (0 if told["carried"] else 1)
    if told["carried"]:
        above = min(step["rate"] for step in told["steps"] if step["fault"])
        assert told["carried"]["rate"] < above <= 1.051 * told["carried"]["rate"]


def test_refusals_are_told_and_a_rate_that_is_not_carried_shows_in_the_exit_code() -> None:
    with Server(max_in_flight=1) as server:
        server.wait_ready()
        done = kinema("bench", server.url, GOLF, "--rate", "60", "--seconds", "0.5", "--json", *EASY)
    told = json.loads(done.stdout)
    assert done.returncode == 1
    assert told["carried"] is None
    (step,) = told["steps"]
    assert step["refused"] > 0
    assert step["failed"] == 0
    assert step["answered"] + step["refused"] == step["sent"] == 30
    assert "refused (429)" in told["verdict"]


def test_ctrl_c_tells_what_was_found_so_far(server: Server) -> None:
    before = server.metric("kinema_requests_total")
    with heard(signal.SIGINT):
        process = subprocess.Popen(
            [sys.executable, "-m", "service.cli", "bench", server.url, str(GOLF), "--seconds", "60", "--json", *EASY],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
    try:
        server.until(lambda: server.metric("kinema_requests_total") > before + 6)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=PATIENCE_S)
    finally:
        process.kill()  # its load would reach the tests that follow
    assert process.returncode == 130, err
    told = json.loads(out)
    assert told["interrupted"]
    assert told["verdict"] == "Interrupted. No step was completed."
    assert err == ""
    server.until(lambda: server.metric("kinema_requests_in_progress") == 0)


@contextmanager
def _answering(status: int, body: bytes = b"{}") -> Iterator[str]:
    """The URL of a server that answers everything alike."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:  # the name that the base class calls
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body)

        def log_request(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()
        thread.join()


def _fails(told: str, *arguments: str | Path) -> None:
    done = kinema("bench", *arguments)
    assert done.returncode == 1
    assert told in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_no_server_is_said_in_words() -> None:
    _fails("cannot be reached", f"http://127.0.0.1:{free_port()}", GOLF, "--json")


@pytest.mark.parametrize("url", ["localhost:8000", "ftp://localhost", "http://", "http://[", "kinema"])
def test_what_is_no_url_of_a_server_is_said_in_words(url: str) -> None:
    _fails("URL", url, GOLF)


def test_a_server_that_is_not_ready_is_said_in_words() -> None:
    body = b'{"status": "not ready", "checks": {"loaded": {"ok": true}, "warmed": {"ok": false}}}'
    with _answering(503, body) as url:
        _fails("is not ready (does not hold: warmed)", url, GOLF)


@pytest.mark.parametrize(("status", "body"), [(404, b"no"), (200, b"hello"), (200, b"[]")])
def test_another_server_is_said_in_words(status: int, body: bytes) -> None:
    with _answering(status, body) as url:
        _fails("not as a Kinema server does", url, GOLF)


def test_clips_that_cannot_be_posted_are_said_in_words(server: Server, tmp_path: Path) -> None:
    empty = tmp_path / "empty.mp4"
    empty.touch()
    _fails("No such file", server.url, CLIPS / "not-there.mp4")
    _fails("is empty", server.url, empty)
    _fails("text.mp4 is answered with 415", server.url, GOLF, CLIPS / "text.mp4")


def test_a_target_that_not_even_a_lone_clip_reaches(server: Server) -> None:
    done = kinema("bench", server.url, GOLF, "--p95", "1")
    assert done.returncode == 1
    assert "without load, over 1 ms" in done.stdout


def test_more_than_can_be_kept_count_of_is_refused(server: Server) -> None:
    _fails("more than 100000", server.url, GOLF, "--rate", "1000", "--seconds", "100")


def test_so_many_streams_are_measured_and_told_in_a_table(server: Server) -> None:
    done = kinema("bench", server.url, GOLF, PULLUP, "--streams", "--count", "2", "--seconds", "1", *EASY)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].split()[:2] == ["streams", "answered/s"]
    assert lines[1].split()[0] == "2"
    assert lines[1].rstrip().endswith("carried")
    assert lines[-1].startswith(f"{server.url} carries 2 streams")
    server.until(lambda: server.metric("kinema_streams") == 0)


def test_streams_are_told_in_json(server: Server) -> None:
    options = ("--streams", "--count", "2", "--seconds", "1", "--every", "0.5", "--fps", "25", "--json", *EASY)
    done = kinema("bench", server.url, GOLF, *options)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["clips"], told["every_s"], told["fps"]) == ([str(GOLF)], 0.5, 25)
    (step,) = told["steps"]
    assert told["carried"] == {key: step[key] for key in ("streams", "answered_per_s", "p95_ms")}
    assert step["outcomes"] == {"200": step["sent"]}
    # Two answers a second from each of two streams, give or take the one at the edge.
    assert 2 <= step["sent"] <= 6
    assert 0 < step["p50_ms"] <= step["p95_ms"]


def test_a_search_ends_with_the_streams_that_there_is_room_for() -> None:
    with Server(streams=2) as server:
        server.wait_ready()
        done = kinema("bench", server.url, GOLF, "--streams", "--seconds", "1", "--json", *EASY)
    told = json.loads(done.stdout)
    assert done.returncode == 0, done.stderr
    assert told["carried"]["streams"] == 2
    above = next(step for step in told["steps"] if step["streams"] == 3)
    assert above["refused"] > 0
    assert "refused (429)" in told["verdict"]


def test_streams_that_are_not_carried_show_in_the_exit_code() -> None:
    with Server(streams=1) as server:
        server.wait_ready()
        done = kinema("bench", server.url, GOLF, "--streams", "--count", "2", "--seconds", "1", "--json", *EASY)
    assert done.returncode == 1
    assert json.loads(done.stdout)["carried"] is None


def test_no_server_for_streams_is_said_in_words() -> None:
    _fails("cannot be reached", f"http://127.0.0.1:{free_port()}", GOLF, "--streams")


def test_a_server_without_streams_is_said_in_words() -> None:
    with _answering(200, b'{"checks": {}}') as url:
        _fails("opens no WebSocket", url, GOLF, "--streams")


def test_clips_without_frames_are_said_in_words(server: Server) -> None:
    _fails("No such file", server.url, CLIPS / "not-there.mp4", "--streams")
    _fails("not a video", server.url, CLIPS / "text.mp4", "--streams")


@pytest.mark.parametrize("options", [("--count", "2"), ("--fps", "10"), ("--every", "1"), ("--streams", "--rate", "1")])
def test_options_that_do_not_go_together_are_refused(options: tuple[str, ...]) -> None:
    done = kinema("bench", "http://127.0.0.1:1", GOLF, *options)
    assert done.returncode == 2
    assert "--rate is of clips" in done.stderr
