"""The bench: its arithmetic and its load."""

import io
import math
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import cv2
import pytest
from rich.console import Console
from rich.progress import Progress

from bench.clip import bench_clip
from bench.contestant import BOUND, DECODE, ENCODE, Contestant
from bench.errors import ClipNotMade, NotHere
from bench.load import Refused, connect, put
from bench.measurement import Measurement, Row, Spread, percentile
from bench.report import Report, show
from bench.run import play
from bench.usage import Meter, Usage
from tests.require import need

pytestmark = pytest.mark.alone

ANSWER_S = 0.02


@pytest.fixture
def url() -> Iterator[str]:
    """A server that answers every second post, after a while, and refuses the others."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        posts = 0

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            time.sleep(ANSWER_S)
            Handler.posts += 1
            self.send_response(200 if Handler.posts % 2 else 429)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def post(connection: HTTPConnection) -> bytes:
    connection.request("POST", "/", b"clip")
    response = connection.getresponse()
    body = response.read()
    if response.status != 200:
        raise Refused(str(response.status))
    return body


def test_load_counts_answers_refusals_and_time(url: str) -> None:
    load = put(url, post, concurrency=1, seconds=60, most=6)
    assert load.bodies == [b"{}"] * 3
    assert load.errors == ["429"] * 3
    assert min(load.times_s) >= ANSWER_S
    assert load.elapsed_s >= 6 * ANSWER_S


def test_load_keeps_as_many_posts_under_way_as_asked_and_ends_in_time(url: str) -> None:
    load = put(url, post, concurrency=4, seconds=0.3)
    assert len(load.times_s) + len(load.errors) > 4
    assert 0.3 <= load.elapsed_s < 5


def test_load_ends_where_nothing_answers() -> None:
    def fail(connection: HTTPConnection) -> bytes:
        raise ConnectionRefusedError

    load = put("http://127.0.0.1:9", fail, concurrency=2, seconds=60)
    assert not load.times_s
    assert set(load.errors) == {"ConnectionRefusedError"}
    assert load.elapsed_s < 10


@pytest.mark.parametrize("url", ["http://192.0.2.1:8000", "http://example.org", "http://localhost:8000", "nonsense"])
def test_load_is_put_on_this_machine_alone(url: str) -> None:
    with pytest.raises(NotHere, match="loopback"):
        connect(url)


def test_percentiles() -> None:
    assert percentile([3.0, 1.0, 2.0], 50) == 2
    assert percentile([0.0, 10.0], 95) == pytest.approx(9.5)
    assert math.isnan(percentile([], 50))


def measurement(clips: int, elapsed_s: float, **stages_ms: float) -> Measurement:
    return Measurement(
        elapsed_s=elapsed_s,
        times_s=(elapsed_s / clips,) * clips,
        usage=Usage(
            cpu_s=elapsed_s, load_cpu_s=0.1 * clips, others_cpu_s=0.2 * elapsed_s, peak_bytes=clips * 1_000_000
        ),
        stages_ms={name: (value,) * clips for name, value in stages_ms.items()},
        errors={"503": 1},
    )


def test_a_row_sums_up_its_rounds_and_takes_ratios_within_a_round() -> None:
    rounds = [measurement(10, 10, decode=2.0), measurement(20, 10, decode=4.0), measurement(12, 10, decode=4.0)]
    bound = [measurement(20, 10), measurement(40, 10), measurement(16, 10)]
    row = Row.of("kinema x 8", rounds, bound)
    assert row.clips == 42
    assert row.clips_per_s == Spread(median=1.2, least=1.0, most=2.0)
    assert row.ratio is not None
    assert (row.ratio.least, row.ratio.median, row.ratio.most) == pytest.approx((0.5, 0.5, 0.75))
    assert row.cpu_s_a_clip.median == pytest.approx(10 / 12)
    assert row.load_cpu_s_a_clip == pytest.approx(0.1)
    assert row.peak_mb == 20
    assert row.stages_ms == {"decode": 4.0}
    assert row.others_share.median == pytest.approx(0.2 / (os.cpu_count() or 1))
    assert row.errors == {"503": 3}


def disturbed(seconds: float, others_cpu_s: float) -> Measurement:
    return Measurement(seconds, (seconds,), Usage(seconds, 0, others_cpu_s * (os.cpu_count() or 1), 0))


@pytest.mark.parametrize(
    ("others_s", "kept_s", "disturbances"), [([0.4, 0.01, 0.0], 0.01, 1), ([0.4, 0.2, 0.3], 0.2, 2), ([0.0], 0.0, 0)]
)
def test_a_disturbed_measurement_is_made_again_and_the_quietest_is_kept(
    others_s: list[float], kept_s: float, disturbances: int
) -> None:
    others = iter(others_s)
    contestant = Contestant("bound", lambda seconds: disturbed(seconds, next(others)))
    found, repeated = play([contestant], 1, 1.0, 3, Progress(disable=True))
    assert found[0][0].others_share == pytest.approx(kept_s)
    assert repeated == disturbances


def test_a_meter_tells_this_process_from_the_rest_of_the_machine() -> None:
    meter = Meter([os.getpid()])
    started_s = time.process_time()
    held = bytearray(50_000_000)
    while time.process_time() - started_s < 0.3:
        pass
    usage = meter.read()
    assert usage.cpu_s == pytest.approx(0.3, abs=0.1)
    assert usage.peak_bytes > len(held)


def test_a_meter_counts_children_that_live_and_those_that_ended() -> None:
    meter = Meter([os.getpid()])
    subprocess.run(["sh", "-c", "i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done"], check=True)
    assert meter.read().cpu_s > meter.read().load_cpu_s + 0.05


def test_the_clip_is_ten_seconds_of_h264_with_b_frames(tmp_path: Path) -> None:
    need("ffmpeg", shutil.which("ffmpeg") is not None, "FFmpeg is not installed")
    made = bench_clip(tmp_path)
    # From memory: the service, once imported, forbids this process to open clips by their path.
    capture = cv2.VideoCapture(io.BytesIO(made.read_bytes()), cv2.CAP_FFMPEG, [])  # type: ignore[call-overload]
    width, height = capture.get(cv2.CAP_PROP_FRAME_WIDTH), capture.get(cv2.CAP_PROP_FRAME_HEIGHT)
    fps, frames = capture.get(cv2.CAP_PROP_FPS), capture.get(cv2.CAP_PROP_FRAME_COUNT)
    assert (width, height, fps, frames) == (340, 256, 30, 300)
    assert b"bframes=3" in made.read_bytes()
    assert bench_clip(tmp_path) == made


def test_without_ffmpeg_the_message_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ClipNotMade, match=r"apt-get install ffmpeg.*--clip"):
        bench_clip(tmp_path)


def test_the_table_fits_eighty_columns(capsys: pytest.CaptureFixture[str]) -> None:
    rounds, bound = [measurement(100, 60), measurement(120, 60)], [measurement(200, 60), measurement(140, 60)]
    alone = {name: Row.of(name, bound, None) for name in (DECODE, ENCODE)}
    found = Report(
        when="2026-01-31 12:00 UTC",
        machine={"cpu": "CPU", "cores": 2, "python": "3.11", "onnxruntime": "1", "opencv-python-headless": "5"},
        clip={"name": "clip.mp4", "bytes": 1, "sha256": "0"},
        model={"name": "model", "version": "1"},
        setup={"slots": 2},
        seconds=60,
        rounds=2,
        repeated=1,
        rows=(Row.of(BOUND, bound, bound), Row.of("kinema x 8", rounds, bound), *alone.values()),
    )
    show(found, Console(width=80))
    told = capsys.readouterr().out
    assert "| bound      | 2.83 (2.33-3.33) |        100% |    300 |    429 | 0.364 | 200 |" in told
    assert "| kinema x 8 | 1.83 (1.67-2.00) | 68% (50-86) |    500 |    600 | 0.550 | 120 |" in told
    assert "kinema x 8: not answered: 2 x 503" in told
    assert "1 disturbed measurements made again" in told
