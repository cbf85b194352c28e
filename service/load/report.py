"""What was found, as facts and in a sentence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from service.load.offer import Pace
from service.load.step import Goal, Step, percentile

# Units begun later than this share of the goal's latency spoil what is measured.
_LAG = 0.1


@dataclass(slots=True)
class Report:
    """What was found so far.

    Attributes:
        url: of the server.
        noun: what is counted, in the plural.
        clips: that were posted.
        goal: when a rate is carried.
        pace: how steps were made.
        alone_s: seconds that units took one after the other, ascending.
        steps: in the order in which they were made.
        interrupted: it was ended from outside.
        wishes: what live streams want, where those are counted: so many at the same time, and not a rate.
    """

    url: str
    noun: str
    clips: Sequence[str]
    goal: Goal
    pace: Pace
    alone_s: list[float] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    interrupted: bool = False
    wishes: Mapping[str, float] | None = None

    def amount(self, step: Step) -> str:
        """How much a step offered, without its unit."""
        return f"{step.rate:.2f}" if self.wishes is None else f"{step.rate:.0f}"

    @property
    def unit(self) -> str:
        """What amounts are of."""
        return f"{self.noun}/s" if self.wishes is None else self.noun

    @property
    def carried(self) -> Step | None:
        """The step with the highest rate that reached the goal."""
        return max((step for step in self.steps if not self.goal.fault(step)), key=lambda step: step.rate, default=None)

    @property
    def alone_ms(self) -> float | None:
        """The median of units done one after the other, in milliseconds."""
        median_s = percentile(self.alone_s, 50)
        return None if median_s is None else median_s * 1e3

    @property
    def too_slow_alone(self) -> bool:
        """Whether not even a lone unit reaches the goal, so that no rate can."""
        return self.alone_ms is not None and self.alone_ms > self.goal.p95_s * 1e3

    @property
    def verdict(self) -> str:
        """What was found, in a sentence."""
        return f"Interrupted. {self._finding()}" if self.interrupted else self._finding()

    def _finding(self) -> str:
        best, wanted = self.carried, f"{self.goal.p95_s * 1e3:.0f} ms"
        missed = [step for step in self.steps if self.goal.fault(step)]
        if best is None and not missed:
            slow = f"One of the {self.noun} takes {self.alone_ms or 0:.0f} ms without load, over {wanted}."
            return slow if self.too_slow_alone else "No step was completed."
        if best is None:
            lowest = min(missed, key=lambda step: step.rate)
            return f"{self.url} does not carry {self.amount(lowest)} {self.unit}: {self.goal.fault(lowest)}."
        above = min((step for step in missed if step.rate > best.rate), key=lambda step: step.rate, default=None)
        limit = f"; at {self.amount(above)}: {self.goal.fault(above)}" if above else ""
        p95 = f"p95 {best.latency_ms(95):.0f} ms, wanted {wanted}"
        return f"{self.url} carries {self.amount(best)} {self.unit} ({p95}{limit})."

    @property
    def notes(self) -> list[str]:
        """What makes figures less certain, or where the load itself was the limit; a sentence each."""
        notes = []
        lag_s = max((step.lag_s for step in self.steps), default=0.0)
        sent = "Requests" if self.wishes is None else "Frames"
        if lag_s > _LAG * self.goal.p95_s:
            notes.append(
                f"{sent} were sent {lag_s * 1e3:.0f} ms late, which counts as latency: this machine was too busy. "
                "Measure from another one."
            )
        if any(step.waited for step in self.steps):
            notes.append(
                f"Requests waited for one of {self.pace.connections} connections, which counts as latency; "
                "--connections allows more."
            )
        return notes
