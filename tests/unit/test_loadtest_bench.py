"""`kinema bench` against a server that does what the real one should not: it ends in the midst."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple

import pytest

from service.errors import MeasurementError
from service.load.arrivals import Arrivals
from service.load.bench import bench
from service.load.offer import Pace
from service.load.step import Goal
from tests.samples import CLIPS

pytestmark = pytest.mark.alone

GOLF = CLIPS / "real-golf.mp4"
GOAL = Goal(p95_s=30.0, errors=0.0)
PACE = Pace(Arrivals.FIXED, seconds=0.2, settle_s=0.0, connections=8)


class Fake(NamedTuple):
    """A ready server; `lives` holds how many clips it still answers before it hangs up on all."""

    url: str
    lives: list[int]


@pytest.fixture
def fake() -> Iterator[Fake]:
    lives = [0]
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _answer(self, body: bytes) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_GET(self) -> None:  # the name that the base class calls
            self._answer(b'{"status": "ready", "checks": {}}')

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            with lock:
                lives[0] -= 1
            if lives[0] >= 0:
                self._answer(b"{}")
            else:
                self.close_connection = True

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield Fake(f"http://127.0.0.1:{running.server_port}", lives)
        running.shutdown()
        thread.join()


def test_a_server_that_does_not_answer_a_lone_clip(fake: Fake, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(MeasurementError, match=r"does not answer .*real-golf\.mp4"):
        bench(fake.url, [GOLF], GOAL, PACE)
    assert capsys.readouterr().out == ""


def test_connections_that_are_cut_are_failures(fake: Fake, capsys: pytest.CaptureFixture[str]) -> None:
    fake.lives[0] = 5 + 3
    assert bench(fake.url, [GOLF], GOAL, PACE, rate=50.0, as_json=True) == 1
    (step,) = json.loads(capsys.readouterr().out)["steps"]
    assert step["outcomes"] == {"200": 3, "connection": 7}
    assert step["failed"] == 7
    assert step["fault"] == "70.0% failed"


def test_what_was_found_before_a_server_ended_is_told(fake: Fake, capsys: pytest.CaptureFixture[str]) -> None:
    fake.lives[0] = 400  # the first rate, some hundreds a second, is carried by a server that does nothing
    with pytest.raises(MeasurementError, match="answers nothing any more after that load: connection"):
        bench(fake.url, [GOLF], GOAL, PACE, as_json=True, calm_s=0.3)
    told = json.loads(capsys.readouterr().out)
    assert told["steps"][-1]["outcomes"]["connection"] > 0
    assert told["steps"][-1]["fault"].endswith("failed")
