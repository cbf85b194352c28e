"""Draws the pictures of `docs/models.md`: what happened inside heads while they read a clip.

Run from the repository's root: `.venv/bin/python docs/pictures/models.py model/artifacts CLIP`
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")
from matplotlib.figure import Figure

from model.explore import plots
from model.explore.exploration import Exploration, Window, explore
from model.explore.witness import Values
from model.page import drawing

_DPI = 130
_COLUMNS = 8


def gates(found: Exploration) -> Figure:
    """The gates of an LSTM over the first window of the clip."""
    window = found.windows[0]
    return plots.gates(window.traces[0], window.times_s)


def memory(found: Exploration) -> Figure:
    """What it remembers and says."""
    window = found.windows[0]
    return plots.memory(window.traces[0], window.times_s)


def attention_steps(found: Exploration) -> Figure:
    """Which steps what is understood rests on, under what they looked at."""
    window = found.windows[0]
    kind = _frames(found)
    pictures = [window.held(kind, step) for step in range(window.steps)]
    return plots.attention(window.seen.outputs["attention"], window.times_s, pictures)


def attention_picture(found: Exploration) -> Figure:
    """Where in the picture each step looked."""
    window = found.windows[0]
    maps = window.seen.outputs["attention_map"]
    return _sheet(window, found.head.mapped or _frames(found), lambda step: float(maps[step].max()), maps)


def _sheet(window: Window, kind: str, most: Callable[[int], float], maps: Values) -> Figure:
    rows = -(-window.steps // _COLUMNS)
    figure = Figure(figsize=(9, 1.32 * rows), layout="constrained")
    for axes in (grid := figure.subplots(rows, _COLUMNS, squeeze=False)).flat:
        axes.set_axis_off()
    for step, axes in zip(range(window.steps), grid.flat, strict=False):
        axes.imshow(plots.heat(window.held(kind, step), maps[step], most(step)))
        axes.set_title(f"{window.times_s[step]:.2f} s", fontsize=8, color=drawing.INK, pad=2)
    return figure


def _frames(found: Exploration) -> str:
    """The first kind of evidence that shows frames."""
    return next(kind.name for kind in found.card.evidence if kind.picture == "rgb")


def _bundle(heads: Path, head: str) -> Path:
    """Where a head's bundle is; that of the LSTM is the one that is served by default."""
    return heads / ("default" if head == "lstm" and not (heads / head).is_dir() else head)


PICTURES: Mapping[str, tuple[str, Callable[[Exploration], Figure]]] = {
    "gates.png": ("lstm", gates),
    "memory.png": ("lstm", memory),
    "attention-steps.png": ("attention", attention_steps),
    "attention-picture.png": ("spatial", attention_picture),
}
"""By file: the head that it shows, and what draws it."""


def main() -> None:
    """Draws them all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "heads", type=Path, help="directory with a bundle for each head, by its name; default is the LSTM's"
    )
    parser.add_argument("clip", type=Path)
    parser.add_argument("-o", "--output", type=Path, default=Path(__file__).parent)
    given = parser.parse_args()
    data = given.clip.read_bytes()
    found = {
        head: explore(_bundle(given.heads, head), data) for head in sorted({head for head, _ in PICTURES.values()})
    }
    for name, (head, drawn) in PICTURES.items():
        drawn(found[head]).savefig(given.output / name, dpi=_DPI, facecolor="white", bbox_inches="tight")


if __name__ == "__main__":
    main()
