"""What `kinema evaluate` does, step by step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from rich import box
from rich.markup import escape
from rich.table import Table

from model.console import console, progress
from model.data.dataset import DataError, Dataset
from model.evaluation.answers import Judged, judge
from model.evaluation.files import write_files
from model.folder.gather import gather
from model.folder.sources import find_sources
from model.folder.words import readable
from model.metrics.judgement import Judgement
from model.report.facts import DataFacts, ReportFacts
from model.report.page import write_report
from model.run.errors import RunError
from model.run.run import Run

_MOST_ROWS = 60


def labelled(data: Path, clips: Path | None, cache: Path, jobs: int) -> tuple[Dataset, DataFacts]:
    """The labelled clips of a directory or a list, each with its source, and how they were found.

    Raises:
        DataError: there are none.
    """
    with progress() as bar:
        task = bar.add_task("looking at files", total=None)

        def watch(done: int, of: int) -> None:
            bar.update(task, completed=done, total=of)

        found = gather(data, clips, cache, jobs, watch=watch, classes=1)
    sources = find_sources(found.clips, found.names)
    placed = zip(found.clips, sources.of, strict=True)
    skipped = tuple((one.path, one.reason) for one in found.skipped)
    told = DataFacts(
        readable(f"Found {found.layout}."),
        readable(sources.sentence),
        skipped,
        tuple(readable(f"{note[0].upper()}{note[1:]}.") for note in found.notes),
    )
    return Dataset(tuple(replace(clip, source=source) for clip, source in placed)), told


def evaluate(
    where: Path, dataset: Dataset, output: Path | None, cache: Path, jobs: int, told: DataFacts | None = None
) -> Judged:
    """Judges a run's head or a bundle on labelled clips.

    Args:
        where: the run or the bundle.
        dataset: the clips.
        output: a directory for the report, its tables and pictures; None writes nothing.
        cache: where features are kept; bundles keep none.
        jobs: processes.
        told: how the clips were found.

    Raises:
        RunError, BundleError: the run is not finished, or the bundle cannot be loaded.
        DataError: the model knows none of the actions, or no clip of one that it knows can be used.
    """
    _make(output)
    torch.set_num_threads(jobs)
    with progress() as bar:
        task = bar.add_task("answering clips", total=len(dataset.clips))
        judged = judge(where, dataset, cache, jobs, lambda: bar.advance(task))
    before = told or DataFacts()
    facts = ReportFacts(
        f"{where.resolve().name}, judged by kinema evaluate",
        judged.judgement,
        _trained_on(judged),
        replace(before, skipped=(*before.skipped, *judged.skipped)),
    )
    _tell(facts, output)
    return judged


def _trained_on(judged: Judged) -> str:
    if judged.trained_on:
        clips = len(judged.judgement.clips)
        return f"The model was trained on {judged.trained_on} of these {clips} clips: of those the figure says nothing."
    return (
        "On clips that the model was trained on the figure would say nothing; that these are others is for you to know."
    )


def evaluate_folds(run: Run, dataset: Dataset | None, output: Path | None) -> Judgement:
    """Judges a run by its cross-validation: each clip by heads that were trained on the other folds.

    Args:
        run: a finished run.
        dataset: the clips that it was trained on; by default those that it says.
        output: as of `evaluate`.

    Raises:
        RunError: the run is not finished, was trained on other clips, or does not say on which.
        DataError: one of its clips is no longer there.
    """
    facts = ReportFacts.of_run(run, _own(run, dataset))
    _tell(facts, output)
    return facts.judgement


def _own(run: Run, dataset: Dataset | None) -> Dataset:
    kept = dataset or run.dataset()
    if kept is None:
        raise RunError(f"{run.directory} does not say which clips it is made of", "Name the data that it was made of.")
    return kept


def _tell(facts: ReportFacts, output: Path | None) -> None:
    show_judgement(facts.judgement, facts.found.skipped)
    if output is None:
        return
    _make(output)
    try:
        write_files(output, facts.judgement)
        with console.status("writing the report"):
            write_report(output / "report.html", facts)
    except OSError as error:
        raise DataError(f"{output} cannot be written: {error.strerror}", "Name another directory with -o.") from error


def _make(output: Path | None) -> None:
    """Makes the directory for what is found before hours are spent on finding it."""
    if output is None:
        return
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"{output} cannot be made: {error.strerror}", "Name another directory with -o.") from error


def show_judgement(told: Judgement, skipped: Sequence[tuple[Path, str]] = ()) -> None:
    """Prints a table of the actions, and what could not be used."""
    table = Table(
        title="In %, the least recognised action first", title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False
    )
    table.add_column("action", no_wrap=True)
    for column in ("answers", "recall", "precision", "F1"):
        table.add_column(column, justify="right")
    named = sorted(zip(told.labels, told.classes, strict=True), key=lambda one: _or(one[1].recall, 2))
    for label, one in named[:_MOST_ROWS]:
        shares = ("" if share is None else f"{100 * share:.0f}" for share in (one.recall, one.precision, one.f1))
        table.add_row(escape(label), str(one.answers), *shares)
    console.print(table)
    if len(named) > _MOST_ROWS:
        console.print(f"and {len(named) - _MOST_ROWS} more")
    for path, reason in skipped[:_MOST_ROWS]:
        console.print(f"skipped: {path} {reason}", style="yellow", markup=False, highlight=False)
    if len(skipped) > _MOST_ROWS:
        console.print(f"and {len(skipped) - _MOST_ROWS} more are skipped", style="yellow")


def _or(value: float | None, other: float) -> float:
    return other if value is None else value
