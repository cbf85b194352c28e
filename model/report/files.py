"""What a run has found, as tables and pictures."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from model.report import diagrams
from model.run.run import Run
from model.training.fit import Epoch
from model.training.trial import Trial
from model.training.twins import Twins


def write_table(path: Path, trials: Sequence[Trial]) -> None:
    """Writes one line for each trial: what was tested, how long it was trained, how many were right."""
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(("head", "kinds", "seed", "fold", "epochs", "clips", "right", "accuracy"))
        for one in trials:
            share = f"{one.right / len(one.clips):.4f}"
            kinds = "+".join(one.variant.kinds)
            table.writerow((one.variant.head, kinds, one.seed, one.fold, one.epochs, len(one.clips), one.right, share))


def write_twins(path: Path, twins: Twins) -> None:
    """Writes one line for each fold and repetition: how many clips the encoders and their int8 twins got right."""
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(("seed", "fold", "clips", "right", "right_int8", "changed"))
        table.writerows(
            (one.seed, one.fold, one.clips, one.right, one.right_int8, one.changed) for one in twins.comparisons
        )


def write_log(run: Run, trials: Sequence[Trial], final: Sequence[Epoch]) -> None:
    """Writes one line of JSON for each epoch of every training."""
    with run.log.open("w", encoding="utf-8") as file:

        def write(about: dict[str, object], epochs: Sequence[Epoch]) -> None:
            for epoch in epochs:
                facts = {**about, **{k: v for k, v in asdict(epoch).items() if v is not None}}
                file.write(json.dumps({k: round(v, 5) if isinstance(v, float) else v for k, v in facts.items()}) + "\n")

        for one in trials:
            about: dict[str, object] = {"variant": one.variant.name, "seed": one.seed, "fold": one.fold}
            write({**about, "training": "choose"}, one.chosen_by)
            write({**about, "training": "test"}, one.trained)
        write({"training": "final"}, final)


def write_confusion(path: Path, matrix: NDArray[np.int64], labels: Sequence[str]) -> None:
    """Writes a confusion matrix: a line for each action, a column for each answer."""
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(("action", *labels))
        table.writerows((label, *row) for label, row in zip(labels, matrix.tolist(), strict=True))


def draw_confusion(path: Path, matrix: NDArray[np.int64], labels: Sequence[str], title: str) -> None:
    """Draws a confusion matrix as a picture, in per cent of each action's clips."""
    diagrams.confusion(matrix, labels, title).savefig(path, dpi=100)


def draw_curve(path: Path, trials: Sequence[Trial], title: str) -> None:
    """Draws the trainings in which the numbers of epochs were chosen: loss and accuracy on the fold watched."""
    diagrams.curves(trials, title).savefig(path, dpi=100)
