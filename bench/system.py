"""The systems under test: what serves, how it is started, and how a clip is posted to it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Protocol

from bench.clip import ROOT
from bench.errors import SystemFailed
from bench.load import Refused, connect

# For a model to load on a machine that does other work too.
_PATIENCE_S = 120.0
_STOPPING_S = 40.0
_GLANCE_S = 0.05


class System(Protocol):
    """A server that answers clips."""

    name: str
    url: str

    @property
    def pids(self) -> list[int]:
        """The processes that it was started as; their descendants count too."""

    def start(self) -> None:
        """Returns when it is ready.

        Raises:
            SystemFailed: it does not get ready.
        """

    def stop(self) -> None:
        """Ends it."""

    def post(self, connection: HTTPConnection, clip: bytes) -> bytes:
        """Posts a clip and returns the body of the answer.

        Raises:
            Refused: no answer.
        """

    def stages_ms(self, body: bytes) -> Mapping[str, float]:
        """What an answer tells of where its time went, in milliseconds by stage."""


class Kinema:
    """`kinema serve` in a process of its own, on a free port of the loopback address.

    Args:
        model: directory of the bundle.
    """

    name = "kinema"

    def __init__(self, model: Path) -> None:
        self.url = ""
        self._model = model
        self._process: subprocess.Popen[bytes] | None = None
        self._log = Path(os.devnull)

    @property
    def pids(self) -> list[int]:
        return [] if self._process is None else [self._process.pid]

    def start(self) -> None:
        # A file, not a pipe: nobody has to read it while the server is measured.
        descriptor, name = tempfile.mkstemp(prefix="kinema-bench-", suffix=".log")
        self._log = Path(name)
        options = ["--host", "127.0.0.1", "--port", "0", "--model", str(self._model)]
        with os.fdopen(descriptor, "wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "service.cli", "serve", *options],
                cwd=ROOT,
                env={**os.environ, "KINEMA_LOG_FORMAT": "json", "KINEMA_LOG_LEVEL": "info"},
                stdout=subprocess.DEVNULL,
                stderr=log,
            )
        self._until(self._listens)
        self._until(self._ready)

    def _until(self, holds: Callable[[], bool]) -> None:
        deadline_s = time.monotonic() + _PATIENCE_S
        while not holds():
            ended = self._process is None or self._process.poll() is not None
            if ended or time.monotonic() > deadline_s:
                end = "\n".join(self._log.read_text().splitlines()[-10:])
                raise SystemFailed(f"kinema serve {'ended' if ended else 'did not get ready'}:\n{end}")
            time.sleep(_GLANCE_S)

    def _listens(self) -> bool:
        lines = [line for line in self._log.read_text().splitlines() if '"listening"' in line]
        self.url = json.loads(lines[0])["url"] if lines else ""
        return bool(lines)

    def _ready(self) -> bool:
        connection = connect(self.url)
        try:
            connection.request("GET", "/readyz")
            return connection.getresponse().status == 200
        except (OSError, HTTPException):
            return False
        finally:
            connection.close()

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(_STOPPING_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None
            self._log.unlink()

    def post(self, connection: HTTPConnection, clip: bytes) -> bytes:
        connection.request("POST", "/predict", clip, {"Content-Type": "video/mp4"})
        response = connection.getresponse()
        body = response.read()
        if response.status != 200:
            raise Refused(str(response.status))
        return body

    def stages_ms(self, body: bytes) -> Mapping[str, float]:
        timing: dict[str, float] = json.loads(body)["timing_ms"]
        return timing


SYSTEMS: dict[str, Callable[[Path], System]] = {"kinema": Kinema}
"""By name: what makes a system of the bundle's directory. A peer is added here, and ignores the bundle."""
