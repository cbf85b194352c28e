"""One clip's way from bytes to pictures.

The clip is scanned up to the last planned moment. A frame that is looked at becomes pictures at once and is dropped, so
memory does not grow with the clip.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from service.errors import SpanOutsideClip
from service.video.preprocess import SERVED, Frame, Picture, PictureMaker, View, maker
from service.video.sample import Moment, SamplingPlan
from service.video.scan import EXACT, Checkpoint, Scan, Shortcuts
from service.video.source import Clip, FpsSource, Limits, nothing_decoded
from service.video.spec import PictureSpec

# Containers round timestamps to milliseconds; a frame at 0.0333 s may be stamped 0.033.
_ROUNDING_S = 1e-3
# How far before its moment a frame may be, in frames. Centred windows put moments half-way between two frames as often
# as onto one; a tolerance of a half would leave the choice to the container's rounding.
_TOLERANCE = 0.25


@dataclass(frozen=True, slots=True)
class DecodeTask:
    """What is wanted of a clip.

    Attributes:
        plan: the model's sampling plan.
        pictures: the pictures to make, one kind of evidence each.
        start_s, end_s: the span to look at, [start_s, end_s) in seconds; `end_s` None means to the end.
        limits: what the clip may cost.
        view: the part of each frame to look at; only training chooses another than the default.
        shortcuts: frames that may be passed without being decoded.
        threads: in which FFmpeg decodes; the frames are the same.
    """

    plan: SamplingPlan
    pictures: tuple[PictureSpec, ...]
    limits: Limits
    start_s: float = 0.0
    end_s: float | None = None
    view: View = SERVED
    shortcuts: Shortcuts = EXACT
    threads: int = 1


@dataclass(frozen=True, slots=True)
class MadePicture:
    """A picture ready to be encoded: of which kind, for which window and step, and its pixels."""

    kind: str
    window: int
    step: int
    pixels: Picture


@dataclass(frozen=True, slots=True)
class Media:
    """What the clip is, as far as decoding has shown.

    Attributes:
        duration_s: seconds; the container's word, corrected where decoding showed otherwise.
        width, height: pixels of a frame as it is seen, rotation applied.
        frames_decoded: frames that were decoded to answer, the ones not looked at included.
    """

    duration_s: float
    width: int
    height: int
    fps: float
    fps_source: FpsSource
    codec: str
    frames_decoded: int


@dataclass(frozen=True, slots=True)
class Decoded:
    """The receipt of decoding.

    Attributes:
        media: what the clip is.
        times_s: the timestamps of the frames looked at, in seconds, one for each moment.
        steps: recurrent steps of each window, all at least 1.
        pictures: pictures made, by kind.
        padded: moments for which the clip had no new frame, so that the one before was looked at again.
        warnings: what the caller should know, in sentences.
    """

    media: Media
    times_s: tuple[float, ...]
    steps: tuple[int, ...]
    pictures: dict[str, int]
    padded: int
    warnings: tuple[str, ...]


Emit = Callable[[MadePicture], None]


def decode(clip: Clip, task: DecodeTask, emit: Emit, checkpoint: Checkpoint = lambda: None) -> Decoded:
    """Decodes a clip and hands over its pictures as they come.

    Args:
        clip: its encoded bytes.
        task: what is wanted of it.
        emit: receives every picture, in order of time.
        checkpoint: called before every frame; whatever it raises ends the decoding.

    Raises:
        UnsupportedMedia: no video that this build can read.
        UndecodableClip: a video without a frame that decodes.
        LimitExceeded: over a limit.
        SpanOutsideClip: the span holds nothing of the clip.
    """

    def scan() -> Scan:
        return Scan(clip, task.limits, checkpoint, task.shortcuts, task.threads)

    first = scan()
    frames_before = 0
    if first.header.duration_s is not None:
        clock = _Clock(first.header.duration_s, first.header.fps, first.header.fps_source)
        look = _Look(task, first, emit)
        look.over(clock.span(task))
        if look.times_s:
            return look.receipt(clock, first.frames)
        frames_before = first.frames
    # The container states no duration, or one beyond its frames: measure it, then look again.
    measure = Scan(clip, task.limits, checkpoint, threads=task.threads)
    clock = _measure(measure)
    again = scan()
    look = _Look(task, again, emit)
    look.over(clock.span(task))
    if not look.times_s:
        raise _nothing_in_span(task, clock.duration_s)
    return look.receipt(clock, frames_before + measure.frames + again.frames)


@dataclass(frozen=True, slots=True)
class _Clock:
    """How long a clip lasts and how often a frame comes."""

    duration_s: float
    fps: float
    fps_source: FpsSource

    def span(self, task: DecodeTask) -> tuple[float, float]:
        """The part of the span asked for that the clip has.

        Raises:
            SpanOutsideClip: it has none of it.
        """
        end_s = self.duration_s if task.end_s is None else min(task.end_s, self.duration_s)
        if task.start_s >= end_s:
            raise _nothing_in_span(task, self.duration_s)
        return task.start_s, end_s


def _nothing_in_span(task: DecodeTask, duration_s: float) -> SpanOutsideClip:
    end = "its end" if task.end_s is None else f"{task.end_s:g}"
    return SpanOutsideClip(
        f"the clip has no frame in [{task.start_s:g}, {end}); it lasts {duration_s:.3f} s",
        "Ask for a span that begins before the clip ends and is longer than a frame.",
    )


def _measure(scan: Scan) -> _Clock:
    """Times a clip by grabbing all of it.

    Raises:
        UndecodableClip: no frame decodes.
    """
    header = scan.header
    first_s = next(iter(scan), None)
    if first_s is None:
        raise nothing_decoded(header)
    for _ in scan:
        pass
    if scan.frames == 1:
        return _Clock(scan.last_s + 1 / header.fps, header.fps, header.fps_source)
    interval_s = (scan.last_s - first_s) / (scan.frames - 1)
    if header.fps_source == "container":
        return _Clock(scan.last_s + interval_s, header.fps, header.fps_source)
    return _Clock(scan.last_s + interval_s, 1 / interval_s, "timestamps")


class _Window:
    """The makers of one window's pictures: what they remember must not leak into the next window."""

    def __init__(self, task: DecodeTask, index: int) -> None:
        self.index = index
        self._view = task.view
        self._makers: list[tuple[PictureSpec, PictureMaker]] = [(spec, maker(spec)) for spec in task.pictures]

    def see(self, frame: Frame, moment: Moment) -> Iterator[MadePicture]:
        sight = self._view.of(frame)
        for spec, pictures in self._makers:
            if moment.step >= 0 and moment.step % spec.cadence == 0:
                yield MadePicture(spec.name, moment.window, moment.step, pictures.make(sight))
            else:
                pictures.look(sight)


