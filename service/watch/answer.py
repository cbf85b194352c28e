"""What a recogniser says of what it has seen."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Prediction:
    """One label with its score in [0, 1]."""

    label: str
    score: float


@dataclass(frozen=True, slots=True)
class Event:
    """An action that was recognised: told once when it has begun and once more when it has ended, or once as a whole.

    Post-processor, label and start together name it; all stay as they were first told.

    Attributes:
        label: the action.
        start_s: when it began, in seconds of the source.
        end_s: when it ended, exclusive; None while it goes on.
        peak: its best score so far, in [0, 1].
        processor: the post-processor that found it.
        count: cycles so far, where the post-processor counts them.
    """

    label: str
    start_s: float
    end_s: float | None
    peak: float
    processor: str = "hysteresis"
    count: int | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What is being done at a moment.

    Attributes:
        time_s: the moment, in seconds of the source.
        predictions: the model's own, best first.
        smoothed: the same over the last moments, best first.
        state_age_s: how long the model has been looking since its memory was empty.
        received, used, dropped: frames so far, as the recogniser counts them.
        camera_fps: frames that come a second.
        model_fps: moments that are looked at a second.
        total_ms: from the frame's arrival at the recogniser to this answer.
        events: what began or ended here.
        abstained: whether this is like nothing that the model was trained on; None where it cannot tell.
    """

    time_s: float
    predictions: tuple[Prediction, ...]
    smoothed: tuple[Prediction, ...]
    state_age_s: float
    received: int
    used: int
    dropped: int
    camera_fps: float
    model_fps: float
    total_ms: float
    events: tuple[Event, ...] = ()
    abstained: bool | None = None
