"""podman, for real: images, containers and compose projects that end with their block."""

import os
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

ROOT = Path(__file__).parent.parent.parent
BASE = "docker.io/library/python:3.11-slim"

# What docker-compose.yml and Kubernetes ask for too.
HARDENED = (
    "--read-only",
    "--read-only-tmpfs=false",
    "--tmpfs=/tmp",
    "--cap-drop=all",
    "--security-opt=no-new-privileges",
)


def available() -> bool:
    """Whether there is a container engine here that works."""
    if shutil.which("podman") is None or shutil.which("podman-compose") is None:
        return False
    return subprocess.run(["podman", "info"], capture_output=True, check=False).returncode == 0


def run(*command: str, env: Mapping[str, str] | None = None, timeout_s: float = 60) -> str:
    """Runs a command at the root of the repository and returns what it printed; shows all of that if it fails."""
    done = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, **(env or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )
    assert done.returncode == 0, (
        f"{' '.join(command)} exited {done.returncode}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
    )
    return done.stdout.strip()


def inspect(name: str, template: str) -> str:
    """One fact about an image or a container, as a Go template names it."""
    return run("podman", "inspect", "--format", template, name)


def free_port() -> int:
    """A port that nobody listened on a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def eventually(holds: Callable[[], bool], what: str, timeout_s: float = 60) -> None:
    """Waits until something holds."""
    deadline_s = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < deadline_s, f"{what}: not within {timeout_s:g} s"
        time.sleep(0.1)


def status(url: str) -> int:
    """The status that a GET is answered with; 0 if it is not answered."""
    try:
        return httpx.get(url, timeout=5).status_code
    except httpx.TransportError:
        return 0


@contextmanager
def container(image: str, *command: str, options: tuple[str, ...] = ()) -> Iterator[str]:
    """A container that runs in the background. Yields its name."""
    name = f"kinema-test-{secrets.token_hex(4)}"
    try:
        run("podman", "run", "--detach", "--name", name, *options, image, *command)
        yield name
    finally:
        run("podman", "rm", "--force", "--time=0", "--volumes", "--ignore", name)


@dataclass(frozen=True)
class Project:
    """A compose project that is up: its one container, and where it is published."""

    name: str
    env: Mapping[str, str]
    url: str
    files: tuple[str, ...]

    @property
    def container(self) -> str:
        """The name of its container."""
        return f"{self.name}_kinema_1"

    @property
    def _compose(self) -> list[str]:
        return ["podman-compose", f"--project-name={self.name}", *(f"--file={file}" for file in self.files)]

    def compose(self, *arguments: str) -> str:
        """Runs podman-compose on it."""
        return run(*self._compose, *arguments, env=self.env, timeout_s=120)

    def stopping(self) -> "subprocess.Popen[bytes]":
        """Begins to stop it, as `compose stop` does."""
        return subprocess.Popen(
            [*self._compose, "stop"],
            cwd=ROOT,
            env={**os.environ, **self.env},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )


@contextmanager
def project(tag: str, *extras: str, env: Mapping[str, str] | None = None) -> Iterator[Project]:
    """The repository's docker-compose.yml and what is named of its extras, up and ready, on a port of its own."""
    port = free_port()
    up = Project(
        name=f"kinema-test-{secrets.token_hex(4)}",
        env={"KINEMA_TAG": tag, "KINEMA_PORT": str(port), **(env or {})},
        url=f"http://127.0.0.1:{port}",
        files=("docker-compose.yml", *extras),
    )
    try:
        up.compose("up", "--detach", "--no-build")
        eventually(lambda: status(f"{up.url}/readyz") == 200, "ready")
        yield up
    finally:
        up.compose("down", "--timeout", "0")


def problem(response: httpx.Response) -> dict[str, Any]:
    """The problem that a refusal carries."""
    assert response.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = response.json()
    return body
