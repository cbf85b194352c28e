"""Pictures of what happens inside a head, for the page of `kinema explore` and for the documents.

All have the steps of a window along x, between the same margins, so that one can be laid under another.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Colormap, Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator
from numpy.typing import NDArray

from model.explore.facts import changed_most, order, units
from model.explore.witness import Trace, Values
from model.page.drawing import BLUE, GREY, INK, OPENING, ORANGE, SIGNED, bare, plain
from service.video.preprocess import Picture

LEFT, RIGHT = 0.12, 0.93
"""Where the first step begins and the last one ends, as fractions of a picture's width."""
_LINES = (BLUE, ORANGE, "#3a9d6e", "#9a6fc6", GREY)
FULL = 3.0
"""What is remembered is said as tanh(C), which is over 0.995 from here on: colours go no further."""
_WIDTH, _EDGE = 9.0, 0.1
_MOST_TICKS = 16
_AXIS, _LEGEND, _GAP = 0.42, 0.34, 0.12


def gates(trace: Trace, times_s: Sequence[float]) -> Figure:
    """Input, forget and output gate and candidate: a row for each unit, those whose memory ends highest on top."""
    panels = [
        ("input gate\ni", trace.input_gate, OPENING, Normalize(0, 1), ("shut", "open")),
        ("forget gate\nf", trace.forget_gate, OPENING, Normalize(0, 1), ("shut", "open")),
        ("output gate\no", trace.output_gate, OPENING, Normalize(0, 1), ("shut", "open")),
        ("candidate\ng", trace.candidate, SIGNED, Normalize(-1, 1), ("-1", "1")),
    ]
    return _heats([(name, _sorted(trace, values), *others) for name, values, *others in panels], times_s, 0.95)


def memory(trace: Trace, times_s: Sequence[float]) -> Figure:
    """What is remembered, C, and what is said of it, h, in the same rows as the gates."""
    panels = []
    for name, values in (("memory\nC", trace.cell), ("said\nh", trace.hidden)):
        rows = _sorted(trace, values)
        most = max(min(float(np.abs(rows).max()), FULL), 1e-6)
        panels.append((name, rows, SIGNED, Normalize(-most, most, clip=True), (f"-{most:.2g}", f"{most:.2g}")))
    return _heats(panels, times_s, 1.25)


def course(trace: Trace, times_s: Sequence[float]) -> Figure:
    """The memory, C, as a line for each unit; those that went the furthest have a colour."""
    figure, axes = _lines("C", times_s)
    cell = units(trace.cell)
    axes.plot(cell, color=GREY, lw=0.7, alpha=0.35)
    for one, colour in zip(changed_most(trace), _LINES, strict=False):
        axes.plot(cell[:, one.unit], color=colour, lw=2, marker="o", ms=3, label=f"unit {one.unit}")
    _legend(axes)
    return figure


def attention(shares: Values, times_s: Sequence[float], pictures: Sequence[Picture] = ()) -> Figure:
    """The share of each step in what is understood, a row for each hop; float32 [hops, T].

    Args:
        shares: they sum to one in each row.
        times_s: of the steps.
        pictures: what each step looked at, drawn above where it is given.
    """
    hops, steps = shares.shape
    most = max(float(shares.max()), 1e-6)
    panel = ("hops", shares, OPENING, Normalize(0, most), ("0 %", f"{100 * most:.0f} %"))
    figure = _heats([panel], times_s, 0.3 * hops, above=(RIGHT - LEFT) * _WIDTH / steps if len(pictures) else 0)
    axes = figure.axes[0]
    axes.set_yticks(range(hops), [str(hop + 1) for hop in range(hops)], fontsize=8)
    if steps <= _MOST_TICKS:
        for (hop, step), share in np.ndenumerate(shares):
            axes.text(step, hop, f"{100 * share:.0f}", ha="center", va="center", fontsize=7.5, color=INK)
    if len(pictures):
        height = figure.get_figheight()
        wide = (RIGHT - LEFT) / steps
        for step, picture in enumerate(pictures):
            side = wide * _WIDTH / height
            place = figure.add_axes((LEFT + step * wide + wide * 0.03, 1 - side, wide * 0.94, side))
            place.imshow(picture)
            place.set_axis_off()
    return figure


def answers(scores: Mapping[str, NDArray[np.float64]], times_s: Sequence[float]) -> Figure:
    """How the scores of some labels came about, each float64 [T], the leading one first."""
    figure, axes = _lines("score", times_s)
    for place, ((label, values), colour) in enumerate(zip(scores.items(), _LINES, strict=False)):
        width, above = (1.4, 2) if place else (2.4, 3)
        axes.plot(values, color=colour, lw=width, marker="o", ms=3, label=plain(label), zorder=above)
    axes.set_ylim(-0.02, 1.02)
    axes.set_yticks([0, 0.5, 1])
    _legend(axes)
    return figure


