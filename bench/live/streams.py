"""`streams`: the greatest number of live streams at the model's rate with a p95 under a figure, beside the bound."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from bench.live.bound import Bound
from bench.live.stage import House, Stage
from bench.table import markdown
from bench.usage import Meter
from service.load.crowd import Crowd
from service.load.search import greatest
from service.load.step import Goal

GOAL = Goal(p95_s=0.25, errors=0.01)
WANTED = 0.9
"""So much of the bound is wanted."""
_MOST = 512


@dataclass(frozen=True, slots=True)
class Trial:
    """So many streams for a while.

    Attributes:
        streams: how many.
        p50_ms, p95_ms: frame to answer; of a trial that was cut short, of the frames until then.
        dropped: frames given up.
        used: frames looked at, from the first to the last.
        cpu_ms: CPU of the server and its decoders for one frame looked at.
        load_ms: CPU of the cameras for one.
        others: the part of the machine, 0 to 1, that all other work took.
        fault: why it does not reach the goal; None if it does.
    """

    streams: int
    p50_ms: float
    p95_ms: float
    dropped: int
    used: int
    cpu_ms: float
    load_ms: float
    others: float
    fault: str | None


@dataclass(frozen=True, slots=True)
class Streams:
    """One search.

    Attributes:
        every_s: how often answers were wanted.
        moment_ms: CPU of a bare moment: the mean of before and after the search, the cheaper batch.
        bound: streams that would take all cores.
        carried: the greatest number that reached the goal; 0 where none did.
        trials: in the order in which they were made.
    """

    every_s: float
    moment_ms: float
    bound: float
    carried: int
    trials: list[Trial]

    @property
    def ratio(self) -> float:
        """The share of the bound that was carried."""
        return self.carried / self.bound

    @property
    def efficiency(self) -> float:
        """The same by CPU time alone: a bare moment's over one of the server's at the greatest number carried."""
        best = [trial for trial in self.trials if trial.streams == self.carried] or self.trials
        return self.moment_ms / best[-1].cpu_ms


async def try_out(stage: Stage, house: House, streams: int, every_s: float, *, cut: bool = True) -> Trial:
    """Measures so many streams; `cut` ends it as soon as the goal is missed whatever comes.

    Raises:
        MeasurementError: a stream cannot begin.
    """
    crowd = Crowd(stage.scene(house.url, every_s), streams, GOAL if cut else None)
    meter = Meter([house.pid])
    step = await crowd.run()
    usage = meter.read()
    used = max(1, sum(take.used for take in crowd.takes))
    elapsed_s = meter.elapsed_s
    return Trial(
        streams=streams,
        p50_ms=step.latency_ms(50) or 0.0,
        p95_ms=step.latency_ms(95) or 0.0,
        dropped=sum(take.dropped for take in crowd.takes),
        used=used,
        cpu_ms=1000 * usage.cpu_s / used,
        load_ms=1000 * usage.load_cpu_s / used,
        others=usage.others_cpu_s / elapsed_s / stage.cores,
        fault=GOAL.fault(step),
    )


async def streams(stage: Stage, bound: Bound, house: House, every_s: float) -> Streams:
    """Searches once, and measures the bound before and after.

    Raises:
        SystemFailed: a process ended.
        MeasurementError: a stream cannot begin.
    """
    before = bound.measure(stage.seconds / 2)
    trials: list[Trial] = []

    async def holds(count: int) -> bool:
        trials.append(await try_out(stage, house, count, every_s))
        return trials[-1].fault is None

    fps = stage.card.sampling.fps
    first = max(1, int(before.streams(stage.cores, fps) / 2))
    carried = await greatest(holds, first, _MOST)
    after = bound.measure(stage.seconds / 2)
    moment_ms = (before.least_ms + after.least_ms) / 2
    return Streams(every_s, moment_ms, stage.cores * 1000 / moment_ms / fps, carried or 0, trials)


def lines(found: list[Streams]) -> Iterator[str]:
    """The tables: a row for each search, and one for each trial."""
    headings = ("answers", "moment ms", "bound", "carried", "of bound", "server ms", "by CPU", "cameras ms")
    rows = []
    for one in found:
        best = next((trial for trial in one.trials if trial.streams == one.carried), one.trials[-1])
        figures = (f"{one.moment_ms:.2f}", f"{one.bound:.1f}", str(one.carried), f"{one.ratio:.0%}")
        costs = (f"{best.cpu_ms:.2f}", f"{one.efficiency:.0%}", f"{best.load_ms:.2f}")
        rows.append([_wish(one.every_s), *figures, *costs])
    yield from markdown(headings, rows)
    yield ""
    headings = ("answers", "streams", "p50 ms", "p95 ms", "dropped", "CPU ms a frame", "others", "")
    yield from markdown(headings, [_row(one, trial) for one in found for trial in one.trials])


def _wish(every_s: float) -> str:
    return f"every {every_s:g} s" if every_s else "at every moment"


def _row(one: Streams, trial: Trial) -> list[str]:
    times = (f"{trial.p50_ms:.0f}", f"{trial.p95_ms:.0f}", str(trial.dropped))
    shares = (f"{trial.cpu_ms:.2f}", f"{trial.others:.0%}")
    return [_wish(one.every_s), str(trial.streams), *times, *shares, trial.fault or "carried"]
