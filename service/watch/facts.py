"""What a watch reports of its work: frozen facts. The line, the JSON and the webhook are made of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from service.watch.answer import Answer, Event


@dataclass(frozen=True, slots=True)
class Opened:
    """The source is open.

    Attributes:
        source: which, without what may be a secret.
        live: whether the newest frame counts; otherwise every frame does, in order.
        width, height: of its frames, in pixels.
        fps: as its container has it; None where it says nothing credible.
        codec: the four-character code.
    """

    source: str
    live: bool
    width: int
    height: int
    fps: float | None
    codec: str
    type: Literal["opened"] = "opened"


@dataclass(frozen=True, slots=True)
class Lost:
    """The source is not there, or not any more, and will be tried again.

    Attributes:
        source: which.
        detail: why.
        attempt: tries since it last worked, this one included.
        retry_in_s: when the next follows.
    """

    source: str
    detail: str
    attempt: int
    retry_in_s: float
    type: Literal["lost"] = "lost"


@dataclass(frozen=True, slots=True)
class Reset:
    """What follows does not follow what was before: the recogniser begins with an empty memory.

    Attributes:
        time_s: the moment.
        reason: why.
    """

    time_s: float
    reason: str
    type: Literal["reset"] = "reset"


@dataclass(frozen=True, slots=True)
class Seen:
    """What is being done.

    Attributes:
        answer: the recogniser's.
        at: the same moment by the wall clock, in seconds since 1970; None where the source is not live.
        frames: of the source so far.
        missed: those of them that came faster than they were taken.
    """

    answer: Answer
    at: float | None
    frames: int
    missed: int
    type: Literal["answer"] = "answer"


@dataclass(frozen=True, slots=True)
class Happened:
    """An action began or ended.

    Attributes:
        source: where.
        event: what, in seconds of the source.
        at: its beginning by the wall clock, in seconds since 1970; None where the source is not live.
    """

    source: str
    event: Event
    at: float | None
    type: Literal["event"] = "event"


@dataclass(frozen=True, slots=True)
class Saved:
    """A clip of an event has been written.

    Attributes:
        path: the clip; its times lie beside it in JSON.
        label: of the event.
        start_s, end_s: of the clip, in seconds of the source.
        frames: in it.
    """

    path: str
    label: str
    start_s: float
    end_s: float
    frames: int
    type: Literal["clip"] = "clip"


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something beside recognition does not work; recognition goes on.

    Attributes:
        part: what.
        detail: why.
        lost: how much was lost by it so far: events that were not posted, clips or frames that were not written.
    """

    part: Literal["webhook", "save", "annotate"]
    detail: str
    lost: int
    type: Literal["trouble"] = "trouble"


@dataclass(frozen=True, slots=True)
class Ended:
    """The last that is told.

    Attributes:
        reason: why it ended.
        frames, missed: of the source, and those that came faster than they were taken.
        events: that began.
        clips: that were written.
        posted, unposted: messages to the webhook, and those that never got there.
    """

    reason: str
    frames: int
    missed: int
    events: int
    clips: int
    posted: int
    unposted: int
    type: Literal["ended"] = "ended"


Fact = Opened | Lost | Reset | Seen | Happened | Saved | Trouble | Ended
Tell = Callable[[Fact], None]
"""Told of facts as they come to be."""


def as_object(fact: Fact) -> dict[str, Any]:
    """A fact as JSON has it: seconds as numbers, wall clock times as ISO 8601 in UTC."""
    told = {"type": fact.type, **asdict(fact)}
    for part in ("answer", "event"):
        told |= told.pop(part, {})
    if "at" in told:
        told["at"] = moment(told["at"])
    if isinstance(fact, Seen):
        told["events"] = len(fact.answer.events)
    return {name: _rounded(value) for name, value in told.items()}


def moment(at: float | None) -> str | None:
    """A wall clock time in ISO 8601, to the millisecond."""
    if at is None:
        return None
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _rounded(value: Any) -> Any:
    match value:
        case float():
            return round(value, 6)
        case list() | tuple():
            return [_rounded(one) for one in value]
        case dict():
            return {name: _rounded(one) for name, one in value.items()}
    return value
