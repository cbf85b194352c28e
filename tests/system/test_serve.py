"""`kinema serve` as its users meet it: a process, a socket, signals."""

import json
import shutil
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.samples import BUNDLE, clip
from tests.server import PATIENCE_S, Server

GOLF = clip("real-golf.mp4")
CLIPS = ["real-golf.mp4", "h264.mp4", "vp9.webm", "mpeg4.avi", "slow.mp4", "vfr.mp4", "rotated.mp4", "real-pullup.mp4"]


def post(server: Server, data: bytes, **headers: str) -> httpx.Response:
    return httpx.post(
        f"{server.url}/predict",
        params={"top_k": 21},
        files={"file": ("c.mp4", data)},
        headers=headers,
        timeout=PATIENCE_S,
    )


class Upload:
    """A raw upload whose bytes are sent when the test says so."""

    def __init__(self, server: Server, length: int | None) -> None:
        host, _, port = server.url.removeprefix("http://").partition(":")
        self.socket = socket.create_connection((host, int(port)), timeout=PATIENCE_S)
        size = "Transfer-Encoding: chunked" if length is None else f"Content-Length: {length}"
        head = ["POST /predict HTTP/1.1", "Host: localhost", "Content-Type: video/mp4", size, "", ""]
        self.socket.sendall("\r\n".join(head).encode())

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def answer(self) -> tuple[int, dict[str, str], dict[str, Any]]:
        """Status, headers and body of the answer."""
        raw = b""
        while b"\r\n\r\n" not in raw:
            raw += self._more()
        head, _, body = raw.partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        while len(body) < int(headers["content-length"]):
            body += self._more()
        return int(first.split()[1]), headers, json.loads(body)

    def _more(self) -> bytes:
        received = self.socket.recv(65536)
        assert received, "the connection was closed without an answer"
        return received

    def close(self) -> None:
        self.socket.close()


