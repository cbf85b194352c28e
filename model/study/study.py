"""What each cell does about vanishing gradients: how far back a loss is felt, and who learns to add.

`kinema study -o DIR` makes it; `docs/models.md` tells what came of it.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import torch
from pydantic import ValidationError

from model.net.elman import Elman
from model.study.adding import BASELINE, Adder, CellName, Learnt, Problems, Task, learn, start
from model.study.gradients import GradientFlow, gradient_flow
from model.whole import write_json
from service.errors import KinemaError

CELLS: tuple[CellName, ...] = get_args(CellName)

ITERATIONS = {100: 2000, 400: 800, 800: 500}
"""By the length of the problems, the most iterations: a longer one costs more."""

STEPS = 200
"""Steps over which gradients are looked at."""

STRONGER = 1.5
"""What the recurrent weights of the plain network are multiplied by to see gradients explode."""

_SEQUENCES = 64


class StudyError(KinemaError):
    """A directory that holds another study."""


@dataclass(frozen=True)
class Look:
    """How far back one network feels the squared error of its answer after the last step.

    Attributes:
        cell: the network's cell, `rnn-strong` for the plain one with stronger weights.
        trained: whether it had been trained, on problems of the least steps.
        flow: norms by step.
    """

    cell: str
    trained: bool
    flow: GradientFlow


class Study:
    """A directory in which every training that has come to its end is kept.

    Args:
        directory: where; it need not exist.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def learnt(self, task: Task) -> Learnt | None:
        """What came of a training, if it has been done.

        Raises:
            StudyError: it was done with other settings, or cannot be read.
        """
        path = self._path(task, "json")
        if not path.is_file():
            return None
        try:
            found = Learnt.model_validate_json(path.read_bytes())
        except ValidationError as error:
            raise StudyError(f"{path} cannot be read: {error.errors()[0]['msg']}", "Delete it.") from error
        if found.task != task:
            raise StudyError(f"{path} is of a training with other settings", "Delete it, or choose another directory.")
        return found

    def learn(self, task: Task) -> Learnt:
        """Trains, unless that has been done; what is interrupted starts again.

        Raises:
            StudyError: as `learnt`.
        """
        done = self.learnt(task)
        if done is not None:
            return done
        self.directory.mkdir(parents=True, exist_ok=True)
        adder, found = learn(task)
        torch.save(adder.state_dict(), self._path(task, "pt"))
        write_json(self._path(task, "json"), found)
        return found

    def trained(self, task: Task) -> Adder:
        """The network that came of a training that has been done."""
        adder = start(task)
        adder.load_state_dict(torch.load(self._path(task, "pt"), weights_only=True))
        return adder

    def _path(self, task: Task, ending: str) -> Path:
        return self.directory / f"{task.cell}-{task.steps}.{ending}"


def tasks(iterations: Mapping[int, int], hidden: int, cells: Sequence[CellName] = CELLS) -> list[Task]:
    """The trainings of a study, short problems first."""
    lengths = sorted(iterations.items())
    return [Task(cell=cell, steps=steps, iterations=most, hidden=hidden) for steps, most in lengths for cell in cells]


def limit(steps: int) -> int:
    """The most iterations for problems of a length: those of the longest that is not longer."""
    return ITERATIONS[max((known for known in ITERATIONS if known <= steps), default=min(ITERATIONS))]


def looks(study: Study, found: Sequence[Learnt]) -> list[Look]:
    """How far back each cell feels a loss: as it starts, and after it was trained on the shortest problems."""
    shortest = min(one.task.steps for one in found)
    trained = [one.task for one in found if one.task.steps == shortest]
    fresh = {task.cell: start(task.model_copy(update={"steps": STEPS})) for task in trained}
    seen = [Look(cell, False, flow_of(adder)) for cell, adder in fresh.items()]
    if "rnn" in fresh:
        seen.append(Look("rnn-strong", False, flow_of(_stronger(fresh["rnn"]))))
    return [*seen, *(Look(task.cell, True, flow_of(study.trained(task))) for task in trained)]


def flow_of(adder: Adder, steps: int = STEPS) -> GradientFlow:
    """How far back a network feels the squared error of its answer; in float64, since little can be left."""
    problems = Problems.draw(_SEQUENCES, steps, torch.Generator().manual_seed(0))
    adder, answer = adder.double(), problems.answer.double()
    h, cell = (part.double() for part in adder.cell.start(_SEQUENCES))
    return gradient_flow(
        adder.cell,
        problems.input.double(),
        (h, cell),
        lambda hidden: (adder.answer(hidden[:, -1]) - answer).square(),
    )


