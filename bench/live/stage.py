"""What every measurement has: the model, the film, and servers of its own."""

from __future__ import annotations

import os
import signal
import time
import urllib.request
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bench.live.served import TASKS
from bench.system import Kinema
from bench.usage import Held
from service.inference.card import Card, Precision
from service.load.crowd import Crowd, Scene
from service.load.film import Film

_WARM_STREAMS = 4
_GLANCE_S = 0.05


@dataclass(frozen=True, slots=True)
class Stage:
    """Where everything is measured.

    Attributes:
        model: directory of the bundle.
        card: of it.
        precision: of the encoders, with and without the service.
        film: what cameras send, at the model's rate.
        cores: usable ones.
        seconds: of a measurement.
        variables: of the servers' environment, beside this one's.
    """

    model: Path
    card: Card
    precision: Precision
    film: Film
    cores: int
    seconds: float
    variables: Mapping[str, str] = field(default_factory=dict)

    @asynccontextmanager
    async def server(self, **settings: object) -> AsyncIterator[House]:
        """A server with settings of its own for the time of the block, warmed by a few streams.

        Raises:
            SystemFailed: it does not start.
        """
        named = {f"KINEMA_{name.upper()}": str(value) for name, value in settings.items()}
        kinema = Kinema(
            self.model, {"KINEMA_PRECISION": self.precision, **self.variables, **named}, "bench.live.served"
        )
        try:
            kinema.start()
            await Crowd(self.scene(kinema.url, seconds=1.0), _WARM_STREAMS, None).run()
            yield House(kinema)
        finally:
            kinema.stop()

    def scene(self, url: str, every_s: float = 0.0, seconds: float | None = None) -> Scene:
        """Cameras on a server."""
        return Scene(url, (self.film,), every_s, self.seconds if seconds is None else seconds)


class House:
    """A running server, seen from outside.

    Args:
        kinema: it.
    """

    def __init__(self, kinema: Kinema) -> None:
        self._kinema = kinema
        self.url = kinema.url
        (self.pid,) = kinema.pids

    def held(self) -> Held:
        """What the server's process holds, without its decoders."""
        return Held.by(self.pid)

    def tasks(self) -> int:
        """How many tasks live in it."""
        before = self._kinema.said.count(TASKS)
        os.kill(self.pid, signal.SIGUSR1)
        while self._kinema.said.count(TASKS) == before or not self._kinema.said.endswith("\n"):
            time.sleep(_GLANCE_S)
        return int(self._kinema.said.rpartition(TASKS)[2].split()[0])

    def metric(self, name: str) -> float:
        """A metric, summed over its labels."""
        with urllib.request.urlopen(f"{self.url}/metrics") as answer:
            lines = answer.read().decode().splitlines()
        return sum(float(line.rpartition(" ")[2]) for line in lines if line.partition("{")[0].split()[:1] == [name])
