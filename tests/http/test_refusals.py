"""Every refusal: its status, its type, and what to do about it."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from fastapi.testclient import TestClient

from service.http.problems import MEDIA_TYPE, TABLE, Problem
from tests.http.conftest import running
from tests.samples import CLIPS, clip


def problem(response: Any, status: int, slug: str) -> Problem:
    assert response.status_code == status, response.text
    assert response.headers["Content-Type"] == MEDIA_TYPE
    told = Problem.model_validate(response.json())
    assert told.type == f"urn:kinema:problem:{slug}"
    assert told.status == status
    assert told.title
    assert told.detail
    assert told.advice
    assert told.request_id == response.headers["X-Request-ID"]
    return told


@pytest.mark.parametrize(
    ("name", "status", "slug", "word"),
    [
        ("text.mp4", 415, "unsupported-media", "text"),
        ("playlist.m3u8", 415, "unsupported-media", "text"),
        ("picture.jpg", 415, "unsupported-media", "JPEG"),
        ("audio.mp3", 415, "unsupported-media", "MP3"),
        ("audio.m4a", 415, "unsupported-media", "MP4"),
        ("cut-index-last.mp4", 422, "undecodable-clip", "cut off"),
    ],
)
def test_what_is_no_video_is_refused_by_name(client: TestClient, name: str, status: int, slug: str, word: str) -> None:
    told = problem(client.post("/predict", files={"file": (name, clip(name))}), status, slug)
    assert word in told.detail
    if status == 415:
        assert told.recognised is not None
        assert word in told.recognised


def test_a_truncated_clip_with_frames_is_answered_with_a_warning(client: TestClient) -> None:
    response = client.post("/predict", files={"file": ("c.mp4", clip("cut-index-first.mp4"))})
    assert response.status_code == 200, response.text
    assert any("ends at" in warning for warning in response.json()["warnings"])


def test_a_video_without_a_frame_is_undecodable(client: TestClient) -> None:
    header = clip("live.webm")[:600]
    told = problem(client.post("/predict", files={"file": ("c.webm", header)}), 422, "undecodable-clip")
    assert "VP90" in told.detail


def test_bytes_that_are_nothing_known_are_refused(client: TestClient) -> None:
    told = problem(client.post("/predict", files={"file": ("c.mp4", bytes(range(256)))}), 415, "unsupported-media")
    assert told.recognised is None


def test_an_empty_body_is_refused(client: TestClient) -> None:
    problem(client.post("/predict"), 400, "malformed-request")


def test_an_empty_file_is_refused(client: TestClient) -> None:
    problem(client.post("/predict", files={"file": ("c.mp4", b"")}), 400, "malformed-request")


def test_an_unknown_form_field_is_refused_by_name(client: TestClient) -> None:
    response = client.post("/predict", files={"file": ("c.mp4", clip("short.mp4"))}, data={"fps": "3"})
    assert "fps" in problem(response, 400, "malformed-request").detail


def test_a_form_without_the_field_file_is_refused(client: TestClient) -> None:
    response = client.post("/predict", files={"video": ("c.mp4", clip("short.mp4"))})
    assert "video" in problem(response, 400, "malformed-request").detail


def test_two_files_are_refused(client: TestClient) -> None:
    twice = [("file", ("a.mp4", clip("short.mp4"))), ("file", ("b.mp4", clip("short.mp4")))]
    problem(client.post("/predict", files=twice), 400, "malformed-request")


def test_a_file_without_a_name_is_refused_with_the_reason(client: TestClient) -> None:
    body = b'--b\r\nContent-Disposition: form-data; name="file"\r\n\r\nabc\r\n--b--\r\n'
    response = client.post("/predict", content=body, headers={"Content-Type": "multipart/form-data; boundary=b"})
    assert "filename" in problem(response, 400, "malformed-request").detail


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("multipart/form-data", b"--b\r\n"),
        ("multipart/form-data; boundary=b", b"no boundary here"),
        ("multipart/form-data; boundary=b", b"--b\r\nbroken header\r\n\r\nx\r\n--b--\r\n"),
        ("multipart/form-data; boundary=b", b""),
    ],
)
def test_a_broken_form_is_refused(client: TestClient, content_type: str, body: bytes) -> None:
    problem(client.post("/predict", content=body, headers={"Content-Type": content_type}), 400, "malformed-request")


def test_a_content_type_that_carries_no_clip_is_refused(client: TestClient) -> None:
    response = client.post("/predict", content=b"{}", headers={"Content-Type": "application/json"})
    assert "curl" in problem(response, 415, "unsupported-media").advice


@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        ("top_k=0", "top_k"),
        ("top_k=many", "top_k"),
        ("min_score=1.5", "min_score"),
        ("start_s=-1", "start_s"),
        ("start_s=nan", "start_s"),
        ("end_s=inf", "end_s"),
        ("start_s=2&end_s=1", "query"),
        ("start_s=1&end_s=1", "query"),
        ("fps=30", "fps"),
    ],
)
def test_a_parameter_that_is_not_valid_is_named(client: TestClient, query: str, parameter: str) -> None:
    response = client.post(f"/predict?{query}", files={"file": ("c.mp4", clip("short.mp4"))})
    told = problem(response, 422, "invalid-parameter")
    assert told.errors is not None
    assert [fault["parameter"] for fault in told.errors] == [parameter]


def test_a_span_behind_the_clip_is_refused(client: TestClient) -> None:
    response = client.post("/predict?start_s=60", files={"file": ("c.mp4", clip("short.mp4"))})
    assert "60" in problem(response, 422, "span-outside-clip").detail


LARGE = b"\0" * 300_000


@pytest.mark.parametrize("as_form", [True, False], ids=["form", "raw"])
@pytest.mark.parametrize("declared", [True, False], ids=["with Content-Length", "chunked"])
def test_a_body_over_the_limit_is_refused(client: TestClient, as_form: bool, declared: bool) -> None:
    head = b'--b\r\nContent-Disposition: form-data; name="file"; filename="c.mp4"\r\n\r\n'
    body = head + LARGE + b"\r\n--b--\r\n" if as_form else LARGE

    def pieces() -> Iterator[bytes]:
        for start in range(0, len(body), 10_000):
            yield body[start : start + 10_000]

    content_type = "multipart/form-data; boundary=b" if as_form else "video/mp4"
    response = client.post("/predict", content=body if declared else pieces(), headers={"Content-Type": content_type})
    told = problem(response, 413, "limit-exceeded")
    assert (told.limit, told.maximum) == ("KINEMA_MAX_UPLOAD_MB", "0.2 MB")
    assert response.headers["Connection"] == "close"


def test_a_file_just_over_the_limit_is_refused_in_a_form_too(client: TestClient) -> None:
    told = problem(client.post("/predict", files={"file": ("c.mp4", b"\0" * 200_001)}), 413, "limit-exceeded")
    assert "200001" in told.detail


@pytest.mark.parametrize(
    ("name", "settings", "limit"),
    [
        ("h264.mp4", {"max_pixels": 100 * 100}, "KINEMA_MAX_PIXELS"),
        ("h264.mp4", {"max_duration_s": 1.0}, "KINEMA_MAX_DURATION_S"),
        ("live.webm", {"max_duration_s": 1.0}, "KINEMA_MAX_DURATION_S"),
        ("h264.mp4", {"max_frames": 10}, "KINEMA_MAX_FRAMES"),
    ],
)
def test_a_clip_over_a_limit_is_refused_by_the_limits_name(name: str, settings: dict[str, Any], limit: str) -> None:
    with running(**settings) as client:
        told = problem(client.post("/predict", files={"file": (name, clip(name))}), 413, "limit-exceeded")
    assert told.limit == limit
    assert told.maximum


def test_when_every_slot_is_taken_clips_are_refused_and_probes_answered() -> None:
    with running(max_in_flight=1) as client:
        runtime = client.app.state.runtime  # type: ignore[attr-defined]

        @asynccontextmanager
        async def admitted() -> AsyncIterator[None]:
            with runtime.admit():
                yield

        assert client.portal is not None
        with client.portal.wrap_async_context_manager(admitted()):
            response = client.post("/predict", files={"file": ("c.mp4", clip("short.mp4"))})
            told = problem(response, 429, "busy")
            assert "1 slots" in told.detail
            assert int(response.headers["Retry-After"]) >= 1
            for probe in ("/livez", "/readyz", "/health", "/metrics"):
                assert client.get(probe).status_code == 200, probe
            assert client.get("/health").json()["in_flight"] == 1


def test_a_draining_service_is_unready_and_refuses_new_clips() -> None:
    with running() as client:
        client.app.state.runtime.admission.drain()  # type: ignore[attr-defined]
        response = client.post("/predict", files={"file": ("c.mp4", clip("short.mp4"))})
        problem(response, 503, "draining")
        assert int(response.headers["Retry-After"]) >= 1
        assert client.get("/readyz").status_code == 503
        assert client.get("/livez").status_code == 200


def test_an_answer_that_takes_too_long_is_504() -> None:
    with running(request_timeout_s=0.001) as client:
        problem(client.post("/predict", files={"file": ("c.mp4", clip("h264.mp4"))}), 504, "deadline-exceeded")


def test_a_model_that_is_not_there_is_404(client: TestClient) -> None:
    assert "nobody" in problem(client.get("/models/nobody"), 404, "no-such-model").detail


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/nowhere", 404), ("GET", "/predict", 405)])
def test_what_http_itself_refuses_is_a_problem_too(client: TestClient, method: str, path: str, status: int) -> None:
    response = client.request(method, path)
    assert response.status_code == status
    assert response.headers["Content-Type"] == MEDIA_TYPE
    assert Problem.model_validate(response.json()).status == status


def test_a_bug_is_a_500_that_names_no_internals() -> None:
    with running() as client:
        client.app.state.context = None  # type: ignore[attr-defined]
        told = problem_of_bug(client.get("/models"))
    assert "report" in told.advice


def problem_of_bug(response: Any) -> Problem:
    assert response.status_code == 500
    assert response.headers["Content-Type"] == MEDIA_TYPE
    return Problem.model_validate(response.json())


def test_every_clip_of_the_tests_is_answered_or_refused_but_never_a_bug(client: TestClient) -> None:
    for path in sorted(CLIPS.iterdir()):
        response = client.post("/predict", files={"file": (path.name, path.read_bytes())})
        assert response.status_code in {200, 413, 415, 422}, (path.name, response.text)


def test_a_refused_clip_leaves_its_slot(client: TestClient) -> None:
    client.post("/predict", files={"file": ("c.mp4", clip("text.mp4"))})
    assert client.get("/health").json()["in_flight"] == 0


def test_every_error_of_the_table_is_in_openapi(client: TestClient) -> None:
    paths = client.get("/openapi.json").json()["paths"]
    described = {status for path in paths.values() for method in path.values() for status in method["responses"]}
    statuses = {str(kind.status) for kind in TABLE.values()} - {"499"}
    assert statuses <= described
