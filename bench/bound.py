"""The bound: as many processes as cores, each doing the bare work clip after clip. No HTTP, no queue, no threads.

A service cannot answer more clips a second than this; how close it comes is what the bench tells.
"""

from __future__ import annotations

import multiprocessing
import signal
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from typing import Literal

from bench.bare import Bare, Laps, laps
from bench.errors import SystemFailed
from bench.measurement import Measurement
from bench.peers.work import Precision
from bench.usage import Meter
from service.runtime import Options

Part = Literal["whole", "decode", "encode"]


class Bound:
    """The processes, loaded once and idle between measurements.

    Args:
        options: how the service would work.
        clip: the encoded bytes.
        processes: how many; one a core.
        precision: of the encoders.
    """

    def __init__(self, options: Options, clip: bytes, processes: int, precision: Precision = "fp32") -> None:
        spawn = multiprocessing.get_context("spawn")
        self._workers: list[tuple[SpawnProcess, Connection[tuple[Part, float], Laps]]] = []
        for _ in range(processes):
            ours, theirs = spawn.Pipe()
            process = spawn.Process(target=_work, args=(theirs, options, clip, precision), daemon=True)
            process.start()
            theirs.close()
            self._workers.append((process, ours))

    def measure(self, seconds: float, part: Part = "whole") -> Measurement:
        """Repeats the whole work in every process at once, or a part of it in one alone.

        Raises:
            SystemFailed: a process ended.
        """
        workers = self._workers if part == "whole" else self._workers[:1]
        pids = [process.pid or 0 for process, _ in workers]
        _each(workers, part, 0)  # once, so that nothing is allocated or loaded in what is measured
        meter = Meter(pids)
        done = _each(workers, part, seconds)
        usage = meter.read()
        # Processes end at slightly different times: each is counted over its own.
        rate = sum(len(one.times_s) / one.elapsed_s for one in done)
        times_s = tuple(time_s for one in done for time_s in one.times_s)
        return Measurement(len(times_s) / rate, times_s, usage)

    def stop(self) -> None:
        """Ends the processes."""
        for process, connection in self._workers:
            process.terminate()
            process.join()
            connection.close()


def _each(
    workers: list[tuple[SpawnProcess, Connection[tuple[Part, float], Laps]]], part: Part, seconds: float
) -> list[Laps]:
    try:
        for _, connection in workers:
            connection.send((part, seconds))
        return [connection.recv() for _, connection in workers]
    except (EOFError, OSError) as error:
        raise SystemFailed("a process of the bound ended; what it printed says why") from error


def _work(
    connection: Connection[Laps, tuple[Part, float]], options: Options, clip: bytes, precision: Precision
) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that started this one; it ends it
    bare = Bare(options, clip, precision)
    parts = {"whole": bare.whole, "decode": bare.decode, "encode": bare.encode}
    while True:
        part, seconds = connection.recv()
        connection.send(laps(parts[part], seconds))