def gradients(trace: Trace, times_s: Sequence[float]) -> Figure:
    """How strongly the answer's loss depends on h at each step, in all and by way of later steps, on a log scale."""
    figure, axes = _lines("‖∂loss/∂h‖", times_s)
    known = [(trace.gradient, BLUE, "in all"), (trace.later, ORANGE, "by way of the steps read after it")]
    for values, colour, label in known:
        axes.plot(np.where(values > 0, values, np.nan), color=colour, lw=2, marker="o", ms=3, label=label)
    norms = np.concatenate([values[values > 0] for values, *_ in known])
    if len(norms):
        low, high = math.floor(np.log10(norms.min())), math.ceil(np.log10(norms.max()))
        axes.set_yscale("log")
        axes.set_ylim(10.0**low, 10.0 ** max(high, low + 1))
        axes.yaxis.set_minor_locator(NullLocator())
    _legend(axes)
    return figure


def heat(picture: Picture, values: Values, most: float) -> Picture:
    """A picture lit where a map, float32 [rows, columns], is high: dark where it is 0, and lightest where `most`."""
    height, width = picture.shape[:2]
    grown = cv2.resize(values / max(most, 1e-12), (width, height), interpolation=cv2.INTER_CUBIC)
    light = np.clip(grown, 0, 1)[..., np.newaxis]
    warm = np.array(mpl.colors.to_rgb(ORANGE)) * 255
    lit = picture * (0.3 + 0.7 * light)
    return np.asarray(np.clip(lit + 0.28 * light * (warm - lit), 0, 255), dtype=np.uint8)


def _sorted(trace: Trace, values: Values) -> Values:
    """Units as rows, [units, T]."""
    return np.ascontiguousarray(units(values)[:, order(trace)].T)


def _heats(panels: Sequence[Any], times_s: Sequence[float], tall: float, above: float = 0.0) -> Figure:
    """Panels of rows over steps, one over the other, each (name, values, colours, range, ends), `tall` inches."""
    height = above + _EDGE + len(panels) * tall + (len(panels) - 1) * _GAP + _AXIS
    figure = Figure(figsize=(_WIDTH, height))
    for place, (name, values, colours, normal, ends) in enumerate(panels):
        bottom = (_AXIS + (len(panels) - 1 - place) * (tall + _GAP)) / height
        axes = figure.add_axes((LEFT, bottom, RIGHT - LEFT, tall / height))
        axes.imshow(colours(normal(values)), aspect="auto", interpolation="none")
        axes.set_yticks([])
        axes.set_ylabel(name, rotation=0, ha="right", va="center", fontsize=9, color=INK, labelpad=8)
        _times(axes, times_s if place == len(panels) - 1 else ())
        _key(figure.add_axes((RIGHT + 0.012, bottom, 0.011, tall / height)), colours, ends)
    return figure


def _key(axes: Axes, colours: Colormap, ends: tuple[str, str]) -> None:
    axes.imshow(colours(np.linspace(1, 0, 32))[:, np.newaxis], aspect="auto", interpolation="none")
    axes.set_xticks([])
    axes.yaxis.tick_right()
    axes.set_yticks([0.5, 30.5], ends[::-1], fontsize=7.5, color=INK)
    bare(axes)


def _lines(name: str, times_s: Sequence[float], tall: float = 1.7) -> tuple[Figure, Axes]:
    height = _LEGEND + tall + _AXIS
    figure = Figure(figsize=(_WIDTH, height))
    axes = figure.add_axes((LEFT, _AXIS / height, RIGHT - LEFT, tall / height))
    axes.set_ylabel(name, fontsize=9, color=INK)
    axes.set_xlim(-0.5, len(times_s) - 0.5)
    axes.grid(axis="y", color=GREY, alpha=0.25, lw=0.8)
    _times(axes, times_s)
    return figure, axes


def _times(axes: Axes, times_s: Sequence[float]) -> None:
    every = -(-len(times_s) // _MOST_TICKS) if times_s else 1
    places = range(0, len(times_s), every)
    axes.set_xticks(places, [f"{times_s[one]:.2f}" for one in places], fontsize=8, color=INK)
    if times_s:
        axes.set_xlabel("seconds into the clip", fontsize=8, color=INK, labelpad=2)
    bare(axes)


def _legend(axes: Axes) -> None:
    handles, labels = axes.get_legend_handles_labels()
    axes.legend(
        handles,
        labels,
        loc="lower left",
        bbox_to_anchor=(-0.01, 1.0),
        ncols=len(labels),
        frameon=False,
        fontsize=8.5,
        labelcolor=INK,
        handlelength=1.4,
        borderpad=0,
    )
