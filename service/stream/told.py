"""What a stream tells whoever it belongs to."""

from __future__ import annotations

from dataclasses import dataclass

from service.errors import KinemaError
from service.inference.postprocess import Prediction
from service.post.event import Event


@dataclass(frozen=True, slots=True)
class Spent:
    """Where the time of one frame went, in seconds.

    Attributes:
        queue: waiting for its turn.
        look: decoding it and making its pictures.
        encode: from the first picture handed over to the last feature.
        recur: in the recurrent head.
        total: from its coming to the answer.
    """

    queue: float
    look: float
    encode: float
    recur: float
    total: float


@dataclass(frozen=True, slots=True)
class Told:
    """An answer: what is being done now.

    Attributes:
        time_s: the timestamp of the frame that it is given at.
        predictions: what the model says of what it remembers, best first.
        smoothed: the same, smoothed over time.
        abstained: whether that is like nothing trained on; None where the model cannot tell.
        state_age_s: on how many seconds the answer rests.
        received: frames that came.
        used: frames that were looked at.
        dropped: frames that were given up for want of room.
        camera_fps: frames a second of late, by their timestamps; None before the second.
        spent: where the time of the last frame went.
        partial: whether the stream ended, or began anew, before the next answer was due.
    """

    time_s: float
    predictions: tuple[Prediction, ...]
    smoothed: tuple[Prediction, ...]
    abstained: bool | None
    state_age_s: float
    received: int
    used: int
    dropped: int
    camera_fps: float | None
    spent: Spent
    partial: bool


@dataclass(frozen=True, slots=True)
class Happened:
    """An action began, has ended, or was counted."""

    event: Event


@dataclass(frozen=True, slots=True)
class Restarted:
    """The stream has forgotten what came before; `time_s` is the timestamp of the first frame of the new run."""

    time_s: float
    reason: str


@dataclass(frozen=True, slots=True)
class FrameFailed:
    """A frame, or a message without a time, could not be taken; the stream goes on without it."""

    time_s: float | None
    error: KinemaError


@dataclass(frozen=True, slots=True)
class Failed:
    """The stream cannot go on; an error that is none of `KinemaError` is a bug."""

    error: Exception


News = Told | Happened | Restarted | FrameFailed | Failed
