"""Streams over HTTP and over WebSocket, in this process: what is answered to what, good or bad."""

import hashlib
import json
import struct
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from fastapi.testclient import TestClient
from httpx2 import Response
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.testclient import WebSocketTestSession
from starlette.websockets import WebSocketDisconnect

from service.http import stream as socket_stream
from service.video.source import NO_LIMITS
from service.video.still import decode_still
from tests.http.conftest import running
from tests.samples import clip
from tests.streaming import Shot, frames, make_streaming, noise, scores, shots

TOLERANCE = 1e-5
PATIENCE_S = 30.0
FUZZED = settings(max_examples=30, deadline=None, derandomize=True, database=None)
# Those of the small bundle.
WINDOW_S, LABELS = 0.7, 2


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_streaming(tmp_path_factory.mktemp("bundles"), abstains=True)


@pytest.fixture(scope="module")
def client(bundle: Path) -> Iterator[TestClient]:
    with running(model=bundle, max_pixels=400 * 300, max_frame_mb=0.3, max_upload_mb=10) as ready:
        yield ready


def begun(client: TestClient, **wishes: Any) -> str:
    response = client.post("/streams", json=wishes)
    assert response.status_code == 201, response.text
    made: dict[str, Any] = response.json()
    assert response.headers["Location"] == f"/streams/{made['id']}"
    return str(made["id"])


def send(client: TestClient, name: str, sent: Sequence[Shot]) -> Response:
    """Several frames in one request."""
    files = [("frame", ("f.png", shot.image, "image/png")) for shot in sent]
    return client.post(f"/streams/{name}/frames", data={"time_s": [repr(shot.time_s) for shot in sent]}, files=files)


def push(client: TestClient, name: str, shot: Shot) -> Response:
    """One frame as it is."""
    headers = {"Content-Type": "image/png"}
    return client.post(
        f"/streams/{name}/frames", params={"time_s": repr(shot.time_s)}, content=shot.image, headers=headers
    )


def told(response: Response) -> list[dict[str, Any]]:
    assert response.status_code == 200, response.text
    found: list[dict[str, Any]] = response.json()["news"]
    return found


def essence(news: Sequence[dict[str, Any]]) -> list[Any]:
    """What does not depend on when and how it was asked."""
    return [(one["time_s"], one["predictions"], one["abstained"], one["partial"]) for one in news if "partial" in one]


def refused(response: Response, status: int, slug: str) -> dict[str, Any]:
    problem: dict[str, Any] = response.json()
    assert (response.status_code, problem["type"]) == (status, f"urn:kinema:problem:{slug}"), problem
    assert response.headers["Content-Type"] == "application/problem+json"
    assert problem["detail"]
    assert problem["advice"]
    return problem


def message(shot: Shot) -> bytes:
    return struct.pack(">d", shot.time_s) + shot.image


def greeted(socket: WebSocketTestSession, **wishes: Any) -> dict[str, Any]:
    socket.send_text(json.dumps(wishes))
    ready: dict[str, Any] = socket.receive_json()
    assert ready["type"] == "ready", ready
    return ready


def rest(socket: WebSocketTestSession) -> tuple[list[dict[str, Any]], int]:
    """What comes until the socket is closed, and the code of its end."""
    found: list[dict[str, Any]] = []
    try:
        while True:
            found.append(socket.receive_json())
    except WebSocketDisconnect as end:
        return found, end.code


def live(client: TestClient) -> int:
    line = next(one for one in client.get("/metrics").text.splitlines() if one.startswith("kinema_streams "))
    return int(float(line.split()[1]))


