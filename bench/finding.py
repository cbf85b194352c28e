"""What a comparison writes down, and reads again: one finding for each system, scenario, clip, load and round."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, NamedTuple, Self

from bench.errors import BenchError
from bench.usage import Usage


class Case(NamedTuple):
    """What is measured. Findings of the same case, of whatever file, are rounds of one figure.

    Attributes:
        mode: `equal` (the same work for all) or `default` (each as it comes).
        precision: of the encoders; in mode `default` that of the peers and of the bound.
        scenario: one of `bench.scenario.SCENARIOS`.
        clip: its name; `mix` where several are posted.
        clients: how many; 0 where they come by the clock.
        part: which part of a scenario, '' where it has but one.
    """

    mode: str
    precision: str
    scenario: str
    clip: str
    clients: int
    part: str = ""


@dataclass(frozen=True, slots=True)
class Finding:
    """One system, once.

    Attributes:
        system: its name.
        case: what was measured.
        turn: the round, unique over all files: findings of one turn saw the same machine.
        elapsed_s: from the first post to the last answer.
        times_s: of each answer, seconds from its post.
        refusals_s: of each refusal, likewise.
        left: clients that hung up before their answer.
        errors: by what went wrong, wrong answers included.
        usage: CPU and memory; of everything that ran in this scenario at the time.
        rate: clips a second that were posted by the clock, 0 where clients waited for their answers.
    """

    system: str
    case: Case
    turn: str
    elapsed_s: float
    times_s: tuple[float, ...]
    refusals_s: tuple[float, ...]
    left: int
    errors: Mapping[str, int]
    usage: Usage
    rate: float = 0.0

    @property
    def clips_per_s(self) -> float:
        """Clips answered in a second."""
        return len(self.times_s) / self.elapsed_s

    @classmethod
    def read(cls, told: Mapping[str, Any]) -> Self:
        """From JSON."""
        plain = {name: told[name] for name in (one.name for one in fields(cls))}
        return cls(
            **plain
            | {
                "case": Case(*told["case"]),
                "usage": Usage(**told["usage"]),
                "times_s": tuple(told["times_s"]),
                "refusals_s": tuple(told["refusals_s"]),
            }
        )


@dataclass(frozen=True, slots=True)
class Record:
    """A file of findings.

    Attributes:
        when: the date, UTC.
        machine: CPU, cores, versions.
        model: name and version.
        clips: bytes and sha256 by name.
        versions: of the systems, by name.
        variables: what Kinema was told, by mode.
        findings: all of them.
    """

    when: str
    machine: Mapping[str, str | int]
    model: Mapping[str, str]
    clips: Mapping[str, Mapping[str, str | int]]
    versions: Mapping[str, str]
    variables: Mapping[str, Mapping[str, str]]
    findings: tuple[Finding, ...]

    def write(self, path: Path) -> None:
        """As JSON; microseconds are enough."""
        told = asdict(self)
        for finding in told["findings"]:
            for name in ("times_s", "refusals_s"):
                finding[name] = [round(value, 6) for value in finding[name]]
        unfinished = path.with_suffix(".part")
        unfinished.write_text(json.dumps(told) + "\n")
        unfinished.replace(path)

    @classmethod
    def read(cls, path: Path) -> Self:
        """From a file.

        Raises:
            BenchError: it is none of ours.
        """
        try:
            told = json.loads(path.read_text())
            return cls(**told | {"findings": tuple(Finding.read(one) for one in told["findings"])})
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise BenchError(f"{path} holds no findings of `scripts/bench compare`: {error}") from error


def merged(records: Iterable[Record]) -> Record:
    """Several files as one.

    Raises:
        BenchError: they are of different machines, models or clips.
    """
    first, *others = records
    for other in others:
        same = first.machine == other.machine and first.model == other.model
        shared = set(first.clips) & set(other.clips)
        if not same or any(first.clips[name] != other.clips[name] for name in shared):
            raise BenchError("the files are of different machines, models or clips: they make no one table")
    every = [first, *others]
    return Record(
        when=min(one.when for one in every),
        machine=first.machine,
        model=first.model,
        clips={name: clip for one in every for name, clip in one.clips.items()},
        versions={name: version for one in every for name, version in one.versions.items()},
        variables={mode: told for one in every for mode, told in one.variables.items()},
        findings=tuple(finding for one in every for finding in one.findings),
    )
