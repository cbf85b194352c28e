"""Who is measured in every round: something that takes a number of seconds and returns a measurement."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bench import load
from bench.bound import Bound
from bench.measurement import Measurement
from bench.system import System
from bench.usage import Meter

BOUND, DECODE, ENCODE = "bound", "decode alone", "encode alone"


@dataclass(frozen=True, slots=True)
class Contestant:
    """One row of the report.

    Attributes:
        name: what it is.
        measure: measures it for so many seconds.
    """

    name: str
    measure: Callable[[float], Measurement]


def loaded(system: System, concurrency: int, clip: bytes) -> Contestant:
    """A system under load, `NAME x CONCURRENCY`."""

    def measure(seconds: float) -> Measurement:
        meter = Meter(system.pids)
        done = load.put(system.url, lambda connection: system.post(connection, clip), concurrency, seconds)
        usage = meter.read()
        told = [system.stages_ms(body) for body in done.bodies]
        stages = dict.fromkeys(stage for one in told for stage in one)
        return Measurement(
            elapsed_s=done.elapsed_s,
            times_s=tuple(done.times_s),
            usage=usage,
            stages_ms={stage: tuple(one[stage] for one in told) for stage in stages},
            errors=Counter(done.errors),
        )

    return Contestant(f"{system.name} x {concurrency}", measure)


def contestants(bound: Bound, systems: Sequence[System], concurrencies: Sequence[int], clip: bytes) -> list[Contestant]:
    """Everything that is measured, in the order of a round."""
    return [
        Contestant(BOUND, bound.measure),
        *(loaded(system, concurrency, clip) for system in systems for concurrency in concurrencies),
        Contestant(DECODE, lambda seconds: bound.measure(seconds, "decode")),
        Contestant(ENCODE, lambda seconds: bound.measure(seconds, "encode")),
    ]