def _stronger(adder: Adder) -> Adder:
    """A plain network with stronger recurrent weights, in place."""
    assert isinstance(adder.cell, Elman)
    _, of_state, *_ = adder.cell.cell.all_weights[0]
    with torch.no_grad():
        of_state.mul_(STRONGER)
    return adder


def write_adding(path: Path, found: Sequence[Learnt]) -> None:
    """Writes one line for each test of each training."""
    rows = [
        (one.task.cell, one.task.steps, test.iteration, f"{test.error:.5f}", f"{test.gradient:.4g}", int(one.solved))
        for one in found
        for test in one.tests
    ]
    _write(path, ("cell", "steps", "iteration", "error", "largest_gradient", "solved"), rows)


def write_gradients(path: Path, seen: Sequence[Look]) -> None:
    """Writes one line for each step that each network was looked at."""
    rows = [
        (look.cell, "trained" if look.trained else "initial", step, f"{h:.4g}", f"{cell:.4g}")
        for look in seen
        for step, (h, cell) in enumerate(zip(look.flow.hidden.tolist(), look.flow.cell.tolist(), strict=True), 1)
    ]
    _write(path, ("cell", "weights", "step", "by_hidden", "by_cell"), rows)


def _write(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(header)
        table.writerows(rows)


_NAMES = {
    "rnn": "plain RNN",
    "rnn-strong": f"plain RNN, U × {STRONGER:g}",
    "lstm": "lstm",
    "peephole": "peephole",
    "article": "article",
    "layernorm": "layernorm",
    "chrono": "lstm, chrono",
}
_COLOURS = {name: f"C{place}" for place, name in enumerate(("lstm", "peephole", "article", "layernorm", "chrono"))}
_COLOURS |= {"rnn": "black", "rnn-strong": "grey"}


def draw_flow(path: Path, seen: Sequence[Look]) -> None:
    """Draws the norms of ∂loss/∂h_t and ∂loss/∂C_t by t, as multiples of those at the last step."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 3.8), layout="constrained")
    panels = figure.subplots(1, 3, sharey=True)
    shown = (("h, as it starts", False, False), ("h, trained to add", True, False), ("C, trained to add", True, True))
    for axes, (title, trained, of_cell) in zip(panels, shown, strict=True):
        for look in seen:
            if look.trained == trained:
                norms = look.flow.cell if of_cell else look.flow.hidden
                steps = range(1, len(norms) + 1)
                axes.plot(steps, norms / norms[-1], color=_COLOURS[look.cell], lw=1.2, label=_NAMES[look.cell])
        axes.set_yscale("log")
        # What is below is the trained plain network alone, on its straight way down.
        axes.set_ylim(1e-10, 1e7)
        axes.set_title(title, fontsize=10)
        axes.set_xlabel("step t")
        axes.grid(alpha=0.3)
    panels[0].set_ylabel("norm of the loss's gradient by h_t or C_t,\n1 at the last step")
    panels[0].legend(fontsize=7, loc="upper right")
    figure.savefig(path, dpi=100)


def draw_adding(path: Path, found: Sequence[Learnt]) -> None:
    """Draws the error of each training's tests, a panel for each length."""
    from matplotlib.figure import Figure

    lengths = sorted({one.task.steps for one in found})
    figure = Figure(figsize=(3.2 * len(lengths), 3.4), layout="constrained")
    panels = figure.subplots(1, len(lengths), sharey=True, squeeze=False)[0]
    for axes, steps in zip(panels, lengths, strict=True):
        for one in found:
            if one.task.steps == steps:
                numbers = [test.iteration for test in one.tests]
                errors = [test.error for test in one.tests]
                axes.plot(numbers, errors, color=_COLOURS[one.task.cell], lw=1.2, label=_NAMES[one.task.cell])
        axes.axhline(BASELINE, color="grey", ls="--", lw=0.8)
        axes.axhline(found[0].task.solved, color="grey", ls=":", lw=0.8)
        axes.set_yscale("log")
        axes.set_title(f"{steps} steps", fontsize=10)
        axes.set_xlabel("iteration")
        axes.grid(alpha=0.3)
    panels[0].set_ylabel("mean squared error")
    panels[0].legend(fontsize=8)
    figure.savefig(path, dpi=100)


def least(found: Learnt) -> float:
    """The least error of a training's tests; infinite where none is a number."""
    return min((test.error for test in found.tests if not math.isnan(test.error)), default=math.inf)


def report(study: Study, found: Sequence[Learnt]) -> None:
    """Writes tables and pictures into the study's directory."""
    seen = looks(study, found)
    write_adding(study.directory / "adding.csv", found)
    write_gradients(study.directory / "gradients.csv", seen)
    draw_adding(study.directory / "adding-problem.png", found)
    draw_flow(study.directory / "gradient-flow.png", seen)
