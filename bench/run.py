"""`scripts/bench`: the service beside the bound, in rounds, in one run.

A round measures the bound, then the service with one clip at a time, then with eight, then decoding and encoding alone.
What the machine does meanwhile so touches all of them alike; ratios are taken within a round.
"""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from bench.bound import Bound
from bench.clip import bench_clip
from bench.compare import compare
from bench.contestant import BOUND, DECODE, ENCODE, Contestant, contestants
from bench.errors import BenchError
from bench.measurement import Measurement, Row
from bench.moment import moment
from bench.peers.work import Precision
from bench.report import Report, Run, report, show
from bench.system import SYSTEMS, System
from service.errors import KinemaError
from service.inference.bundle import check_files
from service.inference.card import Card
from service.inference.session import usable_cores
from service.runtime import Options
from service.settings import Settings

_CONCURRENCIES = (1, 8)
_WARM_S = 0.2
# A measurement during which other work took more than this part of the machine is made again.
_QUIET = 0.05


def play(
    taking_part: Sequence[Contestant], rounds: int, seconds: float, tries: int, progress: Progress
) -> tuple[list[list[Measurement]], int]:
    """Measures everything in every round.

    Returns:
        The rounds of each contestant, and how many measurements were made again because other work disturbed them.
    """
    task = progress.add_task("", total=rounds * len(taking_part))
    found: list[list[Measurement]] = [[] for _ in taking_part]
    repeated = 0
    for number in range(rounds):
        for contestant, measured in zip(taking_part, found, strict=True):
            progress.update(task, description=f"round {number + 1} of {rounds}: {contestant.name}")
            made = list(_until_quiet(contestant, seconds, tries))
            measured.append(min(made, key=lambda one: one.others_share))
            repeated += len(made) - 1
            progress.advance(task)
    return found, repeated


def _until_quiet(contestant: Contestant, seconds: float, tries: int) -> Iterator[Measurement]:
    for _ in range(tries):
        measured = contestant.measure(seconds)
        yield measured
        if measured.others_share <= _QUIET:
            return


def rows(taking_part: Sequence[Contestant], found: Sequence[list[Measurement]]) -> tuple[Row, ...]:
    """The rows of the report; systems under test are held against the bound."""
    by_name = {contestant.name: measured for contestant, measured in zip(taking_part, found, strict=True)}
    return tuple(
        Row.of(name, measured, None if name in {DECODE, ENCODE} else by_name[BOUND])
        for name, measured in by_name.items()
    )


@contextmanager
def _running(system: System) -> Iterator[System]:
    try:
        system.start()
        yield system
    finally:
        system.stop()


@dataclass(frozen=True, slots=True)
class Task:
    """What to measure: a clip, the encoders' precision, for how long, how often, and how often again for quiet."""

    clip: Path
    precision: Precision
    seconds: float
    rounds: int
    tries: int


def measure(options: Options, task: Task, console: Console) -> Report:
    """Starts everything, measures it and ends it.

    Raises:
        BenchError: something does not start, or ended too soon.
        KinemaError: the bundle is no bundle.
    """
    cores, card, data = usable_cores(), Card.read(options.model), task.clip.read_bytes()
    check_files(options.model, card)
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with ExitStack() as stack:
        progress = stack.enter_context(Progress(*columns, console=console, transient=True, refresh_per_second=2))
        bound = Bound(options, data, cores, task.precision)
        stack.callback(bound.stop)
        systems = [
            stack.enter_context(_running(make(options.model, {"KINEMA_PRECISION": task.precision})))
            for make in SYSTEMS.values()
        ]
        taking_part = contestants(bound, systems, _CONCURRENCIES, data)
        for contestant in taking_part:
            contestant.measure(_WARM_S)  # what a first time costs is nobody's figure
        found, repeated = play(taking_part, task.rounds, task.seconds, task.tries, progress)
    run = Run(cores, task.clip, task.seconds, task.rounds, repeated)
    return report(options, card, run, rows(taking_part, found))


def bench(
    context: typer.Context,
    seconds: Annotated[float, typer.Option(min=0.1, help="Seconds of each measurement.")] = 10.0,
    rounds: Annotated[int, typer.Option(min=1, help="How often everything is measured.")] = 3,
    tries: Annotated[int, typer.Option(min=1, help="Most measurements for a quiet one, in each round.")] = 3,
    clip: Annotated[Path | None, typer.Option(help="The clip to post; default: 10 s, made by FFmpeg.")] = None,
    model: Annotated[
        Path | None, typer.Option(help="Directory of the bundle; default: KINEMA_MODEL, else the shipped.")
    ] = None,
    precision: Annotated[Precision, typer.Option(help="Of the encoders of both.")] = "fp32",
    to: Annotated[Path | None, typer.Option("--json", help="Also write all figures to this file.")] = None,
) -> None:
    """Measure the service beside the bound of the same work in a bare loop. KINEMA_* variables apply to both."""
    if context.invoked_subcommand is not None:
        return
    settings = Settings() if model is None else Settings(model=model.resolve())
    console = Console(stderr=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that what was started is ended
    try:
        task = Task(clip or bench_clip(), precision, seconds, rounds, tries)
        found = measure(settings.options(), task, console)
    except (BenchError, KinemaError, OSError) as error:
        typer.secho(f"scripts/bench: {error}", fg="red", err=True)
        raise typer.Exit(1) from error
    show(found, Console())
    if to is not None:
        to.write_text(json.dumps(found.as_dict(), indent=2) + "\n")
    if any(row.errors for row in found.rows):
        raise typer.Exit(1)


if __name__ == "__main__":
    app = typer.Typer(add_completion=False)
    app.callback(invoke_without_command=True)(bench)
    app.command()(compare)
    app.command()(moment)
    app()
