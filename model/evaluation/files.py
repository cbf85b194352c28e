"""What `kinema evaluate` writes beside its report: tables and pictures."""

from __future__ import annotations

import csv
from pathlib import Path

from model.metrics.calibration import softmax
from model.metrics.judgement import Judgement
from model.report import diagrams
from model.report.files import draw_confusion, write_confusion


def write_files(directory: Path, told: Judgement) -> None:
    """Writes the judgement's tables and pictures.

    They are `confusion.csv` and `confusion-matrix.png`, `reliability.png`, `per-class.csv`, and `predictions.csv` with
    a line for each answer, strangers' included.

    Raises:
        OSError: they cannot be written.
    """
    directory.mkdir(parents=True, exist_ok=True)
    write_confusion(directory / "confusion.csv", told.matrix, told.labels)
    title = f"Answers in % of each action's clips: {100 * told.accuracy:.1f} % of {len(told.clips)} clips right"
    draw_confusion(directory / "confusion-matrix.png", told.matrix, told.labels, title)
    panels = [(f"temperature 1: ECE {told.raw_ece:.3f}", told.raw_bins)]
    panels.append((f"temperature {told.temperature:.3f}: ECE {told.ece:.3f}", told.bins))
    diagrams.reliability(panels).savefig(directory / "reliability.png", dpi=100)
    _write_classes(directory / "per-class.csv", told)
    _write_predictions(directory / "predictions.csv", told)


def _write_classes(path: Path, told: Judgement) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(("action", "clips", "answers", "given", "right", "recall", "precision", "f1"))
        for place, (label, one) in enumerate(zip(told.labels, told.classes, strict=True)):
            shares = ("" if share is None else f"{share:.4f}" for share in (one.recall, one.precision, one.f1))
            clips = int((told.truth == place).sum()) // told.repetitions
            table.writerow((label, clips, one.answers, one.given, one.right, *shares))


def _write_predictions(path: Path, told: Judgement) -> None:
    rows = [(told.clips[place], scores) for place, scores in zip(told.places.tolist(), told.scores, strict=True)]
    if told.strangers is not None:
        rows += zip(told.strangers.clips, softmax(told.strangers.logits, told.temperature), strict=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(("path", "label", "answer", "score"))
        for clip, scores in rows:
            best = int(scores.argmax())
            table.writerow((clip.path, clip.label, told.labels[best], f"{scores[best]:.6f}"))
