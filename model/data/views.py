"""What is seen of a clip in training: other parts of its frames, mirrored or not, at other moments.

Every view is a task for `service.video.decode`, so training sees a clip through the very function that serving does.
Views are numbered. View 0 is what serving sees; what any other sees is drawn from its number and the clip's content,
so that a view can be kept and found again.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from model.data.recipe import Recipe
from service.video.decode import DecodeTask
from service.video.preprocess import View
from service.video.source import Clip, Limits, open_clip

# Whoever trains chose the clips, so these only keep a broken file from using up the machine.
LIMITS = Limits(max_pixels=4096 * 4096, max_duration_s=3600, max_frames=1_000_000)


@dataclass(frozen=True, slots=True)
class Augmentation:
    """The ranges that views are drawn from, evenly.

    Attributes:
        least_area: the smallest part of a frame that is kept, as a fraction of its area.
        stretch: how far the part's width to height may differ from the frame's, as a factor and its inverse.
        trim: how much of the clip may be left out at each end, as a fraction of its duration.
        tempo: how far the rate of looking may differ from the plan's, as a fraction.
    """

    least_area: float = 0.55
    stretch: float = 1.1
    trim: float = 0.15
    tempo: float = 0.1


def served(recipe: Recipe, start_s: float = 0.0, end_s: float | None = None) -> DecodeTask:
    """View 0: what serving sees of every clip, or of a span of it."""
    return DecodeTask(recipe.plan, recipe.evidence, LIMITS, start_s, end_s)


def task(
    recipe: Recipe,
    augmentation: Augmentation,
    data: Clip,
    content: str,
    view: int,
    start_s: float = 0.0,
    end_s: float | None = None,
) -> DecodeTask:
    """The task whose pictures are the view of that number.

    Args:
        recipe: what the model looks at.
        augmentation: the ranges to draw from.
        data: the encoded clip; its header tells how long it is.
        content: what tells the clip, and the span of it, from others: a sha256 in hexadecimal.
        view: the number; 0 is what serving sees.
        start_s: where the span begins that is looked at, in seconds; views trim it.
        end_s: where it ends, end-exclusive; None means at the end.

    Raises:
        UnsupportedMedia, UndecodableClip, LimitExceeded: the clip cannot be opened.
    """
    if view == 0:
        return served(recipe, start_s, end_s)
    draw = np.random.default_rng([view, int(content[:16], 16)])
    area = draw.uniform(augmentation.least_area, 1)
    shape = augmentation.stretch ** draw.uniform(-1, 1)
    part = View(
        height=min(1.0, float((area / shape) ** 0.5)),
        width=min(1.0, float((area * shape) ** 0.5)),
        y=float(draw.uniform()),
        x=float(draw.uniform()),
        mirrored=bool(draw.integers(2)),
    )
    fps = recipe.plan.fps * float(draw.uniform(1 - augmentation.tempo, 1 + augmentation.tempo))
    trims = draw.uniform(0, augmentation.trim, 2)
    _, header = open_clip(data, LIMITS)
    ends_s = [one for one in (end_s, header.duration_s) if one]
    length_s = max(0.0, min(ends_s) - start_s) if ends_s else 0.0
    return replace(
        served(recipe),
        plan=replace(recipe.plan, fps=fps),
        start_s=start_s + length_s * float(trims[0]),
        end_s=start_s + length_s * float(1 - trims[1]) if ends_s else None,
        view=part,
    )
