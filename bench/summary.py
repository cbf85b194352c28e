"""Findings of many rounds and files, summed up by case and system."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bench.finding import Case, Finding, Record
from bench.measurement import Spread, percentile

BOUND, KINEMA = "bound", "kinema"


@dataclass(frozen=True, slots=True)
class Summary:
    """One system in one case, over all rounds.

    Attributes:
        findings: of each round; at least one.
    """

    findings: tuple[Finding, ...]

    @property
    def system(self) -> str:
        """Its name."""
        return self.findings[0].system

    @property
    def case(self) -> Case:
        """What was measured."""
        return self.findings[0].case

    @property
    def clips_per_s(self) -> Spread:
        """Clips answered in a second, over rounds."""
        return Spread.of([one.clips_per_s for one in self.findings])

    @property
    def rate(self) -> float:
        """Clips a second that were posted by the clock: the median over rounds."""
        return Spread.of([one.rate for one in self.findings]).median

    def ms(self, percent: float) -> float:
        """The time that so many per cent of all answers of all rounds took at most, in milliseconds."""
        return percentile([time_s for one in self.findings for time_s in one.times_s], percent) * 1000

    def refusal_ms(self, percent: float) -> float:
        """The same of refusals."""
        return percentile([time_s for one in self.findings for time_s in one.refusals_s], percent) * 1000

    @property
    def cpu_s_a_clip(self) -> float:
        """The system's own CPU seconds for a clip: the median over rounds."""
        return Spread.of([one.usage.cpu_s / max(1, len(one.times_s)) for one in self.findings]).median

    @property
    def load_cpu_s_a_clip(self) -> float:
        """CPU seconds that posting a clip took: the median over rounds."""
        return Spread.of([one.usage.load_cpu_s / max(1, len(one.times_s)) for one in self.findings]).median

    @property
    def peak_mb(self) -> float:
        """The most memory of any round, in MB (10^6 bytes)."""
        return max(one.usage.peak_bytes for one in self.findings) / 1e6

    @property
    def faults(self) -> dict[str, int]:
        """What was not answered as it should be, by how."""
        told = sum((Counter(one.errors) for one in self.findings), Counter[str]())
        told["refused"] = sum(len(one.refusals_s) for one in self.findings)
        told["left"] = sum(one.left for one in self.findings)
        return {what: count for what, count in told.items() if count}


class Summaries:
    """All that a record holds, summed up.

    Args:
        record: the findings.
    """

    def __init__(self, record: Record) -> None:
        self.record = record
        found: dict[tuple[Case, str], list[Finding]] = {}
        for finding in record.findings:
            found.setdefault((finding.case, finding.system), []).append(finding)
        self._all = {key: Summary(tuple(rounds)) for key, rounds in found.items()}

    @property
    def efforts(self) -> list[tuple[str, str]]:
        """The modes and precisions that were measured."""
        return list(dict.fromkeys((case.mode, case.precision) for case, _ in self._all))

    def cases(self, mode: str, precision: str, scenario: str) -> list[Case]:
        """The cases of a scenario, those with more clients after those with fewer."""
        fits = {case for case, _ in self._all if case[:3] == (mode, precision, scenario)}
        return sorted(fits, key=lambda case: (case.clip, case.clients, case.part))

    def systems(self, case: Case) -> Iterator[Summary]:
        """The systems of a case: the bound, Kinema, then the peers, the faster first."""
        rows = [summary for (of, _), summary in self._all.items() if of == case]
        ranks = {BOUND: 0, KINEMA: 1}
        yield from sorted(rows, key=lambda row: (ranks.get(row.system, 2), -row.clips_per_s.median))

    def get(self, case: Case, system: str) -> Summary | None:
        """One of them, where it was measured."""
        return self._all.get((case, system))

    def share(self, summary: Summary) -> Spread | None:
        """Clips a second as a share of the bound's in the same round; None where no round has a bound."""
        case = summary.case
        bound = self.get(Case(case.mode, case.precision, "throughput", case.clip, 0), BOUND)
        best = {} if bound is None else {one.turn: one.clips_per_s for one in bound.findings}
        ratios = [one.clips_per_s / best[one.turn] for one in summary.findings if one.turn in best]
        return Spread.of(ratios) if ratios else None

    def disturbance(self) -> float:
        """The largest part of the machine, 0 to 1, that other work took during any finding."""
        cores = int(self.record.machine["cores"])
        return max((one.usage.others_cpu_s / one.elapsed_s / cores for one in self.record.findings), default=0.0)


def best_peer(rows: Sequence[Summary]) -> Summary | None:
    """The peer that answers most clips a second."""
    peers = [row for row in rows if row.system not in {BOUND, KINEMA}]
    return max(peers, key=lambda row: row.clips_per_s.median, default=None)
