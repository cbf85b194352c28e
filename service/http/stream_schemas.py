"""What streams are told and tell, over WebSocket and over plain HTTP alike."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, JsonValue, field_serializer

from service.http.problems import Problem, problem
from service.http.schemas import EventOut, ModelName, PredictionOut
from service.inference.card import Card
from service.inference.postprocess import Prediction
from service.post.chain import DEFAULT
from service.post.spec import Spec
from service.stream.inbox import Drop
from service.stream.stream import Stream
from service.stream.told import Failed, FrameFailed, Happened, News, Restarted, Spent, Told
from service.stream.wishes import Wishes

PROTOCOL: Literal[1] = 1

_DROP = (
    "What happens when a frame comes and too many wait: the one that has waited for longest is given up (oldest), or "
    "the new one (newest), or the sender waits (none)."
)


class StreamWishes(BaseModel):
    """What is wanted of a stream."""

    model_config = ConfigDict(extra="forbid")

    model: str | None = Field(None, description="Name of the model; by default the one that is served.")
    top_k: int = Field(5, ge=1, le=1000, description="At most so many predictions in an answer.")
    every_s: float = Field(
        0.5, ge=0, le=3600, description="Seconds of the stream between two answers; 0: one at every frame looked at."
    )
    drop: Drop | None = Field(Drop.NONE, description=_DROP)
    memory_s: Annotated[float, Field(gt=0, le=3600)] | Literal["auto", "endless"] = Field(
        "auto",
        description="On about how many seconds an answer rests at least, at most on twice as many; `auto` is what the "
        "model was trained on, `endless` all that came since the stream began.",
    )

    post: str | list[dict[str, JsonValue]] = Field(
        str(DEFAULT),
        description="What smooths scores and finds events, such as `ema:tau_s=0.8,hysteresis:on=0.6:off=0.4`, or the "
        "same as JSON.",
    )

    def wishes(self) -> Wishes:
        """The same for the stream.

        Raises:
            MalformedRequest: there is no such post-processor, or it has no such parameter.
        """
        return Wishes(self.top_k, self.every_s, self.drop or Drop.NONE, self.memory_s, Spec.of_json(self.post))


class Hello(StreamWishes):
    """The first message of a WebSocket's client."""

    protocol: Literal[1] = Field(PROTOCOL, description="Version of the protocol that the client speaks.")
    drop: Drop | None = Field(None, description=_DROP + " By default `oldest` for frames and `none` for video.")
    format: Literal["frames", "video"] = Field(
        "frames",
        description="What binary messages are: one frame each, or what comes next of a WebM or fragmented MP4.",
    )

    def wishes(self) -> Wishes:
        # A recorder hands over many frames at a time: most would be dropped, although there is time for all of them.
        usual = Drop.OLDEST if self.format == "frames" else Drop.NONE
        return replace(super().wishes(), drop=self.drop or usual)


class Command(BaseModel):
    """A text message of a WebSocket's client after the first."""

    model_config = ConfigDict(extra="forbid")

    type: Literal["reset", "end"]


class ReadyOut(BaseModel):
    """The server's answer to a hello: the stream has begun."""

    type: Literal["ready"] = "ready"
    protocol: Literal[1] = PROTOCOL
    model: ModelName
    model_fps: float = Field(description="moments a second that the model looks at", examples=[10.0])


class StreamTimingOut(BaseModel):
    """Where the time of the answer's frame went, in milliseconds."""

    queue: float = Field(description="waiting for its turn", examples=[0.2])
    look: float = Field(description="decoding it and making its pictures", examples=[6.1])
    encode: float = Field(description="from the first picture handed over to the last feature", examples=[11.4])
    recur: float = Field(description="in the recurrent head", examples=[1.2])
    total: float = Field(description="from the frame's coming to this answer", examples=[19.0])

    @classmethod
    def of(cls, spent: Spent) -> Self:
        """The same as it goes over the wire."""
        parts = (spent.queue, spent.look, spent.encode, spent.recur, spent.total)
        queue, look, encode, recur, total = (round(seconds * 1000, 3) for seconds in parts)
        return cls(queue=queue, look=look, encode=encode, recur=recur, total=total)


class AnswerOut(BaseModel):
    """What is being done now."""

    type: Literal["answer"] = "answer"
    time_s: float = Field(description="timestamp of the frame that the answer is given at", examples=[12.5])
    predictions: list[PredictionOut] = Field(description="by what the model remembers, best first")
    smoothed: list[PredictionOut] = Field(description="the same, smoothed over time")
    abstained: bool | None = Field(
        description="whether this is like nothing that the model was trained on; null where it cannot tell",
        examples=[False],
    )
    state_age_s: float = Field(description="on how many seconds the answer rests", examples=[1.6])
    received: int = Field(description="frames that came", examples=[375])
    used: int = Field(description="frames looked at; the model needs no others", examples=[125])
    dropped: int = Field(description="frames given up for want of room", examples=[0])
    camera_fps: float | None = Field(description="frames a second of late, by their timestamps", examples=[30.0])
    model_fps: float = Field(description="moments a second that the model looks at", examples=[10.0])
    timing_ms: StreamTimingOut
    partial: bool = Field(
        description="whether the stream ended, or began anew, before the next answer was due", examples=[False]
    )

    @classmethod
    def of(cls, told: Told, card: Card) -> Self:
        """The answer as it goes over the wire."""
        return cls(
            time_s=told.time_s,
            predictions=_predictions(told.predictions),
            smoothed=_predictions(told.smoothed),
            abstained=told.abstained,
            state_age_s=round(told.state_age_s, 6),
            received=told.received,
            used=told.used,
            dropped=told.dropped,
            camera_fps=_fps(told.camera_fps),
            model_fps=card.sampling.fps,
            timing_ms=StreamTimingOut.of(told.spent),
            partial=told.partial,
        )