def until_live(client: TestClient, count: int) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while live(client) != count:
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize("name", ["h264.mp4", "slow.mp4", "vfr.mp4", "one-frame.mp4"])
def test_a_clip_says_the_same_whole_in_chunks_and_frame_by_frame(client: TestClient, name: str) -> None:
    sent = frames(name, WINDOW_S)
    # A stream does not know where a clip ends, so not which moments its last frame has to stand for beside its own.
    end_s = min(WINDOW_S, sent[-1].time_s + 0.01)
    params = {"top_k": LABELS, "end_s": end_s}
    whole = client.post("/predict", params=params, files={"file": clip(name)}).json()
    found = []
    chunked = begun(client, every_s=3600)
    for start in range(0, len(sent), 4):
        assert told(send(client, chunked, sent[start : start + 4])) == []
    found += told(client.delete(f"/streams/{chunked}"))
    single = begun(client, every_s=3600)
    for shot in sent:
        assert told(push(client, single, shot)) == []
    found += told(client.delete(f"/streams/{single}"))
    with client.websocket_connect("/stream") as socket:
        greeted(socket, every_s=3600, drop="none")
        for shot in sent:
            socket.send_bytes(message(shot))
        socket.send_text('{"type": "end"}')
        (answer, _), _ = rest(socket)
        found.append(answer)
    assert len(found) == 3
    for one in found:
        assert one["partial"]
        assert one["used"] == len(set(whole["sampling"]["times_s"]))
        np.testing.assert_allclose(scores(one["predictions"]), scores(whole["predictions"]), rtol=0, atol=TOLERANCE)


def test_a_stream_begins_with_what_it_will_do(client: TestClient) -> None:
    made = client.post("/streams").json()
    assert made["model"] == {"name": "small", "version": "1.0.0"}
    assert (made["model_fps"], made["camera_fps"], made["drop"], made["every_s"]) == (10.0, None, "none", 0.5)
    assert (made["received"], made["used"], made["dropped"], made["waiting"], made["state_age_s"]) == (0, 0, 0, 0, 0)
    assert client.get(f"/streams/{made['id']}").json() == made
    client.delete(f"/streams/{made['id']}")


def test_an_answer_says_what_is_done_and_what_that_rests_on(client: TestClient) -> None:
    name = begun(client, every_s=0)
    (answer,) = told(send(client, name, [Shot(1.75e9, noise(0)), Shot(1.75e9 + 0.1, noise(1))]))
    assert answer["type"] == "answer"
    assert {one["label"] for one in answer["predictions"]} == {"dark", "light"}
    assert sum(one["score"] for one in answer["predictions"]) == pytest.approx(1)
    assert [one["label"] for one in answer["smoothed"]] == [one["label"] for one in answer["predictions"]]
    assert answer["camera_fps"] == pytest.approx(10)
    assert (answer["model_fps"], answer["state_age_s"]) == (10.0, 0.1)
    assert set(answer["timing_ms"]) == {"queue", "look", "encode", "recur", "total"}
    assert answer["abstained"] in {True, False}
    client.delete(f"/streams/{name}")


def test_many_frames_in_one_request_are_told_of_in_order(client: TestClient) -> None:
    name = begun(client, every_s=0)
    news = told(send(client, name, shots(40)))
    assert [one["time_s"] for one in news] == [index / 10 for index in range(1, 40)]
    client.delete(f"/streams/{name}")


def test_a_deleted_stream_is_gone_and_one_that_never_was_is_not_found(client: TestClient) -> None:
    name = begun(client)
    push(client, name, Shot(0, noise(1)))
    (partial,) = told(client.delete(f"/streams/{name}"))
    assert partial["partial"]
    calls: list[Callable[[str], Response]] = [
        lambda one: client.get(f"/streams/{one}"),
        lambda one: client.delete(f"/streams/{one}"),
        lambda one: client.post(f"/streams/{one}/reset"),
        lambda one: push(client, one, Shot(0, noise(1))),
        lambda one: client.get(f"/streams/{one}/state"),
        lambda one: client.put(f"/streams/{one}/state", content=b"x"),
    ]
    for call in calls:
        refused(call(name), 410, "stream-gone")
        refused(call("never"), 404, "no-such-stream")
        refused(call(name[:-1] + "_"), 404, "no-such-stream")


LARGE = noise(1, 420)
BAD: list[tuple[bytes, int, str]] = [
    (clip("h264.mp4"), 415, "unsupported-media"),
    (b"no picture", 415, "unsupported-media"),
    (noise(1)[:80], 422, "undecodable-clip"),
    (LARGE, 413, "limit-exceeded"),
    (bytes(310_000), 413, "limit-exceeded"),
    (b"", 400, "malformed-request"),
]


