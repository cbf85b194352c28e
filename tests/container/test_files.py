"""What the container's files say, held against the service's settings; needs no container."""

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import pytest

from service.settings import Settings
from tests.container import podman

COMPOSE = (podman.ROOT / "docker-compose.yml").read_text()
DOCKERFILE = (podman.ROOT / "Dockerfile").read_text()
HEALTHCHECK = podman.ROOT / "docker" / "healthcheck.py"


def test_compose_stops_later_than_the_service_drains() -> None:
    grace = re.search(r"stop_grace_period: \$\{KINEMA_GRACE:-(\d+)s\}", COMPOSE)
    assert grace
    assert int(grace[1]) > Settings.model_fields["drain_s"].default


@pytest.mark.parametrize("text", [re.sub(r"\$\{.*?\}", "", COMPOSE), DOCKERFILE], ids=["compose", "Dockerfile"])
def test_every_variable_is_a_setting(text: str) -> None:
    named = set(re.findall(r"(?:^\s+- |\s)KINEMA_([A-Z_]+)(?:=\S*)?(?: \\)?$", text, re.MULTILINE))
    assert named
    assert {name.lower() for name in named} <= Settings.model_fields.keys()


@contextmanager
def _answering(status: int) -> Iterator[int]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:  # the name that the base class calls
            self.send_response(status if self.path == "/readyz" else 404)
            self.end_headers()

        def log_request(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


def _check(port: int) -> int:
    command = [sys.executable, "-I", "-S", str(HEALTHCHECK)]
    return subprocess.run(command, env={"KINEMA_PORT": str(port)}, capture_output=True, check=False).returncode


@pytest.mark.parametrize(("status", "code"), [(200, 0), (503, 1), (404, 1)])
def test_the_health_check_asks_whether_the_service_is_ready(status: int, code: int) -> None:
    with _answering(status) as port:
        assert _check(port) == code


def test_the_health_check_fails_where_nobody_listens() -> None:
    assert _check(podman.free_port()) == 1
