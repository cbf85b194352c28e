"""Draws `example.png`, the README's picture: what Kinema looked at in a clip, and what it answers.

Run from the repository's root: `.venv/bin/python docs/pictures/example.py tests/clips/real-golf.mp4`
"""

from __future__ import annotations

import asyncio
import sys
from collections import defaultdict
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt

from service.pipeline import Answer, Query
from service.runtime import Runtime
from service.settings import Settings
from service.video.decode import DecodeTask, MadePicture, decode
from service.video.encoded import EncodedClip
from service.video.sample import SamplingPlan

_COLUMNS = 4
_INK, _FAINT, _ACCENT = "#1d2433", "#c9d1de", "#2f6fde"


async def answer(clip: bytes) -> tuple[Answer, list[MadePicture], SamplingPlan]:
    """The service's answer to the clip, and the pictures that it rests on."""
    settings = Settings()
    runtime = Runtime(settings.options())
    await runtime.start()
    try:
        with EncodedClip.of(clip) as encoded:
            given = await runtime.answer(encoded, Query(top_k=5))
        card = runtime.card
        assert card is not None
        pictures: list[MadePicture] = []
        decode(clip, DecodeTask(card.plan, card.evidence, settings.options().limits), pictures.append)
        return given, pictures, card.plan
    finally:
        await runtime.stop()


def draw(path: Path, target: Path) -> None:
    """Draws the clip's pictures, a row for each kind of evidence, beside its predictions."""
    given, pictures, plan = asyncio.run(answer(path.read_bytes()))
    rows: dict[str, list[MadePicture]] = defaultdict(list)
    for picture in pictures:
        rows[picture.kind].append(picture)
    figure = plt.figure(figsize=(11, 3.2), dpi=110)
    grid = figure.add_gridspec(len(rows), _COLUMNS + 3, wspace=0.05, hspace=0.12)
    for row, (kind, made) in enumerate(rows.items()):
        chosen = [made[round(i * (len(made) - 1) / (_COLUMNS - 1))] for i in range(_COLUMNS)]
        for column, picture in enumerate(chosen):
            axes = figure.add_subplot(grid[row, column])
            axes.imshow(picture.pixels)
            axes.set_xticks([])
            axes.set_yticks([])
            for spine in axes.spines.values():
                spine.set_visible(False)
            index = picture.window * plan.moments_per_window + picture.step + int(plan.anchored)
            axes.set_title(f"{given.decoded.times_s[index]:.2f} s", fontsize=8, color=_INK, pad=2)
            if column == 0:
                axes.set_ylabel(kind, fontsize=9, color=_INK)
    bars = figure.add_subplot(grid[:, _COLUMNS + 1 :])
    names = [one.label.replace("_", " ") for one in given.predictions][::-1]
    values = [one.score for one in given.predictions][::-1]
    bars.barh(names, values, color=[_FAINT] * (len(values) - 1) + [_ACCENT])
    for place, value in enumerate(values):
        bars.text(value + 0.02, place, f"{value:.2f}", va="center", fontsize=9, color=_INK)
    bars.set_xlim(0, 1.12)
    bars.xaxis.set_visible(False)
    bars.tick_params(length=0, labelsize=9, colors=_INK)
    for spine in bars.spines.values():
        spine.set_visible(False)
    figure.savefig(target, bbox_inches="tight", facecolor="white")


if __name__ == "__main__":
    draw(Path(sys.argv[1]), Path(__file__).with_suffix(".png"))
