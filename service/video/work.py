"""How much there is to do for a clip, as far as its header tells."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace

from service.video.decode import DecodeTask
from service.video.probe import Probed
from service.video.sample import Moment
from service.video.scan import EXACT, shortcuts

# Encoders commonly make every other frame one that no other refers to.
_KEPT = 0.6
# A tenth of a second, about; less is not worth answers that differ, however little, from those without shortcuts.
_WORTH_PIXELS = 50_000_000


@dataclass(frozen=True, slots=True)
class Work:
    """What a clip asks for.

    Attributes:
        frames: frames to decode, about.
        pixels: pixels of each.
        pictures: pictures to make and to encode, by kind.
    """

    frames: int
    pixels: int
    pictures: Mapping[str, int]


def _frames(task: DecodeTask, moments: tuple[Moment, ...], fps: float) -> int:
    """The frames between where decoding begins and the last moment of each window."""
    frames, reached_s, window = 0.0, 0.0, -1
    for moment in moments:
        if moment.window != window:
            landing_s = task.shortcuts.landing_s(moment.time_s, reached_s, 1 / fps)
            reached_s, window = reached_s if landing_s is None else landing_s, moment.window
        frames += max(0.0, moment.time_s - reached_s) * fps
        reached_s = max(reached_s, moment.time_s)
    return math.ceil(frames * (1 if task.shortcuts.most_gap_s is None else _KEPT)) + 1


def cheapest(task: DecodeTask, probed: Probed) -> tuple[DecodeTask, Work]:
    """The task with the shortcut that saves most, and what is left to do; a small saving is worth none."""
    ways = [replace(task, shortcuts=one) for one in (EXACT, *shortcuts(probed, task.plan.fps))]
    exact, *others = ((way, work(way, probed)) for way in ways)
    best = min(others, key=lambda found: found[1].frames, default=exact)
    saved = (exact[1].frames - best[1].frames) * exact[1].pixels
    return best if saved > _WORTH_PIXELS else exact


def work(task: DecodeTask, probed: Probed) -> Work:
    """The work of a task on a clip that was probed; where the container tells too little, what it may be at most."""
    header, index = probed.header, probed.index
    known_s = header.duration_s
    if index is not None:
        known_s = max(known_s or 0.0, index.frames / header.fps)
    duration_s = known_s if known_s is not None else task.limits.max_duration_s
    end_s = duration_s if task.end_s is None else min(duration_s, task.end_s)
    if task.start_s >= end_s:
        return Work(0, header.width * header.height, {})
    moments = task.plan.moments(task.start_s, end_s)
    frames = min(_frames(task, moments, header.fps), index.frames if index else task.limits.max_frames)
    if header.duration_s is None:
        frames *= 2  # it is scanned once to be measured
    pictures = Counter(
        kind.name for moment in moments if moment.step >= 0 for kind in task.pictures if moment.step % kind.cadence == 0
    )
    return Work(frames, header.width * header.height, pictures)
