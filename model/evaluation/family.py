"""Heads side by side: how good each is, how large, and how long it takes."""

from __future__ import annotations

import csv
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from model.console import console, new_table
from model.net.classifier import Classifier, HeadName
from model.onnx.graph import write_recurrent
from model.run.errors import RunError
from model.run.head import load_head
from model.run.plan import Plan
from model.run.run import Run
from model.run.table import Row, rows

_RUNS = 200
_MS = 1000.0


@dataclass(frozen=True)
class Member:
    """One head of the family.

    Attributes:
        head: its name.
        clips: how many clips it was cross-validated on.
        row: its cross-validation.
        parameters: how many numbers are learned.
        step_ms: what a step of one stream takes on one core of this machine, in milliseconds; the encoders excluded.
        window_ms: what a window of one clip takes.
        streams: whether a clip in chunks gets the answer of the whole clip.
    """

    head: HeadName
    clips: int
    row: Row
    parameters: int
    step_ms: float
    window_ms: float
    streams: bool


def family(runs: Sequence[Run]) -> tuple[Member, ...]:
    """The heads that some finished runs keep, the best first.

    Raises:
        RunError: a run is not finished, or two of them were not cross-validated on the same clips, looked at alike.
    """
    plans = [run.plan() for run in runs]
    for run, plan in zip(runs, plans, strict=True):
        if _protocol(plan) != _protocol(plans[0]):
            raise RunError(
                f"{run.directory} and {runs[0].directory} were not trained alike",
                "Only runs on the same clips, with the same recipe, views, folds and repetitions, can be compared.",
            )
    members = [_member(run, plan) for run, plan in zip(runs, plans, strict=True)]
    return tuple(sorted(members, key=lambda one: -one.row.accuracy))


def _protocol(plan: Plan) -> tuple[Any, ...]:
    return plan.dataset, plan.recipe, plan.folds, plan.seeds, plan.views, plan.augmentation, plan.training


def _member(run: Run, plan: Plan) -> Member:
    head = load_head(run, run.final())
    parameters = sum(one.numel() for one in head.parameters() if one.requires_grad)
    with TemporaryDirectory() as directory:
        path = Path(directory) / "recurrent.onnx"
        write_recurrent(head, path)
        step_ms, window_ms = (_ms(path, head, steps) for steps in (1, plan.recipe.sampling.clip_len))
    row = rows(plan, run.trials())[0]
    return Member(head.config.head, plan.clips, row, parameters, step_ms, window_ms, head.streams)


def _ms(path: Path, head: Classifier, steps: int) -> float:
    """The median time of so many steps of one sequence, in milliseconds."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    inputs = _inputs(head, steps)
    taken_s: list[float] = []
    for _ in range(_RUNS):
        started_s = time.perf_counter()
        session.run(None, inputs)
        taken_s.append(time.perf_counter() - started_s)
    return float(np.median(taken_s)) * _MS


def _inputs(head: Classifier, steps: int) -> Mapping[str, NDArray[Any]]:
    shape = head.config.shape
    features = {kind: np.ones((1, steps, length), np.float32) for kind, length in shape.features.items()}
    maps = {
        name: np.ones((1, steps, *grid), np.float32)
        for name, grid in zip(shape.inputs[len(features) :], shape.maps.values(), strict=True)
    }
    state = {name: value.numpy() for name, value in head.start(1).items()}
    return {**features, **maps, "lengths": np.array([steps]), **state}


COLUMNS = ("head", "clips", "accuracy", "spread", "parameters", "ms/step", "ms/window", "streams")


def cells(member: Member) -> tuple[str, ...]:
    """A member as a line of a table, by `COLUMNS`, then its accuracy by fold."""
    row = member.row
    return (
        member.head,
        str(member.clips),
        f"{100 * row.accuracy:.1f}",
        f"{100 * row.spread:.1f}",
        str(member.parameters),
        f"{member.step_ms:.2f}",
        f"{member.window_ms:.2f}",
        "yes" if member.streams else "no",
        *(f"{100 * share:.1f}" for share in row.folds),
    )


def write_family(path: Path, members: Iterable[Member]) -> None:
    """Writes one line for each head."""
    lines = [cells(member) for member in members]
    folds = [f"fold {fold}" for fold in range(len(lines[0]) - len(COLUMNS))]
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow((*COLUMNS, *folds))
        table.writerows(lines)


def show_family(members: Sequence[Member]) -> None:
    """Prints heads side by side."""
    table = new_table("Accuracy in %; times on one core, encoders excluded")
    for column in COLUMNS:
        table.add_column(column, justify="left" if column == COLUMNS[0] else "right", no_wrap=True)
    for member in members:
        table.add_row(*cells(member)[: len(COLUMNS)])
    console.print(table)