@pytest.mark.parametrize(("image", "status", "slug"), BAD)
def test_a_bad_frame_is_a_problem_and_the_stream_goes_on(
    client: TestClient, image: bytes, status: int, slug: str
) -> None:
    name = begun(client, every_s=0)
    push(client, name, Shot(0, noise(1)))
    refused(push(client, name, Shot(0.1, image)), status, slug)
    assert len(told(push(client, name, Shot(0.2, noise(2))))) == 1
    client.delete(f"/streams/{name}")


@pytest.mark.parametrize(("image", "status", "slug"), BAD)
def test_a_bad_frame_on_a_socket_is_told_and_the_stream_goes_on(
    client: TestClient, image: bytes, status: int, slug: str
) -> None:
    with client.websocket_connect("/stream", headers={"X-Request-ID": "find-me"}) as socket:
        greeted(socket, every_s=0, drop="none")
        for shot in (Shot(0, noise(1)), Shot(0.1, image), Shot(0.2, noise(2))):
            socket.send_bytes(message(shot))
        problem, answer = socket.receive_json(), socket.receive_json()
        assert (problem["type"], problem["time_s"]) == ("problem", 0.1)
        assert (problem["problem"]["status"], problem["problem"]["type"]) == (status, f"urn:kinema:problem:{slug}")
        assert problem["problem"]["request_id"] == "find-me"
        assert (answer["type"], answer["time_s"]) == ("answer", 0.2)


def test_jpeg_png_and_webp_are_taken(client: TestClient) -> None:
    pixels = decode_still(noise(1), NO_LIMITS)
    name = begun(client, every_s=0)
    for index, form in enumerate((".jpg", ".png", ".webp", ".ppm")):
        image = cv2.imencode(form, pixels)[1].tobytes()
        assert len(told(push(client, name, Shot(index / 10, image)))) == int(index > 0)
    client.delete(f"/streams/{name}")


def test_timestamps_that_do_not_follow_are_refused_by_name(client: TestClient) -> None:
    name = begun(client, every_s=0)
    told(send(client, name, shots(3)))
    refused(push(client, name, Shot(0.2, noise(1))), 422, "frame-repeated")
    refused(push(client, name, Shot(0.1, noise(1))), 422, "frame-out-of-order")
    assert len(told(push(client, name, Shot(0.3, noise(1))))) == 1
    news = told(
        send(client, name, [Shot(0.4, noise(1)), Shot(0.4, noise(2)), Shot(0.1, noise(3)), Shot(0.5, noise(4))])
    )
    assert sorted(one["type"] for one in news) == ["answer", "answer", "problem", "problem"]
    assert client.get(f"/streams/{name}").json()["received"] == 6
    client.delete(f"/streams/{name}")


def test_a_gap_is_told_of(client: TestClient) -> None:
    name = begun(client)
    news = told(send(client, name, [*shots(3), *shots(3, start_s=9)]))
    assert [one["type"] for one in news] == ["answer", "restart"]
    assert (news[0]["partial"], news[0]["time_s"], news[1]["time_s"]) == (True, 0.2, 9.0)
    assert "no frame came for 8.800 s" in news[1]["reason"]
    client.delete(f"/streams/{name}")


def test_a_reset_tells_the_rest_and_forgets(client: TestClient) -> None:
    name = begun(client)
    expected = essence([*told(send(client, name, shots(9))), *told(client.post(f"/streams/{name}/reset"))])
    again = essence([*told(send(client, name, shots(9))), *told(client.post(f"/streams/{name}/reset"))])
    assert again == expected
    assert expected[-1][-1] is True
    client.delete(f"/streams/{name}")


def test_requests_that_carry_no_frames_are_refused(client: TestClient) -> None:
    name = begun(client)
    path, png = f"/streams/{name}/frames", {"Content-Type": "image/png"}
    refused(client.post(path, content=noise(1), headers=png), 400, "malformed-request")
    refused(client.post(path, params={"time_s": 1}, content=b"", headers=png), 400, "malformed-request")
    for text in ("nan", "inf", "soon"):
        refused(client.post(path, params={"time_s": text}, content=noise(1), headers=png), 422, "invalid-parameter")
    file = [("frame", ("f.png", noise(1), "image/png"))]
    for times in (["nan"], ["soon"], ["1", "2"], []):
        refused(client.post(path, data={"time_s": times}, files=file), 400, "malformed-request")
    refused(client.post(path, data={"time_s": ["1"], "more": "x"}, files=file), 400, "malformed-request")
    refused(client.post(path, data={"time_s": ["1"]}), 415, "unsupported-media")
    refused(client.post(path, json={"time_s": 1}), 415, "unsupported-media")
    broken = {"Content-Type": "multipart/form-data; boundary=x"}
    refused(client.post(path, content=b"--y\r\nno", headers=broken), 400, "malformed-request")
    refused(client.post(path, content=b"", headers={"Content-Type": "multipart/form-data"}), 400, "malformed-request")
    refused(send(client, name, [Shot(index / 10, noise(1)) for index in range(300)]), 400, "malformed-request")
    assert client.get(f"/streams/{name}").json()["received"] == 0
    client.delete(f"/streams/{name}")


