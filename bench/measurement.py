"""What was measured: of one contestant in one round, and of all rounds together."""

from __future__ import annotations

import os
import statistics
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from bench.usage import Usage


@dataclass(frozen=True, slots=True)
class Measurement:
    """One contestant in one round.

    Attributes:
        elapsed_s: seconds that it took.
        times_s: seconds of each clip, from its post (or its start) to its answer.
        usage: what its own processes, the process that posts, and the rest of the machine used.
        stages_ms: milliseconds of each stage of each clip, by stage, where answers tell.
        errors: how many clips were not answered, by the status or the exception.
    """

    elapsed_s: float
    times_s: tuple[float, ...]
    usage: Usage
    stages_ms: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    errors: Mapping[str, int] = field(default_factory=dict)

    @property
    def clips_per_s(self) -> float:
        """Clips answered in a second."""
        return len(self.times_s) / self.elapsed_s

    @property
    def cpu_s_a_clip(self) -> float:
        """The contestant's CPU seconds for one clip."""
        return self.usage.cpu_s / max(1, len(self.times_s))

    @property
    def others_share(self) -> float:
        """The part of the machine, 0 to 1, that other work took."""
        return self.usage.others_cpu_s / self.elapsed_s / (os.cpu_count() or 1)


@dataclass(frozen=True, slots=True)
class Spread:
    """The median of a figure over the rounds, and its extremes."""

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Of at least one value."""
        return cls(statistics.median(values), min(values), max(values))


def percentile(values: Sequence[float], percent: float) -> float:
    """The value that `percent` of all values do not exceed, between two of them in proportion; NaN of none."""
    return float(np.percentile(values, percent)) if values else float("nan")


@dataclass(frozen=True, slots=True)
class Row:
    """One contestant over all rounds.

    Attributes:
        name: what it is.
        clips: how many were answered.
        clips_per_s: over rounds.
        ratio: clips a second, divided by the bound's in the same round; None of what is not held against the bound.
        p50_ms, p95_ms: of all clips of all rounds.
        cpu_s_a_clip: over rounds; the contestant's own processes.
        load_cpu_s_a_clip: CPU seconds a clip of the process that posts, median over rounds.
        peak_mb: the highest of all rounds, in MB (10^6 bytes).
        stages_ms: medians of all clips, by stage.
        others_share: the part of the machine that anything else took, 0 to 1, over rounds.
        errors: by what went wrong.
    """

    name: str
    clips: int
    clips_per_s: Spread
    ratio: Spread | None
    p50_ms: float
    p95_ms: float
    cpu_s_a_clip: Spread
    load_cpu_s_a_clip: float
    peak_mb: float
    stages_ms: dict[str, float]
    others_share: Spread
    errors: dict[str, int]

    @classmethod
    def of(cls, name: str, rounds: Sequence[Measurement], bound: Sequence[Measurement] | None) -> Row:
        """Sums up the rounds of one contestant; `bound` are the bound's, in the same order."""
        times_s = [time_s for one in rounds for time_s in one.times_s]

        def over(figure: Callable[[Measurement], float]) -> Spread:
            return Spread.of([figure(one) for one in rounds])

        return cls(
            name=name,
            clips=len(times_s),
            clips_per_s=over(lambda one: one.clips_per_s),
            ratio=None if bound is None else _ratio(rounds, bound),
            p50_ms=percentile(times_s, 50) * 1000,
            p95_ms=percentile(times_s, 95) * 1000,
            cpu_s_a_clip=over(lambda one: one.cpu_s_a_clip),
            load_cpu_s_a_clip=over(lambda one: one.usage.load_cpu_s / max(1, len(one.times_s))).median,
            peak_mb=max(one.usage.peak_bytes for one in rounds) / 1e6,
            stages_ms=_stages_ms(rounds),
            others_share=over(lambda one: one.others_share),
            errors=dict(sum((Counter(one.errors) for one in rounds), Counter[str]())),
        )


def _ratio(rounds: Sequence[Measurement], bound: Sequence[Measurement]) -> Spread:
    return Spread.of([one.clips_per_s / best.clips_per_s for one, best in zip(rounds, bound, strict=True)])


def _stages_ms(rounds: Sequence[Measurement]) -> dict[str, float]:
    stages = dict.fromkeys(stage for one in rounds for stage in one.stages_ms)
    return {
        stage: percentile([value for one in rounds for value in one.stages_ms.get(stage, ())], 50) for stage in stages
    }
