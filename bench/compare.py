"""`scripts/bench compare`: Kinema, the bound and the peers, in rounds, in one run.

In a round every system is started, warmed, measured and ended before the next: an idle server beside the one that is
measured costs it memory and, some of them, CPU. Each round begins with another system, so that none always comes first.
"""

from __future__ import annotations

import json
import secrets
import signal
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Literal, Protocol

import typer

from bench.bound import Bound
from bench.clip import CACHE, LONG, RECIPES, SHORT, USUAL, bench_clip
from bench.errors import BenchError
from bench.finding import Case, Finding, Record
from bench.peer import PEERS, PeerServer, installed, version
from bench.peers.work import Precision, Work
from bench.post import Postman, Target
from bench.report import machine, now
from bench.scenario import BY_THE_CLOCK, CROWD, SCENARIOS, Part, Wish
from bench.stand import Stand
from bench.system import Kinema
from bench.wire import Raw, Wire
from service.errors import KinemaError
from service.inference.card import Card
from service.inference.session import usable_cores
from service.runtime import Options
from service.settings import Settings

Mode = Literal["equal", "default"]

BOUND, KINEMA = "bound", "kinema"
_KINEMA_WIRE = Raw("/predict")
_WARM_S = 1.0
# The peers queue whoever comes and wait for as long as it takes: where everybody does the same, so does Kinema.
_PATIENT = {"KINEMA_MAX_IN_FLIGHT": "64", "KINEMA_MAX_BACKLOG_S": "1000", "KINEMA_REQUEST_TIMEOUT_S": "300"}


@dataclass(frozen=True, slots=True)
class Plan:
    """What is compared.

    Attributes:
        mode: `equal` or `default`.
        precision: of the encoders; in mode `default` Kinema chooses its own.
        systems: by name.
        scenarios: by name.
        wish: clips, clients and seconds.
        rounds: how often.
        variables: environment variables for Kinema beside the mode's.
    """

    mode: Mode
    precision: Precision
    systems: tuple[str, ...]
    scenarios: tuple[str, ...]
    wish: Wish
    rounds: int
    variables: Mapping[str, str]

    def kinema(self, scenario: str) -> dict[str, str]:
        """Environment variables for Kinema in a scenario."""
        if self.mode == "default":
            return dict(self.variables)
        equal = {"KINEMA_PRECISION": self.precision, "KINEMA_DECODE": "exact"}
        return equal | ({} if scenario in BY_THE_CLOCK else _PATIENT) | dict(self.variables)

    def clips(self) -> tuple[str, ...]:
        """Every clip that is posted; a mix has its own."""
        mix = (SHORT, LONG) if "mixed" in self.scenarios else ()
        own = self.wish.clips if set(self.scenarios) != {"mixed"} else ()
        return tuple(dict.fromkeys((SHORT, *own, *mix)))


class Served(Protocol):
    """A system that can be started and ended."""

    name: str
    url: str

    @property
    def pids(self) -> list[int]:
        """Its processes."""

    def start(self) -> None:
        """Returns when it is ready."""

    def stop(self) -> None:
        """Ends it."""


class Comparison:
    """The systems under test and what they are asked.

    Args:
        plan: what is compared.
        options: the model, and how the bound works.
        clips: the encoded bytes by name.
    """

    def __init__(self, plan: Plan, options: Options, clips: Mapping[str, bytes]) -> None:
        self._plan, self._options, self._clips = plan, options, clips
        work = Work(options.model, plan.precision)
        # The right answers: what the model says when its work is done exactly. Kinema has to give them like the peers.
        self._labels = {name: str(work.answer(clip)["predictions"][0]["label"]) for name, clip in clips.items()}

    def findings(self) -> Iterator[Finding]:
        """Measures everything in every round.

        Raises:
            SystemFailed: a system does not start, or ends while it is measured.
        """
        postman, systems = Postman(self._clips), self._plan.systems
        try:
            for number in range(self._plan.rounds):
                turn, first = secrets.token_hex(6), number % len(systems)
                for system in systems[first:] + systems[:first]:
                    for finding in self._bound() if system == BOUND else self._system(system, postman):
                        yield replace(finding, turn=turn)
        finally:
            postman.stop()

    def _case(self, scenario: str, clip: str, clients: int, part: str) -> Case:
        return Case(self._plan.mode, self._plan.precision, scenario, clip, clients, part)

    def _bound(self) -> Iterator[Finding]:
        """The bare work; it has no clients, and answers only how many clips a second there can be."""
        for clip in self._plan.wish.clips if "throughput" in self._plan.scenarios else ():
            bound = Bound(self._options, self._clips[clip], usable_cores(), self._plan.precision)
            try:
                found = bound.measure(self._plan.wish.seconds)
            finally:
                bound.stop()
            case = self._case("throughput", clip, 0, "")
            yield Finding(BOUND, case, "", found.elapsed_s, found.times_s, (), 0, {}, found.usage)

    def _system(self, name: str, postman: Postman) -> Iterator[Finding]:
        for scenario in self._plan.scenarios:
            served, wire = self._served(name, scenario)
            try:
                served.start()
                stand = Stand(Target(served.url, wire, self._labels), served.pids, postman)
                self._warm(stand)
                for part in SCENARIOS[scenario](stand, self._plan.wish):
                    yield self._finding(name, scenario, part)
            finally:
                served.stop()

    def _served(self, name: str, scenario: str) -> tuple[Served, Wire]:
        if name == KINEMA:
            return Kinema(self._options.model, self._plan.kinema(scenario)), _KINEMA_WIRE
        sample = (self._clips[SHORT], self._labels[SHORT])
        return PeerServer(name, self._options.model, self._plan.precision, sample), PEERS[name].wire

    def _warm(self, stand: Stand) -> None:
        """What a first time costs is nobody's figure: every worker gets short clips, and each clip is seen."""
        stand.clients(SHORT, CROWD, _WARM_S)
        for clip in self._clips:
            stand.clients(clip, 2, 0.01)

    def _finding(self, system: str, scenario: str, part: Part) -> Finding:
        account = part.taken.accounts[part.group]
        return Finding(
            system=system,
            case=self._case(scenario, part.clip, part.clients, part.part),
            turn="",
            elapsed_s=part.taken.elapsed_s(part.group),
            times_s=account.times_s,
            refusals_s=account.refusals_s,
            left=account.left,
            errors=account.errors,
            usage=part.taken.usage,
            rate=part.rate,
        )