def _predictions(predictions: tuple[Prediction, ...]) -> list[PredictionOut]:
    return [PredictionOut(label=one.label, label_id=one.label_id, score=one.score) for one in predictions]


def _fps(fps: float | None) -> float | None:
    return None if fps is None else round(fps, 3)


class StreamEventOut(EventOut):
    """An action began, has ended, or was counted; `processor`, `label_id` and `start_s` tell which."""

    type: Literal["event"] = "event"


class RestartOut(BaseModel):
    """The stream has forgotten what came before."""

    type: Literal["restart"] = "restart"
    time_s: float = Field(description="timestamp of the first frame after it", examples=[31.4])
    reason: str = Field(examples=["no frame came for 3.100 s: what came before is forgotten"])

    @classmethod
    def of(cls, restarted: Restarted) -> Self:
        """The same as it goes over the wire."""
        return cls(time_s=restarted.time_s, reason=restarted.reason)


class ProblemOut(BaseModel):
    """Something is wrong. The stream goes on without the frame that it is about, if it is about one."""

    type: Literal["problem"] = "problem"
    time_s: float | None = Field(description="timestamp of the frame that it is about", examples=[12.5])
    problem: Problem

    @field_serializer("problem")
    def _without_what_does_not_apply(self, value: Problem) -> dict[str, Any]:
        return value.model_dump(exclude_none=True)

    @classmethod
    def of(cls, error: Exception, time_s: float | None, request_id: str) -> Self:
        """The problem as it goes over the wire."""
        return cls(time_s=time_s, problem=problem(error, request_id))


class EndOut(BaseModel):
    """A WebSocket's last message: the stream has ended as it should."""

    type: Literal["end"] = "end"
    reason: Literal["closed", "drained"] = Field(
        description="closed: the client said so; drained: the service shuts down", examples=["closed"]
    )
    received: int = Field(description="frames that came", examples=[375])
    used: int = Field(description="frames looked at", examples=[125])
    dropped: int = Field(description="frames given up for want of room", examples=[0])

    @classmethod
    def of(cls, stream: Stream, reason: Literal["closed", "drained"]) -> Self:
        """What the stream has come to."""
        return cls(reason=reason, received=stream.received, used=stream.used, dropped=stream.dropped)


NewsOut = Annotated[AnswerOut | StreamEventOut | RestartOut | ProblemOut, Field(discriminator="type")]


def news(told: News, card: Card, request_id: str) -> AnswerOut | StreamEventOut | RestartOut | ProblemOut:
    """What a stream tells, as it goes over the wire."""
    match told:
        case Told():
            return AnswerOut.of(told, card)
        case Happened():
            return StreamEventOut.of(told.event)
        case Restarted():
            return RestartOut.of(told)
        case FrameFailed():
            return ProblemOut.of(told.error, told.time_s, request_id)
        case Failed():
            return ProblemOut.of(told.error, None, request_id)


class StreamOut(BaseModel):
    """A stream as it stands."""

    id: str = Field(
        description="made by the server; whoever has it has the stream", examples=["kq3VtO0jSxC2Xk8w0-1ZbA"]
    )
    model: ModelName
    model_fps: float = Field(description="moments a second that the model looks at", examples=[10.0])
    camera_fps: float | None = Field(description="frames a second of late, by their timestamps", examples=[30.0])
    every_s: float = Field(examples=[0.5])
    drop: Drop = Field(examples=["oldest"])
    received: int = Field(description="frames that came", examples=[375])
    used: int = Field(description="frames looked at", examples=[125])
    dropped: int = Field(description="frames given up for want of room", examples=[0])
    waiting: int = Field(description="frames that wait to be looked at", examples=[0])
    state_age_s: float = Field(description="on how many seconds an answer would rest", examples=[1.6])
    ttl_s: float = Field(description="the stream ends when nothing is heard of it for so long", examples=[60.0])

    @classmethod
    def of(cls, name: str, stream: Stream, card: Card, ttl_s: float) -> Self:
        """The stream as it goes over the wire."""
        return cls(
            id=name,
            model=ModelName(name=card.name, version=card.version),
            model_fps=card.sampling.fps,
            camera_fps=_fps(stream.camera_fps),
            every_s=stream.wishes.every_s,
            drop=stream.wishes.drop,
            received=stream.received,
            used=stream.used,
            dropped=stream.dropped,
            waiting=stream.waiting,
            state_age_s=round(stream.state_age_s, 6),
            ttl_s=ttl_s,
        )


class StreamNews(BaseModel):
    """What a stream has to tell since it was last asked, in order, and how it stands."""

    news: list[NewsOut]
    stream: StreamOut
