"""Uploads that are too large to be kept in memory."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from tests.http.conftest import running
from tests.samples import clip

GOLF = clip("real-golf.mp4")


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    with running(upload_memory_mb=0.001) as ready:
        yield ready


@pytest.mark.parametrize("form", [True, False], ids=["form", "body"])
def test_a_large_upload_goes_through_a_file_that_leaves_nothing(
    client: TestClient, form: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    if form:
        answer = client.post("/predict", files={"file": ("c.mp4", GOLF)})
    else:
        answer = client.post("/predict", content=GOLF, headers={"Content-Type": "video/mp4"})
    assert answer.json()["predictions"][0]["label"] == "golf"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("form", [True, False], ids=["form", "body"])
def test_without_room_on_disk_it_is_refused_and_small_ones_are_answered(
    client: TestClient, form: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "none"))
    if form:
        refused = client.post("/predict", files={"file": ("c.mp4", GOLF)})
    else:
        refused = client.post("/predict", content=GOLF, headers={"Content-Type": "video/mp4"})
    assert (refused.status_code, refused.json()["type"]) == (503, "urn:kinema:problem:no-room")
    assert refused.headers["Retry-After"]
    tiny = client.post("/predict", content=b"not a video", headers={"Content-Type": "video/mp4"})
    assert tiny.status_code == 415
