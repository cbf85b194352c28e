"""Which moments of a clip are looked at."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

# Container timestamps are rounded to milliseconds or to a 90 kHz clock, so 0.49999 s of video is half a second.
_EPSILON_S = 1e-3


@dataclass(frozen=True, slots=True)
class Moment:
    """One planned moment.

    Attributes:
        time_s: when, in seconds from the start of the clip.
        window: index of the window that it belongs to.
        step: index of the recurrent step within the window; -1 for the anchor, the frame before the first step that
            optical flow is measured from.
    """

    time_s: float
    window: int
    step: int


@dataclass(frozen=True, slots=True)
class SamplingPlan:
    """`num_clips` windows spread over a clip, each of `clip_len` steps at `fps`.

    The plan belongs to the model: training, serving and streams follow the same one, and no caller can set it.

    Attributes:
        num_clips: the most windows that a clip is given. A clip gets as many as fit into it without overlap, at
            least one.
        clip_len: recurrent steps in a window; fewer where the clip is shorter.
        fps: moments a second.
        anchored: whether a window begins with a frame that no step reads, from which the first flow is measured.
    """

    num_clips: int
    clip_len: int
    fps: float
    anchored: bool

    @property
    def moments_per_window(self) -> int:
        """The moments of a full window, its anchor included."""
        return self.clip_len + int(self.anchored)

    @property
    def window_s(self) -> float:
        """The span of a full window in seconds: each moment lasts 1/fps."""
        return self.moments_per_window / self.fps

    def times_of_steps(self, times_s: Sequence[float], steps: Sequence[int]) -> tuple[tuple[float, ...], ...]:
        """The timestamps of each window's steps, out of those of all its moments.

        Args:
            times_s: one for each moment that was looked at, in order.
            steps: the number of steps of each window.
        """
        anchors = int(self.anchored)
        ends = [sum(steps[: window + 1]) + (window + 1) * anchors for window in range(len(steps))]
        return tuple(tuple(times_s[end - count : end]) for end, count in zip(ends, steps, strict=True))

    def moments(self, start_s: float, end_s: float) -> tuple[Moment, ...]:
        """Plans the moments of the span [start_s, end_s), in order of time.

        The span is cut into as many equal parts as it has windows and each window is centred in its part. A span
        shorter than a window is looked at from its start to its end. There is always at least one step: where the span
        is too short for it, the last moment that fits is planned again, and its frame is repeated.

        Raises:
            ValueError: the span is empty or not finite.
        """
        span_s = end_s - start_s
        if not (math.isfinite(span_s) and span_s > 0):
            raise ValueError(f"a span needs a positive, finite length, not [{start_s}, {end_s})")
        windows = min(self.num_clips, max(1, math.floor((span_s + _EPSILON_S) / self.window_s)))
        part_s = span_s / windows
        first_step = -1 if self.anchored else 0
        fitting = max(1, math.ceil((span_s - _EPSILON_S) * self.fps))
        count = min(self.moments_per_window, max(1 - first_step, fitting))
        lead_s = max(0.0, (part_s - self.window_s) / 2)
        return tuple(
            Moment(start_s + window * part_s + lead_s + min(index, fitting - 1) / self.fps, window, first_step + index)
            for window in range(windows)
            for index in range(count)
        )
