"""A server as a process of its own: started, waited for, ended with all that it started."""

from __future__ import annotations

import os
import secrets
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from signal import SIGKILL

from bench.errors import SystemFailed

# For a model to load on a machine that does other work too.
_PATIENCE_S = 120.0
_STOPPING_S = 40.0
_GLANCE_S = 0.05
# Marks every process that descends from ours, so that one whose parent has gone is still known.
_MARK = "KINEMA_BENCH"


class Process:
    """A running server.

    Args:
        name: what messages call it.
        command: the program and its arguments.
        directory: where it runs.
        variables: added to this process' environment.
    """

    def __init__(self, name: str, command: Sequence[str], directory: Path, variables: Mapping[str, str]) -> None:
        self._name = name
        self._mark = secrets.token_hex(8)
        # A file, not a pipe: nobody has to read it while the server is measured.
        descriptor, log = tempfile.mkstemp(prefix=f"bench-{name}-", suffix=".log")
        self._log = Path(log)
        environment = {**os.environ, **variables, _MARK: self._mark}
        with os.fdopen(descriptor, "wb") as output:
            self._process = subprocess.Popen(
                list(command), cwd=directory, env=environment, stdout=output, stderr=output, stdin=subprocess.DEVNULL
            )

    @property
    def pid(self) -> int:
        """Of the process started."""
        return self._process.pid

    @property
    def said(self) -> str:
        """What it has printed so far."""
        return self._log.read_text(errors="replace")

    def until(self, holds: Callable[[], bool]) -> None:
        """Waits for a condition.

        Raises:
            SystemFailed: the process ended first, or it took too long.
        """
        deadline_s = time.monotonic() + _PATIENCE_S
        while not holds():
            ended = self._process.poll() is not None
            if ended or time.monotonic() > deadline_s:
                end = "\n".join(self.said.splitlines()[-10:])
                raise SystemFailed(f"{self._name} {'ended' if ended else 'did not get ready'}:\n{end}")
            time.sleep(_GLANCE_S)

    def stop(self) -> None:
        """Ends it: in its own way if it can, and what it leaves behind in any case."""
        self._process.terminate()
        try:
            self._process.wait(_STOPPING_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        for pid in self._left():
            with suppress(ProcessLookupError):
                os.kill(pid, SIGKILL)
        self._log.unlink(missing_ok=True)

    def _left(self) -> Iterator[int]:
        mark = f"{_MARK}={self._mark}".encode()
        for environment in Path("/proc").glob("[0-9]*/environ"):
            with suppress(OSError):
                if mark in environment.read_bytes():
                    yield int(environment.parent.name)
