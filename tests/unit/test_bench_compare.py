"""The comparison: traffic, how it is posted, scenarios, and what is made of the figures."""

import base64
import io
import json
import math
import re
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree as ET

import cv2
import pytest

from bench.chart import chart
from bench.clip import SHORT, bench_clip
from bench.compare import Plan
from bench.errors import BenchError, NotHere
from bench.finding import Case, Finding, Record, merged
from bench.peer import PEERS, free_ports
from bench.peers.work import Work
from bench.post import Errand, Postman, Target, run
from bench.scenario import SCENARIOS, Wish
from bench.stand import Stand
from bench.summary import Summaries, best_peer
from bench.table import document, markdown
from bench.traffic import ANSWERED, LEFT, REFUSED, Account, Arrivals, Clients, Post
from bench.usage import Usage
from bench.wire import BinaryTensor, Form, OpenInference, Parcel, Raw, Wire
from service.errors import BundleError
from tests.require import need
from tests.samples import BUNDLE, CLIPS, ROOT

pytestmark = pytest.mark.alone

ANSWER_S = 0.02
ANSWER = {"predictions": [{"label": "golf", "score": 0.9}, {"label": "run", "score": 0.1}]}


class Server(BaseHTTPRequestHandler):
    """Does what the clip says: answers, refuses, fails, or takes its time."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        clip = self.rfile.read(int(self.headers["Content-Length"]))
        time.sleep(1.0 if clip == b"slow" else ANSWER_S)
        status = {b"refuse": 429, b"fail": 500}.get(clip, 200)
        body = b"no JSON" if clip == b"nonsense" else json.dumps(ANSWER).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        if status == 429:
            self.send_header("Retry-After", "1")
        self.end_headers()
        self.wfile.write(body)

    def handle(self) -> None:
        with suppress(OSError):  # a client that hung up
            super().handle()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def url() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Server) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


CLIPS_POSTED = {name: name.encode() for name in ("good", "refuse", "fail", "slow", "nonsense", "other", "2s", "60s")}
LABELS = {**dict.fromkeys(CLIPS_POSTED, "golf"), "other": "run"}


def outcomes(url: str, group: Clients | Arrivals, seconds: float = 0.05) -> list[str]:
    posts = run(Errand(Target(url, Raw("/"), LABELS), [group], seconds), CLIPS_POSTED)
    return [post.outcome for post in posts]


@pytest.mark.parametrize(
    ("clip", "outcome"),
    [("good", ANSWERED), ("refuse", REFUSED), ("fail", "500"), ("nonsense", "no answer"), ("other", "wrong answer")],
)
def test_an_answer_counts_only_if_it_is_the_right_one(url: str, clip: str, outcome: str) -> None:
    assert set(outcomes(url, Clients("", clip, 2))) == {outcome}


def test_a_client_that_is_refused_comes_again_when_it_was_told_to(url: str) -> None:
    assert len(outcomes(url, Clients("", "refuse", 1), 0.3)) == 1


def test_clients_that_hang_up_post_again(url: str) -> None:
    found = outcomes(url, Clients("", "slow", 1, leave_after_s=0.05), 0.3)
    assert set(found) == {LEFT}
    assert len(found) > 1


def test_clients_by_the_clock_do_not_wait_for_each_other(url: str) -> None:
    group = Arrivals("", "slow", 50, "even", leave_after_s=10)
    posts = run(Errand(Target(url, Raw("/"), LABELS), [group], 0.2), CLIPS_POSTED)
    assert [post.outcome for post in posts] == [ANSWERED] * 10
    assert max(post.sent_s for post in posts) < min(post.sent_s + post.took_s for post in posts)


def test_nothing_listens_there_and_the_load_ends() -> None:
    (port,) = free_ports(1)
    assert set(outcomes(f"http://127.0.0.1:{port}", Clients("", "good", 2), 30)) == {"ConnectionRefusedError"}


def test_load_is_put_on_this_machine_alone() -> None:
    with pytest.raises(NotHere, match="loopback"):
        outcomes("http://192.0.2.1:80", Clients("", "good", 1))


def test_clients_come_evenly_or_at_random_but_always_the_same() -> None:
    even = list(Arrivals("", "good", 4, "even", 1).moments(2))
    assert even == pytest.approx([0.25 * n for n in range(8)])
    random = Arrivals("", "good", 100, "poisson", 1)
    moments = list(random.moments(50))
    assert moments == list(random.moments(50))
    gaps = [after - before for before, after in pairwise(moments)]
    assert len(moments) == pytest.approx(5000, rel=0.1)
    assert sum(gap > 0.01 for gap in gaps) / len(gaps) == pytest.approx(math.exp(-1), abs=0.05)


def test_an_account_tells_answers_refusals_and_the_rest_apart() -> None:
    posts = [Post("", 0, 2, ANSWERED), Post("", 1, 3, ANSWERED), Post("", 2, 0.1, REFUSED), Post("", 9, 9, LEFT)]
    account = Account.of([*posts, Post("", 3, 1, "500"), Post("", 3, 1, "500")])
    assert account == Account((2, 3), (0.1,), 1, {"500": 2}, last_s=4)


@pytest.fixture
def stand(url: str) -> Iterator[Stand]:
    postman = Postman(CLIPS_POSTED)
    yield Stand(Target(url, Raw("/"), LABELS), [], postman)
    postman.stop()


def test_every_scenario_tells_its_parts(stand: Stand) -> None:
    wish = Wish(("good",), (1, 4), 0.1)
    parts = {
        name: [(part.clip, part.clients, part.part) for part in scenario(stand, wish)]
        for name, scenario in SCENARIOS.items()
    }
    assert parts == {
        "throughput": [("good", 1, ""), ("good", 4, "")],
        "mixed": [("mix", 4, "short"), ("mix", 4, "long")],
        "load": [("good", 8, "capacity"), ("good", 1, "unloaded"), ("good", 0, "even"), ("good", 0, "poisson")],
        "overload": [("good", 8, "capacity"), ("good", 0, "overload")],
        "hangups": [("good", 8, "alone"), ("good", 12, "beside others"), ("good", 12, "beside leavers")],
    }


def test_load_and_overload_come_at_parts_and_multiples_of_capacity(stand: Stand) -> None:
    wish = Wish(("good",), (1,), 0.1)
    capacity, _, even, _ = SCENARIOS["load"](stand, wish)
    assert even.rate == pytest.approx(0.8 * capacity.taken.clips_per_s())
    capacity, flood = SCENARIOS["overload"](stand, wish)
    assert flood.rate == pytest.approx(4 * capacity.taken.clips_per_s())


def test_a_system_that_answers_nothing_has_no_capacity_to_load(stand: Stand) -> None:
    wish = Wish(("fail",), (1,), 0.05)
    assert [part.part for part in SCENARIOS["load"](stand, wish)] == ["capacity", "unloaded"]
    assert [part.part for part in SCENARIOS["overload"](stand, wish)] == ["capacity"]
    assert [part.part for part in SCENARIOS["hangups"](stand, wish)] == ["alone"]


INNER = json.dumps(ANSWER)


@pytest.mark.parametrize(
    ("wire", "answer"),
    [
        (Raw("/p"), ANSWER),
        (Form("/p", "clip"), ANSWER),
        (OpenInference("/p"), {"outputs": [{"data": [INNER]}]}),
        (BinaryTensor("/p"), {"outputs": [{"data": [INNER]}]}),
    ],
)
def test_every_wire_carries_the_clip_and_reads_the_answer(wire: Wire, answer: object) -> None:
    clip = bytes(range(256))
    assert wire.label(json.dumps(answer).encode()) == "golf"
    assert clip in _clip_of(wire.parcel(clip))


def _clip_of(parcel: Parcel) -> bytes:
    if parcel.headers["Content-Type"] == "application/json":
        return base64.b64decode(json.loads(parcel.body)["inputs"][0]["data"][0])
    return parcel.body


def test_a_binary_tensor_says_where_its_header_ends() -> None:
    parcel = BinaryTensor("/p").parcel(b"clip")
    head = int(parcel.headers["Inference-Header-Content-Length"])
    assert parcel.body[head:] == b"clip"
    assert json.loads(parcel.body[:head])["inputs"][0]["shape"] == [4]


CASE = Case("equal", "fp32", "throughput", "10s", 8)


def finding(system: str, clips: int, turn: str = "a", case: Case = CASE, took_s: float = 1.0) -> Finding:
    usage = Usage(cpu_s=clips * 0.5, load_cpu_s=clips * 0.001, others_cpu_s=0.2, peak_bytes=100_000_000)
    return Finding(system, case, turn, 10.0, (took_s,) * clips, (), 0, {}, usage)


def record(*findings: Finding, **changes: object) -> Record:
    told: dict[str, object] = {
        "when": "2026-01-31 12:00 UTC",
        "machine": {
            "cpu": "CPU",
            "cores": 2,
            "system": "Linux",
            "python": "3.11",
            "onnxruntime": "1",
            "opencv-python-headless": "5",
            "kinema": "1",
        },
        "model": {"name": "model", "version": "1"},
        "clips": {"10s": {"bytes": 1}},
        "versions": {"mosec": "mosec 1"},
        "variables": {},
        "findings": findings,
    }
    return Record(**(told | changes))  # type: ignore[arg-type]


BOUND_CASE = CASE._replace(clients=0)
ROUNDS = (
    finding("bound", 100, "a", BOUND_CASE),
    finding("kinema", 95, "a", took_s=0.8),
    finding("mosec", 90, "a"),
    finding("bound", 50, "b", BOUND_CASE),
    finding("kinema", 50, "b", took_s=1.6),
    finding("mosec", 40, "b"),
)


def test_a_record_reads_what_it_wrote_and_files_of_one_machine_make_one(tmp_path: Path) -> None:
    parts = [record(*ROUNDS[:3]), record(*ROUNDS[3:], clips={"2s": {"bytes": 2}})]
    for number, part in enumerate(parts):
        part.write(tmp_path / f"{number}.json")
    read = [Record.read(tmp_path / f"{number}.json") for number in range(2)]
    assert read == parts
    assert merged(read).findings == ROUNDS
    assert set(merged(read).clips) == {"10s", "2s"}


def test_files_of_different_machines_or_clips_make_no_table(tmp_path: Path) -> None:
    for other in (record(machine={"cpu": "another"}), record(clips={"10s": {"bytes": 2}})):
        with pytest.raises(BenchError, match="different"):
            merged([record(*ROUNDS), other])
    (tmp_path / "other.json").write_text("{}")
    with pytest.raises(BenchError, match="no findings"):
        Record.read(tmp_path / "other.json")


def test_shares_of_the_bound_are_taken_within_a_round() -> None:
    found = Summaries(record(*ROUNDS))
    kinema, mosec = found.get(CASE, "kinema"), found.get(CASE, "mosec")
    assert kinema is not None
    share = found.share(kinema)
    assert share is not None
    assert (share.least, share.most) == pytest.approx((0.95, 1.0))
    assert kinema.clips_per_s.median == pytest.approx(7.25)
    assert kinema.cpu_s_a_clip == pytest.approx(0.5)
    assert best_peer(list(found.systems(CASE))) == mosec
    assert found.disturbance() == pytest.approx(0.01)


def test_the_tables_tell_everything() -> None:
    short, long = CASE._replace(scenario="mixed", clip="mix", part="short"), "long"
    load = CASE._replace(scenario="load", part="capacity")
    flood = CASE._replace(scenario="overload", part="capacity")
    alone = CASE._replace(scenario="hangups", part="alone")
    more = (
        finding("kinema", 30, case=short),
        finding("kinema", 3, case=short._replace(part=long)),
        finding("kinema", 50, case=load),
        finding("kinema", 20, case=load._replace(clients=1, part="unloaded"), took_s=0.25),
        finding("kinema", 40, case=load._replace(clients=0, part="even"), took_s=0.5),
        finding("kinema", 50, case=flood),
        Finding(
            "kinema", flood._replace(clients=0, part="overload"), "a", 10, (3.0,) * 48, (0.02,) * 9, 2, {"500": 1},
            Usage(1, 1, 1, 1), rate=20,
        ),
        finding("kinema", 50, case=alone),
        finding("kinema", 40, case=alone._replace(clients=12, part="beside others")),
        finding("kinema", 44, case=alone._replace(clients=12, part="beside leavers")),
    )  # fmt: skip
    told = re.sub(" +", " ", "\n".join(document(record(*ROUNDS, *more))))
    assert "| kinema x 8 | 7.25 (5.00-9.50) | 98% | 800 | 1600 | 1600 | 0.500 | 100 | |" in told
    assert "With 8 clients Kinema answers 1.12 times as many clips as the best peer, mosec" in told
    assert "its p95 is 1.45 x clients / throughput" in told
    assert "| kinema x 8 | 3.00 | 1000 | 1000 | 1000 | 0.300 | |" in told
    assert "| kinema | 5.00 | 250 | 500 | 2.00 | | | |" in told
    assert "| kinema | 5.00 | 20.0 | 4.80 | 0.96 | 3000 | 20 | 1 500, 9 refused, 2 left |" in told
    assert "| kinema | 5.00 | 1000 | 4.00 | 1000 | 4.40 | 1000 | 0.88 | 1.10 |" in told


def test_a_table_is_aligned_in_its_source_too() -> None:
    assert list(markdown(("", "n"), [("long name", "1"), ("b", "100")])) == [
        "|           |   n |",
        "|-----------|----:|",
        "| long name |   1 |",
        "| b         | 100 |",
    ]


def test_the_chart_is_an_svg_with_a_bar_for_each_system_and_a_dark_scheme() -> None:
    drawn = chart(record(*ROUNDS), "10s", 8)
    picture = ET.fromstring(drawn)
    texts = [text.text for text in picture.iter("{http://www.w3.org/2000/svg}text")]
    assert {"Kinema", "mosec", "98%", "1.60 s"} <= set(texts)
    bars = [bar.get("class") for bar in picture.iter("{http://www.w3.org/2000/svg}rect")]
    assert bars == ["ground", "ours", "theirs", "ours", "theirs"]
    assert "prefers-color-scheme: dark" in drawn


def test_a_chart_of_what_was_not_measured_is_refused_in_words() -> None:
    with pytest.raises(BenchError, match="no throughput of 60s with 8 clients"):
        chart(record(*ROUNDS), "60s", 8)
    with pytest.raises(BenchError, match="--system bound"):
        chart(record(ROUNDS[1]), "10s", 8)


@pytest.mark.parametrize(
    ("mode", "scenario", "told"),
    [
        ("default", "throughput", {"KINEMA_X": "1"}),
        ("equal", "overload", {"KINEMA_PRECISION": "int8", "KINEMA_DECODE": "exact", "KINEMA_X": "1"}),
    ],
)
def test_kinema_is_told_what_the_mode_asks_for(mode: str, scenario: str, told: dict[str, str]) -> None:
    plan = Plan(mode, "int8", ("kinema",), (scenario,), Wish((), (), 1), 1, {"KINEMA_X": "1"})  # type: ignore[arg-type]
    assert plan.kinema(scenario) == told
    patient = plan.kinema("throughput")
    assert ("KINEMA_MAX_IN_FLIGHT" in patient) == (mode == "equal")


def test_every_peer_has_its_server_and_its_pins() -> None:
    folders = {file.parent.name for file in (ROOT / "bench" / "peers").glob("*/server.py")}
    assert folders == set(PEERS)
    for name in folders:
        pins = (ROOT / "bench" / "peers" / name / "requirements.txt").read_text()
        assert re.search(rf"^{re.escape(PEERS[name].distribution)}(\[.*\])?==", pins, re.MULTILINE)


def test_the_peers_work_answers_as_the_card_says() -> None:
    work = Work(BUNDLE, threads=1)
    golden = work.card.golden
    best = max(range(len(golden.scores)), key=golden.scores.__getitem__)
    first = work.answer((BUNDLE / golden.clip).read_bytes())["predictions"][0]
    assert first["label"] == work.card.labels[best]
    assert first["score"] == pytest.approx(golden.scores[best], abs=golden.tolerance)
    pictures = work.pictures((CLIPS / "real-golf.mp4").read_bytes())
    whole, pairs = work.features(pictures), work.features(pictures, batch=2)
    for kind, features in whole.items():
        assert pairs[kind] == pytest.approx(features, abs=1e-4)


def test_a_bundle_without_card_or_twin_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"card\.json"):
        Work(tmp_path)
    for file in BUNDLE.glob("*"):
        if ".int8." not in file.name:
            (tmp_path / file.name).symlink_to(file)
    with pytest.raises(FileNotFoundError, match=r"appearance\.int8\.onnx"):
        Work(tmp_path, "int8")


def test_the_short_clip_is_two_seconds(tmp_path: Path) -> None:
    need("ffmpeg", shutil.which("ffmpeg") is not None, "FFmpeg is not installed")
    made = bench_clip(tmp_path, SHORT)
    capture = cv2.VideoCapture(io.BytesIO(made.read_bytes()), cv2.CAP_FFMPEG, [])  # type: ignore[call-overload]
    keys = (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT, cv2.CAP_PROP_FRAME_COUNT)
    assert [capture.get(key) for key in keys] == [320, 240, 60]
