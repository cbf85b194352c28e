"""Keeps a clip around each action that was recognised."""

from __future__ import annotations

import itertools
import json
import re
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from service.watch import facts
from service.watch.answer import Event
from service.watch.matroska import Matroska
from service.watch.ring import Ring, Still

# An action is recognised some time after it began; what was before it is needed so long.
_LATE_S = 10.0
_QUALITY = 85
# An event may be told once more after its clip has been closed for its length.
_REMEMBERED = 1000
_NOT_IN_NAMES = re.compile(r"[^\w-]+")


@dataclass(frozen=True, slots=True)
class SaveOptions:
    """How clips are kept.

    Attributes:
        directory: where; made if it is not there.
        before_s, after_s: what is kept of the time before an action begins and after it ends.
        longest_s: a clip is closed after so long, though the action goes on.
        most_bytes: of pictures that are kept in memory.
    """

    directory: Path
    before_s: float = 3.0
    after_s: float = 2.0
    longest_s: float = 60.0
    most_bytes: int = 64_000_000


@dataclass(slots=True)
class _Clip:
    """A clip that is being written."""

    event: Event
    path: Path
    file: Matroska
    size: tuple[int, int]
    begins_s: float
    whole: bool
    times_s: list[float] = field(default_factory=list)


class Recorder:
    """Writes a clip and a file of its times for each event. What fails is told and costs that clip alone.

    Everything here may wait for a disk: call it from a thread, one call at a time.

    Args:
        options: what is kept, and where.
        source: what is told of the source.
        wall: the wall clock at a moment of the source, or None.

    Raises:
        OSError: the directory cannot be made.
    """

    def __init__(self, options: SaveOptions, source: str, wall: Callable[[float], float | None]) -> None:
        options.directory.mkdir(parents=True, exist_ok=True)
        self._options = options
        self._source = source
        self._wall = wall
        self._ring = Ring(options.before_s + _LATE_S, options.most_bytes)
        self._clips: dict[tuple[str, float], _Clip] = {}
        self._done: deque[tuple[str, float]] = deque(maxlen=_REMEMBERED)
        self._lost = 0

    def add(self, time_s: float, pixels: NDArray[np.uint8]) -> list[facts.Fact]:
        """Takes the next frame in.

        Args:
            time_s: when it was.
            pixels: uint8 [H, W, 3], BGR.

        Returns:
            What came of it.
        """
        _, jpeg = cv2.imencode(".jpg", pixels, (cv2.IMWRITE_JPEG_QUALITY, _QUALITY))
        still = Still(time_s, jpeg.tobytes(), pixels.shape[1], pixels.shape[0])
        self._ring.push(still)
        return [fact for key in list(self._clips) for fact in self._take(key, still)]

    def event(self, event: Event) -> list[facts.Fact]:
        """Hears that an action has begun or ended.

        Returns:
            What came of it.
        """
        key = (event.label, event.start_s)
        if key in self._clips:
            self._clips[key].event = event
            return []
        if key in self._done:
            return []
        self._done.append(key)
        begins_s = event.start_s - self._options.before_s
        stills = list(self._ring.since(begins_s))
        if not stills:
            return [self._trouble(f"no frame of {event.label} at {event.start_s:.1f} s is kept any more")]
        try:
            self._clips[key] = self._begin(event, begins_s, stills[0])
        except OSError as error:
            return [self._trouble(str(error))]
        return [fact for still in stills if key in self._clips for fact in self._take(key, still)]

    def finish(self) -> list[facts.Fact]:
        """Closes the clips that are open, after the last frame.

        Returns:
            What came of it.
        """
        return [self._close(key) for key in list(self._clips)]

    def _begin(self, event: Event, begins_s: float, first: Still) -> _Clip:
        size = (first.width, first.height)
        path = self._path(event)
        file = Matroska(path, *size, self._wall(first.time_s))
        return _Clip(event, path, file, size, first.time_s, begins_s >= self._ring.forgot_s)

    def _path(self, event: Event) -> Path:
        at = facts.moment(self._wall(event.start_s))
        when = at.replace(":", "-") if at else f"{event.start_s:010.3f}s"
        name = f"{when}_{_NOT_IN_NAMES.sub('_', event.label)[:60]}"
        names = itertools.chain((name,), (f"{name}_{number}" for number in itertools.count(2)))
        paths = (self._options.directory / f"{one}.mkv" for one in names)
        return next(path for path in paths if not path.exists())

    def _take(self, key: tuple[str, float], still: Still) -> list[facts.Fact]:
        clip = self._clips[key]
        if still.time_s > self._until_s(clip):
            return [self._close(key)]
        if (still.width, still.height) != clip.size:
            clip.whole = False
            return [self._close(key)]
        try:
            clip.file.write(still.time_s - clip.begins_s, still.jpeg)
        except OSError as error:
            return [self._abandon(key, error)]
        clip.times_s.append(still.time_s)
        return []

    def _until_s(self, clip: _Clip) -> float:
        longest_s = clip.begins_s + self._options.longest_s
        return longest_s if clip.event.end_s is None else min(longest_s, clip.event.end_s + self._options.after_s)

    def _close(self, key: tuple[str, float]) -> facts.Fact:
        clip = self._clips[key]
        try:
            clip.file.close()
            clip.path.with_suffix(".json").write_text(json.dumps(self._times(clip)) + "\n")
        except OSError as error:
            return self._abandon(key, error)
        del self._clips[key]
        return facts.Saved(str(clip.path), clip.event.label, clip.times_s[0], clip.times_s[-1], len(clip.times_s))

    def _times(self, clip: _Clip) -> dict[str, object]:
        event, first_s = clip.event, clip.times_s[0]
        return {
            "source": self._source,
            "label": event.label,
            "start_s": event.start_s,
            "end_s": event.end_s,
            "peak": event.peak,
            "at": facts.moment(self._wall(event.start_s)),
            "whole": clip.whole and event.end_s is not None and event.end_s <= clip.times_s[-1],
            "first_frame_at": facts.moment(self._wall(first_s)),
            "frames_s": [round(time_s, 6) for time_s in clip.times_s],
        }

    def _abandon(self, key: tuple[str, float], error: OSError) -> facts.Fact:
        clip = self._clips.pop(key)
        with suppress(OSError):  # of the same disk, and told already
            clip.file.close()
        return self._trouble(str(error))

    def _trouble(self, detail: str) -> facts.Fact:
        self._lost += 1
        return facts.Trouble("save", detail, self._lost)
