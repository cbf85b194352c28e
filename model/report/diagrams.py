"""Pictures of how good a model is: confusion, reliability, curves. For files and, by `drawing.svg`, for pages."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from model.metrics.calibration import Bin
from model.page.drawing import BLUE, GREY, INK, OPENING, ORANGE, bare, plain
from model.training.trial import Trial

_MOST_NAMED = 60
"""With more labels than these a confusion matrix has neither names nor numbers: they could not be read."""
_MOST_CURVES = 40


def confusion(matrix: NDArray[np.int64], labels: Sequence[str], title: str = "") -> Figure:
    """A confusion matrix, int64 [C, C], in per cent of each action's clips; rows are actions and columns answers."""
    shares = 100 * matrix / np.maximum(1, matrix.sum(1, keepdims=True))
    named = len(labels) <= _MOST_NAMED
    side = max(6.6 if title else 4.4, 2.2 + 0.34 * len(labels)) if named else 10.0
    figure = Figure(figsize=(side, side), layout="constrained")
    axes = figure.subplots()
    axes.imshow(OPENING(shares / 100), interpolation="none")
    if named:
        for row, column in np.argwhere(shares >= 1):
            text = f"{shares[row, column]:.0f}"
            axes.text(column, row, text, ha="center", va="center", fontsize=7, color=INK)
        names = [plain(label) for label in labels]
        axes.set_xticks(range(len(names)), names, rotation=90, fontsize=8)
        axes.set_yticks(range(len(names)), names, fontsize=8)
    else:
        axes.set_xticks([])
        axes.set_yticks([])
    axes.set_xlabel("answer", color=INK)
    axes.set_ylabel("action", color=INK)
    if title:
        axes.set_title(title, fontsize=10, color=INK)
    bare(axes)
    return figure


def reliability(panels: Sequence[tuple[str, Sequence[Bin]]]) -> Figure:
    """How often answers are right, by how sure they are: a panel with its title for each set of bins."""
    figure = Figure(figsize=(4.5 * len(panels), 4.4), layout="constrained")
    places = figure.subplots(2, len(panels), squeeze=False, sharex=True, gridspec_kw={"height_ratios": (4, 1)})
    for (title, bins), above, below in zip(panels, *places, strict=True):
        held = [one for one in bins if one.count]
        middles, width = [(one.low + one.high) / 2 for one in held], bins[0].high - bins[0].low
        above.plot([0, 1], [0, 1], color=GREY, lw=1, ls="--", label="as sure as right")
        above.bar(middles, [one.right for one in held], width * 0.92, color=BLUE, alpha=0.75, label="right")
        above.plot(
            [one.score for one in held], [one.right for one in held], "o", color=ORANGE, ms=4, label="mean score"
        )
        above.set_xlim(0, 1)
        above.set_ylim(0, 1)
        above.set_title(title, fontsize=9.5, color=INK)
        above.set_ylabel("share right", fontsize=9, color=INK)
        below.bar(middles, [one.count for one in held], width * 0.92, color=GREY, alpha=0.7)
        below.set_ylabel("answers", fontsize=9, color=INK)
        below.set_xlabel("score of the answer", fontsize=9, color=INK)
        for axes in (above, below):
            bare(axes)
    shown = places[0, 0].get_legend_handles_labels()
    figure.legend(*shown, loc="outside lower center", ncols=3, frameon=False, fontsize=8, labelcolor=INK)
    return figure


def curves(trials: Sequence[Trial], title: str = "") -> Figure:
    """The trainings in which the numbers of epochs were chosen: loss and accuracy on the fold watched."""
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    loss, accuracy = figure.subplots(1, 2)
    for one in [one for one in trials if one.chosen_by][:_MOST_CURVES]:
        numbers = [epoch.epoch for epoch in one.chosen_by]
        losses = [np.nan if epoch.watched_nll is None else epoch.watched_nll for epoch in one.chosen_by]
        shares = [100 * (epoch.watched_accuracy or 0) for epoch in one.chosen_by]
        chosen = one.epochs - 1
        for axes, values in ((loss, losses), (accuracy, shares)):
            axes.plot(numbers, values, color=BLUE, alpha=0.4, lw=1)
            axes.plot(one.epochs, values[chosen], "o", color=ORANGE, ms=4)
    loss.set_ylabel("loss on the fold watched (nats)", color=INK)
    accuracy.set_ylabel("accuracy on the fold watched (%)", color=INK)
    for axes in (loss, accuracy):
        axes.set_xlabel("epoch", color=INK)
        axes.grid(color=GREY, alpha=0.25)
        bare(axes)
    if title:
        figure.suptitle(title, fontsize=10, color=INK)
    return figure