Start = Callable[[Server, int | None], Upload]


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts uploads, and closes them when the test is over."""
    with ExitStack() as stack:

        def open_upload(server: Server, length: int | None) -> Upload:
            return stack.enter_context(closing(Upload(server, length)))

        yield open_upload


Hold = Callable[[Server], Upload]


@pytest.fixture
def hold(start: Start) -> Hold:
    """Starts an upload that has taken its slot and keeps it until its last byte is sent."""

    def held(server: Server) -> Upload:
        before = server.metric("kinema_requests_in_progress")
        upload = start(server, len(GOLF))
        upload.send(GOLF[:-1])
        server.until(lambda: server.metric("kinema_requests_in_progress") == before + 1)
        return upload

    return held


def test_it_says_where_it_listens_and_what_it_serves(server: Server) -> None:
    listening = next(entry for entry in server.log if entry["event"] == "listening")
    assert listening["url"] == server.url
    assert listening["model"] == str(BUNDLE)
    server.until(lambda: any(entry["event"] == "ready" for entry in server.log))
    ready = next(entry for entry in server.log if entry["event"] == "ready")
    assert (ready["model"], ready["version"]) == ("everyday-actions", "1.2.0")


def test_a_clip_posted_over_a_socket_is_answered(server: Server) -> None:
    assert post(server, GOLF).json()["predictions"][0]["label"] == "golf"


def test_logs_are_json_with_the_callers_request_id(server: Server) -> None:
    post(server, GOLF, **{"X-Request-ID": "find-me"})
    server.until(lambda: any(entry.get("request_id") == "find-me" for entry in server.log))
    assert all(json.loads(line) for line in server.output)


def test_answers_do_not_depend_on_what_else_is_in_flight(server: Server) -> None:
    def scores(name: str) -> dict[str, float]:
        return {one["label"]: one["score"] for one in post(server, clip(name)).json()["predictions"]}

    alone = [scores(name) for name in CLIPS]
    with ThreadPoolExecutor(len(CLIPS)) as pool:
        together = list(pool.map(scores, CLIPS))
    for name, one, other in zip(CLIPS, alone, together, strict=True):
        assert other == pytest.approx(one, abs=1e-5), name


def test_probes_say_not_ready_until_the_model_is() -> None:
    with Server() as starting:
        starting.wait_listening()
        assert httpx.get(f"{starting.url}/livez").status_code == 200
        early = httpx.get(f"{starting.url}/readyz")
        if early.status_code == 503:  # or it has been quicker than this test
            assert early.headers["Retry-After"]
            refused = post(starting, GOLF)
            assert refused.status_code in {200, 503}
        starting.wait_ready()


def test_a_full_service_refuses_at_once_and_stays_ready(hold: Hold) -> None:
    with Server(max_in_flight=1) as full:
        upload = hold(full.wait_ready())
        refused = post(full, GOLF)
        assert refused.status_code == 429
        assert int(refused.headers["Retry-After"]) >= 1
        assert refused.json()["type"].endswith(":busy")
        assert httpx.get(f"{full.url}/readyz").status_code == 200
        upload.send(GOLF[-1:])
        assert upload.answer()[0] == 200
        assert post(full, GOLF).status_code == 200
        assert full.metric("kinema_request_failures_total", reason="rejected") == 1


def test_a_client_that_hangs_up_during_its_upload_frees_its_slot(server: Server, hold: Hold) -> None:
    cancelled = server.metric("kinema_request_failures_total", reason="cancelled")
    hold(server).close()
    server.until(lambda: server.metric("kinema_requests_in_progress") == 0)
    assert server.metric("kinema_request_failures_total", reason="cancelled") == cancelled + 1
    assert post(server, GOLF).status_code == 200


def test_clients_that_hang_up_while_their_clips_are_looked_at_affect_nobody(server: Server, hold: Hold) -> None:
    cancelled = server.metric("kinema_request_failures_total", reason="cancelled")
    uploads = [hold(server) for _ in range(6)]
    for upload in uploads:
        upload.send(GOLF[-1:])
    for upload in uploads[::2]:
        upload.close()
    labels = [upload.answer()[2]["predictions"][0]["label"] for upload in uploads[1::2]]
    assert labels == ["golf"] * 3
    server.until(lambda: server.metric("kinema_requests_in_progress") == 0)
    assert server.metric("kinema_queue_depth") == 0
    assert server.metric("kinema_request_failures_total", reason="cancelled") > cancelled


def test_an_upload_that_stalls_is_answered_408(start: Start) -> None:
    with Server(upload_stall_s=0.2) as impatient:
        upload = start(impatient.wait_ready(), len(GOLF))
        upload.send(GOLF[:100])
        status, headers, problem = upload.answer()
        assert (status, headers["connection"]) == (408, "close")
        assert problem["type"].endswith(":upload-stalled")


def test_an_upload_that_drips_is_answered_408(start: Start) -> None:
    with Server(upload_stall_s=5, upload_timeout_s=0.5) as impatient:
        upload = start(impatient.wait_ready(), len(GOLF))
        stop = threading.Event()

        def drip() -> None:
            while not stop.wait(0.05):
                try:
                    upload.send(b"\0")
                except OSError:
                    return

        dripping = threading.Thread(target=drip)
        dripping.start()
        try:
            assert upload.answer()[0] == 408
        finally:
            stop.set()
            dripping.join()


def test_a_body_over_the_limit_is_refused_before_it_is_sent_whole(start: Start) -> None:
    with Server(max_upload_mb=0.1) as small:
        small.wait_ready()
        declared = start(small, 10**12)
        assert declared.answer()[0] == 413, "answered although nothing of the body was sent"
        endless = start(small, None)
        piece = b"2000\r\n" + b"\0" * 0x2000 + b"\r\n"
        for _ in range(20):  # 160 kB, and no end announced
            endless.send(piece)
        status, _, problem = endless.answer()
        assert (status, problem["limit"]) == (413, "KINEMA_MAX_UPLOAD_MB")


def test_a_body_shorter_than_it_was_declared_is_no_clip_and_frees_its_slot(server: Server, start: Start) -> None:
    cancelled = server.metric("kinema_request_failures_total", reason="cancelled")
    upload = start(server, len(GOLF) + 1)
    upload.send(GOLF)
    upload.socket.shutdown(socket.SHUT_WR)
    server.until(lambda: server.metric("kinema_request_failures_total", reason="cancelled") == cancelled + 1)
    assert server.metric("kinema_requests_in_progress") == 0
    assert post(server, GOLF).status_code == 200


def test_a_body_longer_than_it_was_declared_is_no_http_and_disturbs_nobody(server: Server, start: Start) -> None:
    upload = start(server, len(GOLF) // 2)
    upload.send(GOLF)  # its second half stands where the next request should
    assert upload.socket.recv(100).startswith(b"HTTP/1.1 400 ")
    server.until(lambda: server.metric("kinema_requests_in_progress") == 0)
    assert post(server, GOLF).status_code == 200


def test_sigterm_drains_and_exits_with_zero(hold: Hold) -> None:
    with Server() as draining:
        upload = hold(draining.wait_ready())
        draining.signal(signal.SIGTERM)
        draining.until(lambda: httpx.get(f"{draining.url}/readyz").status_code == 503)
        assert httpx.get(f"{draining.url}/livez").status_code == 200
        assert not httpx.get(f"{draining.url}/readyz").json()["checks"]["accepting"]["ok"]
        refused = post(draining, GOLF)
        assert (refused.status_code, refused.json()["type"]) == (503, "urn:kinema:problem:draining")
        assert refused.headers["Retry-After"]
        upload.send(GOLF[-1:])
        status, _, answer = upload.answer()
        assert (status, answer["predictions"][0]["label"]) == (200, "golf")
        assert draining.wait() == 0


def test_sigterm_without_work_exits_with_zero_at_once() -> None:
    with Server() as idle:
        idle.wait_ready()
        idle.signal(signal.SIGTERM)
        assert idle.wait() == 0


def test_draining_gives_up_after_its_time(hold: Hold) -> None:
    with Server(drain_s=0.2) as stuck:
        hold(stuck.wait_ready())
        stuck.signal(signal.SIGTERM)
        assert stuck.wait() == 1
        (told,) = [entry for entry in stuck.log if entry["event"] == "gave up draining"]
        assert told["unanswered"] == 1
        assert "request_id" not in told, "no request is the cause of it"


def test_logged_errors_hold_nothing_of_what_callers_sent(start: Start) -> None:
    with Server(drain_s=0.2) as stuck:
        upload = start(stuck.wait_ready(), 1000)
        upload.send(b"the caller's own business")
        stuck.until(lambda: stuck.metric("kinema_requests_in_progress") == 1)
        stuck.signal(signal.SIGTERM)
        stuck.wait()
        assert any("exception" in entry for entry in stuck.log), "an upload that is cut off by force is an error"
        assert "business" not in "".join(stuck.output)


def test_a_second_signal_ends_it_at_once(hold: Hold) -> None:
    with Server() as hurried:
        hold(hurried.wait_ready())
        hurried.signal(signal.SIGINT)
        hurried.until(lambda: httpx.get(f"{hurried.url}/readyz").status_code == 503)
        hurried.signal(signal.SIGINT)
        assert hurried.wait() == 1, "a clip was not answered"


def copied(tmp_path: Path) -> Path:
    return Path(shutil.copytree(BUNDLE, tmp_path / "bundle"))


def test_a_bundle_with_another_file_than_its_card_says_is_refused(tmp_path: Path) -> None:
    bundle = copied(tmp_path)
    with (bundle / "motion.onnx").open("ab") as file:
        file.write(b"\0")
    with Server(model=bundle) as refusing:
        assert refusing.wait() == 1
        (told,) = [entry["detail"] for entry in refusing.log if "cannot be served" in entry["event"]]
        assert "card.json gives motion.onnx the sha256" in told
        assert "but the file's is" in told


def test_a_bundle_that_is_none_is_refused(tmp_path: Path) -> None:
    with Server("--model", str(tmp_path)) as refusing:
        assert refusing.wait() == 1
        assert "is not a bundle" in "".join(refusing.output)


def test_a_golden_clip_that_disagrees_keeps_it_unready(tmp_path: Path) -> None:
    bundle = copied(tmp_path)
    card = json.loads((bundle / "card.json").read_text())
    for stated in (card["golden"], card["int8"]):
        stated["scores"] = stated["scores"][::-1]
    (bundle / "card.json").write_text(json.dumps(card))
    with Server(model=bundle) as doubtful:
        doubtful.wait_listening()
        doubtful.until(lambda: "away from" in httpx.get(f"{doubtful.url}/readyz").text)
        assert httpx.get(f"{doubtful.url}/readyz").status_code == 503
        assert httpx.get(f"{doubtful.url}/livez").status_code == 200
        refused = post(doubtful, GOLF)
        assert (refused.status_code, refused.json()["type"]) == (503, "urn:kinema:problem:engine-dead")
        assert doubtful.metric("kinema_ready") == 0


def test_a_port_that_is_taken_ends_it_with_an_error(server: Server) -> None:
    port = server.url.rpartition(":")[2]
    with Server("--port", port) as second:
        assert second.wait() == 1
        assert "address already in use" in "".join(second.output)


@pytest.mark.parametrize(("variable", "value"), [("max_in_flight", "0"), ("drain_s", "soon"), ("device", "tpu")])
def test_a_variable_that_is_not_valid_is_named(variable: str, value: str) -> None:
    with Server(**{variable: value}) as refusing:
        assert refusing.wait() == 2
        assert f"KINEMA_{variable.upper()}" in "".join(refusing.output)


def test_a_device_that_is_not_there_is_refused_by_naming_those_that_are() -> None:
    with Server(device="cuda") as refusing:
        assert refusing.wait() == 1
        assert "KINEMA_DEVICE to cpu" in "".join(refusing.output)
