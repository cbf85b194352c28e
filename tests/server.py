"""The real service, as a process of its own with a socket of its own."""

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

from tests.samples import ROOT

# Long enough for a machine that does other work beside the tests; nothing waits for it to pass.
PATIENCE_S = 120.0


class Server:
    """`kinema serve` on a free port; use it in a `with` block.

    It has one decoder a lane unless it is told otherwise: each takes most of a second of CPU time to start.

    Args:
        options: the command's options.
        env: KINEMA_* variables by the name behind the prefix, in lower case.
    """

    def __init__(self, *options: str, **env: object) -> None:
        variables = {f"KINEMA_{name.upper()}": str(value) for name, value in ({"decoders": 1} | env).items()}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "service.cli", "serve", "--port", "0", *options],
            cwd=ROOT,
            env={**os.environ, **variables},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.url = ""
        self.log: list[dict[str, Any]] = []
        self.output: list[str] = []
        self._listening: queue.Queue[str | None] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.output.append(line)
            try:
                entry = json.loads(line)
            except json.JSONDecodeError:
                continue
            self.log.append(entry)
            if entry.get("event") == "listening":
                self._listening.put(entry["url"])
        self._listening.put(None)

    def wait_listening(self) -> Self:
        """Returns when the socket is open; the model may not be ready yet."""
        if self.url:
            return self
        url = self._listening.get(timeout=PATIENCE_S)
        assert url is not None, f"the server ended: {''.join(self.output)}"
        self.url = url
        return self

    def wait_ready(self) -> Self:
        """Returns when the service is ready."""
        self.wait_listening()
        self.until(lambda: httpx.get(f"{self.url}/readyz").status_code == 200)
        return self

    def until(self, holds: Any) -> None:
        """Waits for a condition that has to come true."""
        deadline = time.monotonic() + PATIENCE_S
        while not holds():
            assert time.monotonic() < deadline, f"waited in vain: {''.join(self.output[-20:])}"
            assert self.process.poll() is None, f"the server ended: {''.join(self.output)}"
            time.sleep(0.02)

    def metric(self, name: str, **labels: str) -> float:
        """The value of a metric, summed over the labels not named; 0 where there is none."""
        total = 0.0
        for line in httpx.get(f"{self.url}/metrics").text.splitlines():
            series, _, value = line.rpartition(" ")
            if series.partition("{")[0] == name and all(f'{key}="{label}"' in series for key, label in labels.items()):
                total += float(value)
        return total

    def signal(self, number: signal.Signals = signal.SIGTERM) -> None:
        """Sends the process a signal."""
        self.process.send_signal(number)

    def wait(self) -> int:
        """The exit code, once the process has ended."""
        code = self.process.wait(PATIENCE_S)
        self._reader.join(PATIENCE_S)
        return code

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self.signal()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self._reader.join()
        assert self.process.stderr is not None
        self.process.stderr.close()


def kinema(*arguments: str | Path, **env: object) -> subprocess.CompletedProcess[str]:
    """Runs the command `kinema` to its end."""
    variables = {f"KINEMA_{name.upper()}": str(value) for name, value in env.items()}
    return subprocess.run(
        [sys.executable, "-m", "service.cli", *map(str, arguments)],
        cwd=ROOT,
        env={**os.environ, "COLUMNS": "200", **variables},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
