"""What the pipeline reports of its work: frozen facts. Metrics and logs listen; the pipeline knows neither."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

Reason = Literal["rejected", "timeout", "cancelled", "media", "limit", "unavailable", "other"]
"""Why a clip was not answered."""


@dataclass(frozen=True, slots=True)
class Timing:
    """Where the time of one clip went, in seconds. Decoding and encoding overlap, so the parts exceed the total.

    Attributes:
        queue: waiting for a decoder.
        decode: from the decoder's start to its last picture.
        encode: from the first picture handed over to the last feature.
        recur: in the recurrent head.
        total: from admission to answer, receiving excluded.
    """

    queue: float
    decode: float
    encode: float
    recur: float
    total: float


@dataclass(frozen=True, slots=True)
class ClipAnswered:
    """A clip has been answered.

    Attributes:
        model: name of the model.
        timing: where the time went.
        frames_decoded, frames_padded: the receipt's account of frames.
        pictures: pictures made, by kind of evidence.
        abstained: whether the clip is like nothing trained on; None where the model cannot tell.
    """

    model: str
    timing: Timing
    frames_decoded: int
    frames_padded: int
    pictures: Mapping[str, int]
    abstained: bool | None = None


@dataclass(frozen=True, slots=True)
class ClipFailed:
    """A clip has not been answered."""

    model: str
    reason: Reason
    detail: str


@dataclass(frozen=True, slots=True)
class BatchEncoded:
    """An encoder has run once: over how many pictures, for how long."""

    kind: str
    pictures: int
    seconds: float


@dataclass(frozen=True, slots=True)
class PicturesDropped:
    """Pictures were dropped from the queue because nobody waits for their clip any more."""

    pictures: int


@dataclass(frozen=True, slots=True)
class StreamFrames:
    """What became of frames of streams; a frame is received, and then used, dropped, or needed by no moment.

    Attributes:
        padded: moments that had no frame of their own.
    """

    received: int = 0
    used: int = 0
    dropped: int = 0
    padded: int = 0


@dataclass(frozen=True, slots=True)
class StreamAnswered:
    """A stream has been told what is being done.

    Attributes:
        model: name of the model.
        seconds: from the frame's coming to its answer.
        partial: whether the stream ended, or began anew, before the answer was due.
    """

    model: str
    seconds: float
    partial: bool


EndReason = Literal["closed", "broken", "deleted", "expired", "failed", "drained"]
"""Why a stream ended: its client said so, its socket broke, it was deleted, too long idle; the engine, the service."""


@dataclass(frozen=True, slots=True)
class StreamEnded:
    """A stream has ended."""

    model: str
    reason: EndReason


Event = ClipAnswered | ClipFailed | BatchEncoded | PicturesDropped | StreamFrames | StreamAnswered | StreamEnded
Observe = Callable[[Event], None]
"""Receives events, from any thread; must be quick and must not raise."""


def ignore(event: Event) -> None:
    """Listens to nothing."""
