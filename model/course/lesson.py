"""What `kinema train` says and does: finds clips, takes the course, and tells what came of it."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, replace
from pathlib import Path

import typer
from rich.markup import escape

from model.bundle.export import Title
from model.console import console, progress
from model.course.course import Course
from model.folder.gather import Found, gather
from model.folder.show import show
from model.folder.sources import find_sources
from model.folder.words import count
from model.report.facts import judged
from model.run.clock import Clock
from model.run.errors import RunError
from model.run.request import Request
from model.run.run import Run
from model.run.survey import digest
from model.run.table import rows
from service.inference.place import REPORT


@dataclass(frozen=True)
class Asked:
    """The command's options.

    Attributes:
        data: a directory of clips, or a list of them.
        clips: where the list's paths start.
        fps: at which frames in folders were taken.
        model: the directory of the model.
        request: what is asked for; the clips are filled in when they are found.
        title: what the card says that no run knows; without a description it names the actions.
        golden: the golden clip; None where it is to be chosen.
        cache: where features are kept.
        jobs: processes.
        resume: whether to go on with a run that is there.
    """

    data: Path
    clips: Path | None
    fps: float
    model: Path
    request: Request
    title: Title
    golden: Path | None
    cache: Path
    jobs: int
    resume: bool


def teach(asked: Asked) -> None:
    """Makes a model.

    Raises:
        KinemaError: the clips cannot be learned from, or the directory cannot be used.
    """
    clock = Clock(asked.request.minutes)
    if asked.golden is not None and not asked.golden.is_file():
        raise RunError(f"the golden clip {asked.golden} is not there", "Name a small clip, best of one of the actions.")
    found = _found(asked)
    sources = find_sources(found.clips, found.names)
    show(found, sources, asked.request.recipe.plan.window_s, console)
    request = asked.request.model_copy(update={"clips": digest(found)})
    run = Run.start(asked.model, request, resume=asked.resume)
    title = replace(asked.title, description=asked.title.description or _description(found))
    course = Course(asked.model, run, request, title, asked.golden, asked.cache, asked.jobs, clock)
    course.take(found, sources)
    _sum_up(asked.model, run, clock)


def _found(asked: Asked) -> Found:
    with progress() as bar:
        task = bar.add_task("looking for clips", total=None)

        def watch(done: int, of: int) -> None:
            bar.update(task, completed=done, total=of)

        return gather(asked.data, asked.clips, asked.cache, asked.jobs, asked.fps, watch)


def _description(found: Found) -> str:
    labels = sorted({clip.label for clip in found.clips})
    return f"{count(len(labels), 'action')}: {', '.join(labels)}."


def _sum_up(model: Path, run: Run, clock: Clock) -> None:
    """Prints what came of it: how good it is, beside the mean, and what to do next."""
    plan, seen = run.plan(), run.survey()
    assert seen is not None

    def say(line: str) -> None:
        console.print(escape(line), highlight=False, soft_wrap=True)

    kept, *others = rows(plan, run.trials())
    mean = next((row for row in others if row.variant.head == "mean" and row.variant.kinds == kept.variant.kinds), None)
    told = judged([one for one in run.trials() if one.variant == kept.variant], seen.inside, 1.0)
    beside = f"; the mean-pooled head {100 * mean.accuracy:.1f} %" if mean is not None else ""
    kinds = [kind.name for kind in plan.recipe.evidence]
    say(
        f"The {kept.variant.called(kinds)} head gets {100 * told.accuracy:.1f} % of {plan.clips} clips right "
        f"(95 % interval {100 * told.interval.low:.1f} to {100 * told.interval.high:.1f}){beside}; "
        f"{plan.folds}-fold cross-validation, no source in two folds."
    )
    choice = run.choice()
    if choice is not None:
        say(choice.why)
    held_out = run.held_out()
    if held_out is not None:
        say(held_out.sentence)
    if seen.skipped:
        say(f"{count(len(seen.skipped), 'file')} left out; the report lists them.")
    say(f"All took {clock.passed_s / 60:.1f} minutes. The report: {model / REPORT}")
    typer.echo(f"{model} is finished. Serve it: kinema serve --model {shlex.quote(str(model))}")