@pytest.mark.parametrize(
    "wishes",
    [
        {"top_k": 0},
        {"every_s": -1},
        {"every_s": 1e9},
        {"drop": "some"},
        {"memory_s": 0},
        {"memory_s": "long"},
        {"more": 1},
        {"protocol": 1},
    ],
)
def test_wishes_that_cannot_be_are_refused_by_name(client: TestClient, wishes: dict[str, Any]) -> None:
    problem = refused(client.post("/streams", json=wishes), 422, "invalid-parameter")
    assert next(iter(wishes)) in problem["detail"]


def test_another_model_is_not_found(client: TestClient) -> None:
    refused(client.post("/streams", json={"model": "other"}), 404, "no-such-model")
    client.delete(f"/streams/{begun(client, model='small')}")


def test_streams_are_bounded_and_expire(bundle: Path) -> None:
    with running(model=bundle, streams=2, stream_ttl_s=1.5) as small:
        names = [begun(small), begun(small)]
        busy = small.post("/streams")
        refused(busy, 429, "busy")
        assert int(busy.headers["Retry-After"]) >= 1
        with small.websocket_connect("/stream") as socket:
            socket.send_text("{}")
            (problem,), code = rest(socket)
            assert (problem["problem"]["status"], code) == (429, 4429)
        assert small.get("/readyz").status_code == 200
        until_live(small, 0)
        for name in names:
            refused(push(small, name, Shot(0, noise(1))), 410, "stream-gone")
        with small.websocket_connect("/stream") as socket:
            greeted(socket)
            socket.send_bytes(message(Shot(0, noise(1))))
            news, code = rest(socket)
            assert (news[-1]["problem"]["status"], code) == (410, 4410)
        assert live(small) == 0


def test_a_state_goes_on_at_another_service(client: TestClient, bundle: Path) -> None:
    first, last = shots(12), shots(6, start_s=1.2, seed=1)
    stays = begun(client, every_s=0)
    told(send(client, stays, first))
    data = client.get(f"/streams/{stays}/state")
    assert data.headers["Content-Type"] == "application/octet-stream"
    expected = [*told(send(client, stays, last)), *told(client.delete(f"/streams/{stays}"))]
    with running(model=bundle) as other:
        goes = begun(other, every_s=0)
        moved = other.put(f"/streams/{goes}/state", content=data.content)
        assert moved.status_code == 200, moved.text
        assert moved.json()["received"] == 12
        assert essence(told(send(other, goes, last))) == essence(expected)
        refused(push(other, goes, Shot(0.5, noise(1))), 422, "frame-out-of-order")


def test_states_that_are_none_of_this_models_are_refused(client: TestClient, tmp_path: Path) -> None:
    name, target = begun(client, every_s=0), begun(client, every_s=0)
    told(send(client, name, shots(3)))
    data = client.get(f"/streams/{name}/state").content
    path = f"/streams/{target}/state"
    for changed in (b"", b"x", data[:-1], data[:100] + b"\0" + data[101:], data[:-40] + b"\0\0\xc0\x7f" + data[-36:]):
        refused(client.put(path, content=changed), 400, "malformed-request")
    refused(client.put(path, content=bytes(10**6)), 413, "limit-exceeded")
    refused(client.put(f"/streams/{begun(client, memory_s='endless')}/state", content=data), 409, "state-refused")
    with running(model=make_streaming(tmp_path, "other")) as other:
        problem = refused(other.put(f"/streams/{begun(other)}/state", content=data), 409, "state-refused")
        assert "small 1.0.0" in problem["detail"]
    assert client.get(f"/streams/{target}").json()["received"] == 0