def measure(plan: Plan, options: Options, to: Path) -> Record:
    """Compares, telling each figure as it is found and writing all of them after each.

    Raises:
        BenchError: something does not start, or ended too soon.
        KinemaError: the bundle is no bundle.
    """
    card = Card.read(options.model)
    files = {name: bench_clip(name=name) if name in RECIPES else Path(name) for name in plan.clips()}
    clips = {name: file.read_bytes() for name, file in files.items()}
    record = Record(
        when=now(),
        machine=machine(usable_cores()),
        model={"name": card.name, "version": card.version},
        clips={name: {"bytes": len(clip)} for name, clip in clips.items()},
        versions={name: version(name) for name in plan.systems if name in PEERS},
        variables={f"{plan.mode} {plan.precision}": plan.kinema("throughput")},
        findings=(),
    )
    for finding in Comparison(plan, options, clips).findings():
        record = replace(record, findings=(*record.findings, finding))
        record.write(to)
        case, faults = finding.case, {**finding.errors, "refused": len(finding.refusals_s), "left": finding.left}
        told = ", ".join(f"{count} x {what}" for what, count in faults.items() if count)
        place = " ".join(word for word in (case.scenario, case.clip, f"x{case.clients}", case.part) if word)
        typer.echo(f"{finding.system:9} {place:40} {finding.clips_per_s:6.2f} clips/s  {told}", err=True)
    return record


def _systems(wanted: list[str] | None) -> tuple[str, ...]:
    """The systems wanted; by default Kinema, the bound and every peer that is installed.

    Raises:
        BenchError: there is none of this name.
    """
    if not wanted:
        return (BOUND, KINEMA, *(name for name in PEERS if installed(name)))
    unknown = [name for name in wanted if name not in {BOUND, KINEMA, *PEERS}]
    if unknown:
        raise BenchError(f"no system {', '.join(unknown)}; there are {', '.join((BOUND, KINEMA, *PEERS))}")
    return tuple(dict.fromkeys(wanted))


def _scenarios(wanted: list[str]) -> tuple[str, ...]:
    unknown = [name for name in wanted if name not in SCENARIOS]
    if unknown:
        raise BenchError(f"no scenario {', '.join(unknown)}; there are {', '.join(SCENARIOS)}")
    return tuple(wanted)


def _variables(told: list[str] | None) -> dict[str, str]:
    pairs = [one.partition("=") for one in told or []]
    if any(not name.startswith("KINEMA_") or not equals for name, equals, _ in pairs):
        raise BenchError("--kinema takes KINEMA_NAME=VALUE")
    return {name: value for name, _, value in pairs}


def compare(  # noqa: PLR0913, PLR0917 - each is an option of the command
    to: Annotated[Path, typer.Option("--json", help="File that all figures are written to, for bench.table.")] = (
        CACHE / "compare.json"
    ),
    system: Annotated[list[str] | None, typer.Option(help="bound, kinema or a peer; default: all installed.")] = None,
    scenario: Annotated[list[str] | None, typer.Option(help=f"{', '.join(SCENARIOS)}; default: throughput.")] = None,
    clip: Annotated[list[str] | None, typer.Option(help=f"{', '.join(RECIPES)}, or a file; default: {USUAL}.")] = None,
    clients: Annotated[str, typer.Option(help="How many at a time, one figure each.")] = "1,8,32",
    mode: Annotated[Mode, typer.Option(help="equal: the same work for all; default: each as it comes.")] = "equal",
    precision: Annotated[Precision, typer.Option(help="Of the encoders; in mode default, of the peers.")] = "fp32",
    seconds: Annotated[float, typer.Option(min=0.1, help="For how long clips are posted, for each figure.")] = 10.0,
    rounds: Annotated[int, typer.Option(min=1, help="How often everything is measured.")] = 1,
    kinema: Annotated[list[str] | None, typer.Option(help="KINEMA_NAME=VALUE for Kinema's process.")] = None,
) -> None:
    """Measure Kinema beside the bound and the peers that `scripts/peers` has installed."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that what was started is ended
    try:
        wish = Wish(tuple(clip or [USUAL]), tuple(int(word) for word in clients.split(",")), seconds)
        plan = Plan(
            mode=mode,
            precision=precision,
            systems=_systems(system),
            scenarios=_scenarios(scenario or ["throughput"]),
            wish=wish,
            rounds=rounds,
            variables=_variables(kinema),
        )
        to.parent.mkdir(parents=True, exist_ok=True)
        measure(plan, Settings().options(), to)
    except (BenchError, KinemaError, OSError, ValueError, json.JSONDecodeError) as error:
        typer.secho(f"scripts/bench: {error}", fg="red", err=True)
        raise typer.Exit(1) from error
    typer.echo(f"{to} holds the figures: python -m bench.table {to}", err=True)
