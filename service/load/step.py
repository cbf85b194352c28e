"""One step: what came of a rate, and whether that was good enough."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from service.load.work import ANSWERED, REFUSED, UNFINISHED

# Answers that come more slowly than this share of the arrivals leave a backlog that p95 does not show yet.
_KEEPS_UP = 0.95
# That share says something only in steps so many times as long as the goal's latency.
_TELLING = 5


def percentile(ordered: Sequence[float], percent: float) -> float | None:
    """The value that `percent` of the others do not exceed (nearest rank), or None of none."""
    return ordered[_rank(len(ordered), percent) - 1] if ordered else None


def _rank(count: int, percent: float) -> int:
    return max(1, math.ceil(round(percent * count, 6) / 100))


@dataclass(frozen=True, slots=True)
class Step:
    """What came of offering units of work at a rate. Units that were due while it settled do not count.

    Attributes:
        rate: units offered a second, or streams at the same time.
        seconds: how long that was measured.
        sent: units that were due in that time.
        outcomes: how many of them ended how; see `Work.do`.
        latencies_s: seconds from the moment at which a unit was due to its answer, ascending. Where the step was cut
            short also the age of each unfinished unit, so that percentiles of these units are lower bounds.
        finished: answers that came while it was measured, whenever their units were due.
        cut_short: it was given up because it could not reach the goal any more.
        waited: units that found all connections taken when they were due.
        lag_s: 95 % of units were begun at most so long after they were due: how well the load itself kept time.
    """

    rate: float
    seconds: float
    sent: int
    outcomes: Mapping[str, int]
    latencies_s: Sequence[float]
    finished: int
    cut_short: bool = False
    waited: int = 0
    lag_s: float = 0.0

    @property
    def answered(self) -> int:
        """Units that were answered, in whatever time."""
        return self.outcomes.get(ANSWERED, 0)

    @property
    def refused(self) -> int:
        """Units that were refused with 429: no fault of the service, and no answer either."""
        return self.outcomes.get(REFUSED, 0)

    @property
    def failed(self) -> int:
        """Units that ended in any other way."""
        return sum(self.outcomes.values()) - self.answered - self.refused - self.outcomes.get(UNFINISHED, 0)

    @property
    def answered_per_s(self) -> float:
        """Answers a second."""
        return self.finished / self.seconds

    def latency_ms(self, percent: float) -> float | None:
        """A percentile of the latencies in milliseconds."""
        value = percentile(self.latencies_s, percent)
        return None if value is None else value * 1e3


@dataclass(frozen=True, slots=True)
class Goal:
    """When a rate counts as carried.

    Attributes:
        p95_s: 95 % of the answers come within so many seconds.
        errors: at most this share of the units (0 to 1) may be refused or fail.
    """

    p95_s: float
    errors: float

    def fault(self, step: Step) -> str | None:
        """Why a step does not reach the goal, in words, or None if it does."""
        without = step.refused + step.failed
        if without > self.errors * step.sent:
            # Of a step that was cut short only that it was too many is known, not how many it would have been.
            share = f"over {self.errors * 100:.3g}%" if step.cut_short else f"{without / step.sent:.1%}"
            return f"{share} {'refused (429)' if step.refused >= step.failed else 'failed'}"
        p95_ms = step.latency_ms(95)
        if p95_ms is None:
            return "nothing was sent"
        if p95_ms > self.p95_s * 1e3:
            return f"p95 over {self.p95_s * 1e3:.0f} ms" if step.cut_short else f"p95 {p95_ms:.0f} ms"
        # One unit more or less is chance.
        if step.seconds >= _TELLING * self.p95_s and step.finished + without + 1 < _KEEPS_UP * step.sent:
            return f"fell behind: {step.answered_per_s:.2f}/s"
        return None

    def out_of_reach(self, planned: int, late: int, without_answer: int) -> bool:
        """Whether a step that is under way fails whatever comes.

        Args:
            planned: units of the whole step.
            late: those of them that are known to take longer than `p95_s`, answered yet or not.
            without_answer: those that were refused or have failed.
        """
        return late > planned - _rank(planned, 95) or without_answer > self.errors * planned