class _Look:
    """Looks at the planned moments of one span and keeps account.

    For each moment, the first frame is looked at that is not before it, within a quarter of a frame's time. A frame
    outside the span asked for is never looked at.
    """

    def __init__(self, task: DecodeTask, scan: Scan, emit: Emit) -> None:
        self._task = task
        self._scan = scan
        self._emit = emit
        self._steps: Counter[int] = Counter()
        self._pictures: Counter[str] = Counter({spec.name: 0 for spec in task.pictures})
        self._padded = 0
        self._size = (0, 0)
        self._clip_ended = False
        self.times_s: list[float] = []

    def over(self, span: tuple[float, float]) -> None:
        """Scans the clip until every moment of the span has been looked at or the clip ends."""
        tolerance_s = min(_TOLERANCE / self._scan.header.fps, 0.5 / self._task.plan.fps)
        times, time_s = iter(self._scan), -math.inf
        frame: Frame | None = None
        window = _Window(self._task, 0)
        moments = self._task.plan.moments(*span)
        self._scan.skip(moments[0].time_s - tolerance_s)
        for moment in moments:
            # The plan's rounding must not reach back over the start.
            earliest_s = max(moment.time_s - tolerance_s, span[0] - _ROUNDING_S)
            if moment.window != window.index:
                window = _Window(self._task, moment.window)
                self._scan.skip(earliest_s)
            fresh = frame is None
            while time_s < earliest_s:
                following_s = next(times, None)
                if following_s is None or (self._task.end_s is not None and following_s >= self._task.end_s):
                    self._clip_ended = following_s is None
                    if frame is not None and not self._steps:  # one frame: a step from it to itself
                        self._see(window, moment, frame, again=True)
                    return
                time_s, fresh = following_s, True
            if fresh or frame is None:
                frame = self._scan.retrieve()
            self._see(window, moment, frame, again=not fresh)

    def _see(self, window: _Window, moment: Moment, frame: Frame, *, again: bool) -> None:
        self._size = (frame.shape[1], frame.shape[0])
        # Another frame may have been grabbed since the one that is looked at again.
        self.times_s.append(self.times_s[-1] if again else round(self._scan.last_s, 6))
        self._padded += int(again)
        if moment.step >= 0:
            self._steps[moment.window] += 1
        for made in window.see(frame, moment):
            self._pictures[made.kind] += 1
            self._emit(made)

    def receipt(self, clock: _Clock, frames_decoded: int) -> Decoded:
        """What was looked at, and what the caller should know about it."""
        header = self._scan.header
        # A container rounds its duration; only an end that comes clearly too early is worth a word.
        ended_s = self._scan.last_s + self._scan.frame_s
        early = self._clip_ended and clock.duration_s - ended_s > max(2 / clock.fps, 2 / self._task.plan.fps)
        promised_s = header.duration_s if header.duration_s is not None else clock.duration_s
        warnings: list[str] = []
        if early or promised_s - clock.duration_s > 2 / clock.fps:
            ended_s = min(ended_s, clock.duration_s)
            warnings.append(f"the clip ends at {ended_s:.2f} s although its header says {promised_s:.2f} s: cut off?")
        steps = tuple(self._steps.values())
        if sum(steps) < self._task.plan.clip_len:
            warnings.append(
                f"shorter than the model's window of {self._task.plan.window_s:.2f} s: "
                f"{sum(steps)} of {self._task.plan.clip_len} steps could be looked at"
            )
        if self._padded:
            warnings.append(
                f"frames repeated: {self._padded} of {len(self.times_s)} moments had no new frame, since the clip has "
                f"fewer frames a second than the {self._task.plan.fps:g} that the model looks at, or pauses"
            )
        media = Media(
            duration_s=round(ended_s if early else clock.duration_s, 6),
            width=self._size[0],
            height=self._size[1],
            fps=round(clock.fps, 6),
            fps_source=clock.fps_source,
            codec=header.codec,
            frames_decoded=frames_decoded,
        )
        return Decoded(media, tuple(self.times_s), steps, dict(self._pictures), self._padded, tuple(warnings))
