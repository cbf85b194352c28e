"""The bound of live streams: as many processes as cores, each doing the bare work of moments without a pause.

A service cannot carry more streams than cores / CPU time of a moment / moments a second.
"""

from __future__ import annotations

import multiprocessing
import signal
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import NamedTuple

from bench.errors import SystemFailed
from bench.live.moment import Bare, Laps
from service.inference.card import Precision
from service.load.film import Film

BATCHES = (1, 2)
"""Streams in step. A service whose streams meet in batches may do with less than one that has them apart."""
_WARM = 24


@dataclass(frozen=True, slots=True)
class Costs:
    """CPU milliseconds of a moment by how many streams are in step, the mean over moments: kinds differ in cadence."""

    by_batch: dict[int, float]

    @property
    def least_ms(self) -> float:
        """The cheapest."""
        return min(self.by_batch.values())

    def streams(self, cores: float, fps: float) -> float:
        """The bound."""
        return cores * 1000 / self.least_ms / fps


class _Task(NamedTuple):
    batch: int
    seconds: float
    paced: bool


_Worker = tuple[SpawnProcess, "Connection[_Task, Laps]"]


class Bound:
    """The processes, loaded once and idle between measurements.

    Args:
        model: directory of the bundle.
        precision: of the encoders.
        film: what is seen.
        processes: how many; one a core.
    """

    def __init__(self, model: Path, precision: Precision, film: Film, processes: int) -> None:
        spawn = multiprocessing.get_context("spawn")
        self._workers: list[_Worker] = []
        for _ in range(processes):
            ours, theirs = spawn.Pipe()
            process = spawn.Process(target=_work, args=(theirs, model, precision, film), daemon=True)
            process.start()
            theirs.close()
            self._workers.append((process, ours))

    def measure(self, seconds: float) -> Costs:
        """Looks at moments in every process at once.

        Raises:
            SystemFailed: a process ended.
        """
        return Costs({batch: _mean_ms(self._ask(self._workers, batch, seconds, paced=False)) for batch in BATCHES})

    def alone(self, seconds: float, *, paced: bool) -> Laps:
        """Looks at moments of one stream in one process, while the others rest.

        Raises:
            SystemFailed: the process ended.
        """
        return self._ask(self._workers[:1], 1, seconds, paced=paced)[0]

    def _ask(self, workers: Sequence[_Worker], batch: int, seconds: float, *, paced: bool) -> list[Laps]:
        try:
            for _, connection in workers:
                connection.send(_Task(batch, seconds, paced))
            return [connection.recv() for _, connection in workers]
        except (EOFError, OSError) as error:
            raise SystemFailed("a process of the bound ended; what it printed says why") from error

    def stop(self) -> None:
        """Ends the processes."""
        for process, connection in self._workers:
            process.terminate()
            process.join()
            connection.close()


def _mean_ms(laps: Sequence[Laps]) -> float:
    return 1000 * statistics.fmean(cpu_s for one in laps for cpu_s in one.cpu_s)


def _work(connection: Connection[Laps, _Task], model: Path, precision: Precision, film: Film) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that started this one; it ends it
    bares = {batch: Bare(model, precision, batch) for batch in BATCHES}
    for bare in bares.values():
        bare.run(film, moments=_WARM)  # what a first time costs is nobody's figure
    while True:
        task = connection.recv()
        connection.send(bares[task.batch].run(film, seconds=task.seconds, paced=task.paced))
