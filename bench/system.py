"""The systems under test: what serves, how it is started, and how a clip is posted to it."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Protocol

from bench.clip import ROOT
from bench.load import Refused, connect
from bench.process import Process


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
        variables: environment variables for it, beside those of this process.
        module: what is run; it does what `service.cli` does.
    """

    name = "kinema"

    def __init__(self, model: Path, variables: Mapping[str, str] | None = None, module: str = "service.cli") -> None:
        self.url = ""
        self._model = model
        self._module = module
        self._variables = {"KINEMA_LOG_FORMAT": "json", "KINEMA_LOG_LEVEL": "info", **(variables or {})}
        self._process: Process | None = None

    @property
    def pids(self) -> list[int]:
        return [] if self._process is None else [self._process.pid]

    def start(self) -> None:
        options = ["--host", "127.0.0.1", "--port", "0", "--model", str(self._model)]
        command = [sys.executable, "-m", self._module, "serve", *options]
        self._process = Process("kinema", command, ROOT, self._variables)
        self._process.until(self._listens)
        self._process.until(self._ready)

    def _listens(self) -> bool:
        said = "" if self._process is None else self._process.said
        # The last line may not be whole yet.
        lines = [line for line in said.splitlines(keepends=True) if '"listening"' in line and line.endswith("\n")]
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

    @property
    def said(self) -> str:
        """What it has printed so far."""
        return "" if self._process is None else self._process.said

    def stop(self) -> None:
        if self._process is not None:
            self._process.stop()
            self._process = None

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


SYSTEMS: dict[str, Callable[[Path, Mapping[str, str]], System]] = {"kinema": Kinema}
"""By name: what makes a system of the bundle's directory and environment variables. Peers are of `bench.compare`."""
