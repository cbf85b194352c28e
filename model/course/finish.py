"""The end of a course: the head that is kept is trained, and what the run has found is written and shown."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from model.console import console, new_table
from model.metrics.calibration import calibration, fit_temperature
from model.metrics.confusion import confusion
from model.report.files import draw_confusion, draw_curve, write_confusion, write_log, write_table
from model.run.final import Final
from model.run.plan import Plan
from model.run.run import Run
from model.run.table import Row, rows
from model.run.tunings import means_apart
from model.training import familiarity
from model.training.cross_validation import configure
from model.training.fit import fit
from model.training.trial import by_clip, mean_epochs, out_of_fold
from model.training.windows import Windows

# With more columns the names of heads would have no room on a terminal of 80 characters.
_MOST_FOLDS = 6


def finish(run: Run, plan: Plan, windows: Windows, folds: NDArray[np.int64]) -> None:
    """Trains the head that is kept, on all folds, and writes what the run has found."""
    trials = run.trials()
    kept = [one for one in trials if one.variant == plan.variants[0]]
    clips, logits = out_of_fold(kept)
    labels = windows.labels.numpy()[clips]
    epochs = mean_epochs(kept)
    config = configure(plan.variants[0], windows)
    training = plan.variants[0].training(plan.training)
    fitted = fit(config, training, windows, np.arange(plan.clips), seed=0, epochs=epochs)
    means = familiarity.clip_means(windows, familiarity.kinds_read(plan.recipe, plan.variants[0].kinds), plan.clips)
    right = by_clip(clips, logits.argmax(1) == labels, plan.clips)
    score, abstention = familiarity.judge(
        means, folds, by_clip(clips, logits.max(1), plan.clips), right, means_apart(run, plan)
    )
    head = familiarity.attach(fitted.head, score)
    torch.save(head.state_dict(), run.head)
    write_table(run.table, trials)
    write_log(run, trials, fitted.history)
    matrix = confusion(logits.argmax(1), labels, len(plan.labels))
    write_confusion(run.confusion, matrix, plan.labels)
    row, kinds = rows(plan, trials)[0], [kind.name for kind in plan.recipe.evidence]
    of = f"{plan.clips} clips, {plan.folds} folds, {plan.seeds} repetition(s)"
    draw_confusion(
        run.directory / "confusion-matrix.png",
        matrix,
        plan.labels,
        f"Answers in % of each action's clips: {100 * row.accuracy:.1f} % right ({of})",
    )
    draw_curve(
        run.directory / "training-curve.png",
        kept,
        f"One line a training, a point at the epoch chosen ({row.variant.called(kinds)})",
    )
    run.finish(
        Final(
            config=head.config,
            epochs=epochs,
            uncalibrated=calibration(logits, labels),
            calibrated=calibration(logits, labels, fit_temperature(logits, labels)),
            trained=fitted.history,
            abstention=abstention,
        )
    )
    show(run)


def show(run: Run) -> None:
    """Prints a run's table and calibration."""
    plan, final, trials = run.plan(), run.final(), run.trials()
    folds = sorted({one.fold for one in trials})
    if len(folds) > _MOST_FOLDS:  # `table.csv` has them all
        folds = []
    table = new_table(f"Accuracy in %, {plan.clips} clips, mean of {plan.seeds} repetition(s)")
    table.add_column("head / fold" if folds else "head")
    columns = (*map(str, folds), "all", "spread", "epochs")
    for column in columns:
        table.add_column(column, justify="right", no_wrap=True)
    kinds = [kind.name for kind in plan.recipe.evidence]
    for row in rows(plan, trials):
        table.add_row(row.variant.called(kinds), *_cells(row)[-len(columns) :])
    console.print(table)
    for name, found in (("before", final.uncalibrated), ("after", final.calibrated)):
        console.print(
            f"{name} calibration: temperature {found.temperature:.3f}, NLL {found.nll:.3f}, ECE {found.ece:.3f}"
        )


def _cells(row: Row) -> list[str]:
    shares = [f"{100 * share:.1f}" for share in (*row.folds, row.accuracy)]
    return [*shares, f"±{100 * row.spread:.1f}", f"{row.epochs:.1f}"]
