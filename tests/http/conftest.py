"""The application in this process, over httpx's transport instead of a socket."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from fastapi.testclient import TestClient

from service import logs
from service.app import build
from service.settings import Settings


@contextmanager
def running(**settings: Any) -> Iterator[TestClient]:
    """A client of an application with these settings, once it is ready; one decoder a lane unless told otherwise."""
    logs.configure("json", "error")
    app = build(Settings(**{"decoders": 1, **settings}))
    with TestClient(app, raise_server_exceptions=False) as client:
        deadline = time.monotonic() + 60
        while client.get("/readyz").status_code != 200:
            assert time.monotonic() < deadline, client.get("/readyz").text
            time.sleep(0.02)
        yield client


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    """A client of an application with small limits that the ordinary clips stay below."""
    with running(max_upload_mb=0.2, max_pixels=320 * 240, max_duration_s=3.0, max_frames=200) as ready:
        yield ready