@pytest.mark.parametrize(
    "hello",
    [
        "",
        "{",
        "[]",
        "null",
        '"hello"',
        '{"protocol": 2}',
        '{"top_k": 0}',
        '{"more": 1}',
        '{"format": "film"}',
        '{"every_s": NaN}',
        '{"model": "\\ud800"}',
        '{"type": "end"}',
        "[" * 10_000,
    ],
)
def test_a_hello_that_cannot_be_read_is_told_so(client: TestClient, hello: str) -> None:
    with client.websocket_connect("/stream") as socket:
        socket.send_text(hello)
        (problem,), code = rest(socket)
    assert code == 4400
    assert problem["problem"]["type"] == "urn:kinema:problem:malformed-request"
    assert "hello" in problem["problem"]["detail"]
    assert live(client) == len(client.app.state.runtime.streams)  # type: ignore[attr-defined]


def test_a_frame_is_no_hello(client: TestClient) -> None:
    with client.websocket_connect("/stream") as socket:
        socket.send_bytes(message(Shot(0, noise(1))))
        (_,), code = rest(socket)
    assert code == 4400


def test_a_hello_for_another_model_is_not_found(client: TestClient) -> None:
    with client.websocket_connect("/stream") as socket:
        socket.send_text('{"model": "other"}')
        (problem,), code = rest(socket)
    assert (problem["problem"]["status"], code) == (404, 4404)


def test_a_client_that_does_not_greet_is_not_waited_for(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket_stream, "_HELLO_S", 0.05)
    with client.websocket_connect("/stream") as socket:
        (problem,), code = rest(socket)
    assert code == 4400
    assert "no hello came within 0.05 s" in problem["problem"]["detail"]


def test_a_socket_says_what_it_serves_and_at_the_end_what_came(client: TestClient) -> None:
    before = live(client)
    with client.websocket_connect("/stream") as socket:
        ready = greeted(socket, every_s=0.5, drop="none")
        assert ready == {
            "type": "ready",
            "protocol": 1,
            "model": {"name": "small", "version": "1.0.0"},
            "model_fps": 10.0,
        }
        assert live(client) == before + 1
        for shot in shots(8):
            socket.send_bytes(message(shot))
        socket.send_text('{"type": "end"}')
        news, code = rest(socket)
    assert code == 1000
    assert [(one["type"], one.get("partial")) for one in news] == [("answer", False), ("answer", True), ("end", None)]
    assert news[-1] == {"type": "end", "reason": "closed", "received": 8, "used": 8, "dropped": 0}
    until_live(client, before)


def test_a_reset_on_a_socket_lets_time_begin_anew(client: TestClient) -> None:
    with client.websocket_connect("/stream") as socket:
        greeted(socket, every_s=3600, drop="none")
        for _ in range(2):
            for shot in shots(5):
                socket.send_bytes(message(shot))
            socket.send_text('{"type": "reset"}')
        socket.send_text('{"type": "end"}')
        one, other, end = rest(socket)[0]
    assert essence([one]) == essence([other])
    assert (end["received"], end["used"]) == (10, 10)


def test_text_that_is_no_command_is_told_and_the_stream_goes_on(client: TestClient) -> None:
    with client.websocket_connect("/stream") as socket:
        greeted(socket, every_s=0, drop="none")
        for text in ("", "{}", '{"type": "fly"}', '{"type": "reset", "more": 1}', "\0", "[1]"):
            socket.send_text(text)
            problem = socket.receive_json()
            assert (problem["type"], problem["time_s"], problem["problem"]["status"]) == ("problem", None, 400)
        for shot in shots(2):
            socket.send_bytes(message(shot))
        assert socket.receive_json()["type"] == "answer"


def test_binary_messages_that_are_no_frame_are_told_and_the_stream_goes_on(client: TestClient) -> None:
    with client.websocket_connect("/stream") as socket:
        greeted(socket, every_s=0, drop="none")
        for data in (b"", b"1234567", bytes(8), struct.pack(">d", float("nan")) + noise(1), b"\x7f\xf0" + bytes(20)):
            socket.send_bytes(data)
            assert socket.receive_json()["problem"]["status"] == 400
        for shot in shots(2):
            socket.send_bytes(message(shot))
        assert socket.receive_json()["type"] == "answer"


