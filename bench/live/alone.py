"""`alone`: one stream at the model's rate, frame to answer, beside the bare compute time of the same frames."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from bench.live.bound import Bound
from bench.live.stage import House, Stage
from bench.measurement import percentile
from bench.table import markdown
from service.load.crowd import Crowd

WANTED = 1.5
"""Frame to answer is wanted within so many times the bare compute time."""


@dataclass(frozen=True, slots=True)
class Times:
    """Milliseconds: half and 95 % of the moments took no longer."""

    p50_ms: float
    p95_ms: float

    @classmethod
    def of(cls, seconds: list[float] | tuple[float, ...]) -> Times:
        """Of at least one moment."""
        return cls(percentile(seconds, 50) * 1000, percentile(seconds, 95) * 1000)


@dataclass(frozen=True, slots=True)
class Alone:
    """One round.

    Attributes:
        bare: moment after moment on one thread, caches warm.
        paced: the same, each when it is due, as in a stream.
        answered: from the moment at which a frame was due to its answer, as a client sees it.
        stages_ms: the means of the server's own account.
    """

    bare: Times
    paced: Times
    answered: Times
    stages_ms: dict[str, float]


async def alone(stage: Stage, bound: Bound, house: House) -> Alone:
    """Measures one round.

    Raises:
        SystemFailed: a process ended.
        MeasurementError: the stream could not be held.
    """
    bare = bound.alone(stage.seconds / 2, paced=False)
    paced = bound.alone(stage.seconds, paced=True)
    crowd = Crowd(stage.scene(house.url), 1, None)
    step = await crowd.run()
    shown = [one.timing_ms for take in crowd.takes for one in take.answers]
    stages = {name: sum(one[name] for one in shown) / len(shown) for name in shown[0]}
    return Alone(Times.of(bare.wall_s), Times.of(paced.wall_s), Times.of(list(step.latencies_s)), stages)


def lines(found: list[Alone]) -> Iterator[str]:
    """The table: a row for each round."""
    headings = ("one stream", "bare p50 ms", "p95", "paced p50 ms", "p95", "answer p50 ms", "p95", "x bare", "x paced")
    rows = [
        [
            f"round {number + 1}",
            *(f"{value:.1f}" for one in (got.bare, got.paced, got.answered) for value in (one.p50_ms, one.p95_ms)),
            f"{got.answered.p50_ms / got.bare.p50_ms:.2f}",
            f"{got.answered.p50_ms / got.paced.p50_ms:.2f}",
        ]
        for number, got in enumerate(found)
    ]
    yield from markdown(headings, rows)
    last = found[-1].stages_ms
    yield f"\nBy the server's own account, mean ms: {', '.join(f'{name} {ms:.1f}' for name, ms in last.items())}."