def test_a_socket_that_breaks_frees_its_stream_at_once(client: TestClient) -> None:
    before = live(client)
    for count in (0, 1, 5):
        with client.websocket_connect("/stream") as socket:
            greeted(socket)
            for shot in shots(count):
                socket.send_bytes(message(shot))
        until_live(client, before)


def test_without_encoders_streams_are_told_that_the_engine_is_dead(bundle: Path) -> None:
    with running(model=bundle) as doomed:
        name = begun(doomed, every_s=0)
        push(doomed, name, Shot(0, noise(1)))
        with doomed.websocket_connect("/stream") as socket:
            greeted(socket, every_s=0)
            socket.send_bytes(message(Shot(0, noise(1))))
            doomed.app.state.runtime._pipeline.batcher.stop()  # type: ignore[attr-defined]
            socket.send_bytes(message(Shot(0.1, noise(2))))
            news, code = rest(socket)
            assert (news[-1]["problem"]["status"], code) == (503, 4503)
        for response in (
            push(doomed, name, Shot(0.1, noise(2))),
            doomed.post("/streams"),
            doomed.get(f"/streams/{name}"),
        ):
            refused(response, 503, "engine-dead")
            assert response.headers["Retry-After"]
        until_live(doomed, 1)


moments = st.one_of(st.floats(), st.sampled_from([0.0, 0.1, 0.2, 0.3, 5.0, -1.0, 1e308, 5e-324, 1.75e9]))
images = st.one_of(
    st.sampled_from([noise(1), noise(2), noise(1)[:90], b"\xff\xd8\xff\xc0", b""]),
    st.binary(max_size=60),
    st.binary(max_size=40).map(lambda data: noise(1)[:60] + data),
)
messages = st.one_of(
    st.binary(max_size=20),
    st.builds(lambda time_s, image: struct.pack(">d", time_s) + image, moments, images),
    st.sampled_from(['{"type": "reset"}', "{}", "x"]),
    st.text(max_size=10),
)


@FUZZED
@given(sent=st.lists(messages, max_size=12), every_s=st.sampled_from([0, 5e-324, 0.5]))
def test_no_messages_are_a_bug_of_ours(client: TestClient, sent: list[bytes | str], every_s: float) -> None:
    with client.websocket_connect("/stream") as socket:
        greeted(socket, every_s=every_s, drop="none")
        for one in sent:
            if isinstance(one, str):
                socket.send_text(one)
            else:
                socket.send_bytes(one)
        socket.send_text('{"type": "end"}')
        news, code = rest(socket)
    assert code == 1000, news[-1]
    assert news[-1]["type"] == "end"
    assert all(one["problem"]["status"] < 500 for one in news if one["type"] == "problem")


@FUZZED
@given(sent=st.lists(st.tuples(moments, images), min_size=1, max_size=8))
def test_no_frames_over_http_are_a_bug_of_ours(client: TestClient, sent: list[tuple[float, bytes]]) -> None:
    name = begun(client, every_s=0)
    answers = [send(client, name, [Shot(*one) for one in sent])]
    answers += [push(client, name, Shot(time_s + 1, image)) for time_s, image in sent[:2]]
    answers += [client.get(f"/streams/{name}/state"), client.delete(f"/streams/{name}")]
    assert all(answer.status_code < 500 for answer in answers), [answer.text for answer in answers]


@FUZZED
@given(data=st.data())
def test_no_state_is_a_bug_of_ours(client: TestClient, data: st.DataObject) -> None:
    name = begun(client, every_s=0)
    told(send(client, name, shots(data.draw(st.sampled_from([1, 2, 12])))))
    state = client.get(f"/streams/{name}/state").content
    changed = bytearray(state[:-32])
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(16, len(changed) - 1))
        changed[place] = data.draw(st.integers(0, 255))
    body = bytes(changed) + hashlib.sha256(changed).digest()
    answer = client.put(f"/streams/{name}/state", content=body)
    assert answer.status_code in {200, 400, 409}, answer.text
    assert push(client, name, Shot(1.3, noise(3))).status_code < 500
    assert client.delete(f"/streams/{name}").status_code < 500
