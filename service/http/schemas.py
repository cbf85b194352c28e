"""What goes over the wire, with an example of each."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, JsonValue, model_validator

from service.events import Timing
from service.inference.card import Card
from service.inference.outputs import WindowOutputs
from service.pipeline import Answer, Query
from service.post.event import Event
from service.post.spec import Spec
from service.video.source import FpsSource


class PredictQuery(BaseModel):
    """What may be asked about a clip."""

    model_config = ConfigDict(extra="forbid")

    top_k: int = Field(5, ge=1, le=1000, description="At most so many predictions, best first.")
    min_score: float = Field(0.0, ge=0, le=1, description="Only predictions with at least this score.")
    start_s: float = Field(0.0, ge=0, allow_inf_nan=False, description="Where to begin looking, in seconds.")
    end_s: float | None = Field(
        None, gt=0, allow_inf_nan=False, description="Where to stop looking, exclusive, in seconds; default: the end."
    )

    outputs: bool = Field(
        False, description="Whether to answer with what the model's head gives beside scores, such as where it looked."
    )

    post: str | None = Field(
        None,
        max_length=1000,
        description="Post-processors that make events of the scores after each step, divided by commas, each with "
        "`:name=value` for parameters: `ema`, `hysteresis`, `min_length`, `repetitions`. Default: none.",
        examples=["ema:tau_s=0.4,hysteresis:on=0.6:off=0.4,min_length:seconds=0.5"],
    )

    @model_validator(mode="after")
    def _span_is_not_empty(self) -> Self:
        if self.end_s is not None and self.end_s <= self.start_s:
            raise ValueError(f"end_s is {self.end_s:g}, which is not after start_s, {self.start_s:g}")
        return self

    def query(self) -> Query:
        """The same for the pipeline.

        Raises:
            MalformedRequest: there are no such post-processors.
        """
        post = None if self.post is None else Spec.parse(self.post)
        return Query(self.top_k, self.min_score, self.start_s, self.end_s, self.outputs, post)


class ModelName(BaseModel):
    """Which model answered."""

    name: str = Field(examples=["everyday-actions"])
    version: str = Field(examples=["1.2.0"])


class PredictionOut(BaseModel):
    """One label with its score."""

    label: str = Field(examples=["golf"])
    label_id: int = Field(description="index in the model's labels", examples=[6])
    score: float = Field(description="0 to 1; all labels' scores sum to one before top_k", examples=[0.93])


class MediaOut(BaseModel):
    """What the clip is."""

    duration_s: float = Field(examples=[10.0])
    width: int = Field(description="pixels, as it is seen: rotation applied", examples=[340])
    height: int = Field(examples=[256])
    fps: float = Field(examples=[30.0])
    fps_source: FpsSource = Field(description="where fps comes from", examples=["container"])
    codec: str = Field(description="four-character code", examples=["h264"])
    frames_decoded: int = Field(description="frames decoded to answer, those not looked at included", examples=[287])


class SamplingOut(BaseModel):
    """The receipt: which moments the answer rests on."""

    times_s: list[float] = Field(
        description="timestamps of the frames looked at, from the container", examples=[[0.0, 0.066667, 0.133333]]
    )
    pictures: dict[str, int] = Field(
        description="pictures that encoders read, by kind of evidence",
        examples=[{"appearance": 4, "motion": 16, "pose": 6}],
    )
    padded: int = Field(description="moments without a frame of their own: the one before was repeated", examples=[0])


class TimingOut(BaseModel):
    """Where the time went, in milliseconds. Decoding and encoding overlap: the parts exceed the total."""

    receive: float = Field(description="reading the upload", examples=[3.1])
    queue: float = Field(description="waiting for a decoder", examples=[0.1])
    decode: float = Field(description="from the decoder's start to its last picture", examples=[61.0])
    encode: float = Field(description="from the first picture to the last feature", examples=[88.4])
    recur: float = Field(description="in the recurrent head", examples=[1.2])
    total: float = Field(description="from the request to the answer", examples=[95.5])


class OutputsOut(BaseModel):
    """What the head gave beside its scores for one window. The model's card says what each value means."""

    window: int = Field(description="index of the window", examples=[0])
    times_s: list[float] = Field(
        description="timestamps of the frames that the window's steps looked at", examples=[[0.1, 0.2, 0.3]]
    )
    values: dict[str, JsonValue] = Field(
        description="by name, numbers in lists nested as the card's axes say, of six significant digits; a side of "
        "steps has one place for each of times_s; what is no finite number is null",
        examples=[{"attention": [[0.21, 0.47, 0.32]]}],
    )

    @classmethod
    def of(cls, outputs: WindowOutputs) -> Self:
        """The same as it goes over the wire."""
        values = {name: _nested(rows.tolist()) for name, rows in outputs.values.items()}
        return cls(window=outputs.window, times_s=list(outputs.times_s), values=values)


def _nested(value: Any) -> JsonValue:
    """Numbers with the digits that float32 has: more would say nothing and take twice the room."""
    if isinstance(value, list):
        return [_nested(one) for one in value]
    return float(f"{value:.6g}") if math.isfinite(value) else None


class EventOut(BaseModel):
    """An action that began and ended, as a post-processor found it."""

    processor: str = Field(description="the post-processor that found it", examples=["hysteresis"])
    label: str = Field(examples=["golf"])
    label_id: int = Field(description="index in the model's labels", examples=[4])
    start_s: float = Field(description="when it began, in seconds", examples=[0.4])
    end_s: float | None = Field(
        description="when it ended, exclusive: the timestamp of the step that saw it no more, or of the last one; null "
        "while it goes on, which in an answer about a clip nothing does",
        examples=[1.5],
    )
    peak: float = Field(description="the highest score that it had, 0 to 1", examples=[0.97])
    count: int | None = Field(description="cycles, where the post-processor counts", examples=[None])

    @classmethod
    def of(cls, event: Event) -> Self:
        """The same as it goes over the wire."""
        return cls(**asdict(event))


class PredictResponse(BaseModel):
    """What was seen, when, how sure, and where the time went."""

    model: ModelName
    predictions: list[PredictionOut]
    media: MediaOut
    sampling: SamplingOut
    timing_ms: TimingOut
    outputs: list[OutputsOut] | None = Field(
        description="what the head gave beside its scores, window by window; null unless asked for, "
        "empty where the model has no such thing"
    )
    events: list[EventOut] | None = Field(
        description="what the post-processors found, in order of beginning; null unless `post` names some"
    )
    abstained: bool | None = Field(
        description="whether the clip is like nothing that the model was trained on, so that its predictions mean "
        "nothing; null where the model cannot tell",
        examples=[False],
    )
    warnings: list[str] = Field(description="what to know about this answer, in sentences", examples=[[]])

    @classmethod
    def of(cls, answer: Answer, card: Card, receive_s: float) -> Self:
        """The answer as it goes over the wire."""
        decoded, media = answer.decoded, answer.decoded.media
        return cls(
            model=ModelName(name=card.name, version=card.version),
            predictions=[
                PredictionOut(label=one.label, label_id=one.label_id, score=one.score) for one in answer.predictions
            ],
            media=MediaOut(
                duration_s=media.duration_s,
                width=media.width,
                height=media.height,
                fps=media.fps,
                fps_source=media.fps_source,
                codec=media.codec,
                frames_decoded=media.frames_decoded,
            ),
            sampling=SamplingOut(times_s=list(decoded.times_s), pictures=decoded.pictures, padded=decoded.padded),
            timing_ms=_timing(answer.timing, receive_s),
            outputs=None if answer.outputs is None else [OutputsOut.of(one) for one in answer.outputs],
            events=None if answer.events is None else [EventOut.of(one) for one in answer.events],
            abstained=answer.abstained,
            warnings=list(answer.warnings),
        )


def _timing(timing: Timing, receive_s: float) -> TimingOut:
    def ms(seconds: float) -> float:
        return round(seconds * 1000, 3)

    return TimingOut(
        receive=ms(receive_s),
        queue=ms(timing.queue),
        decode=ms(timing.decode),
        encode=ms(timing.encode),
        recur=ms(timing.recur),
        total=ms(timing.total + receive_s),
    )


class CheckOut(BaseModel):
    """One thing that must hold for the service to be ready."""

    ok: bool = Field(examples=[True])
    detail: str = Field(examples=["after 0.41 s"])


class Alive(BaseModel):
    """The answer of the liveness probe."""

    status: str = Field(examples=["alive"])


class Readiness(BaseModel):
    """The answer of the readiness probe."""

    status: str = Field(description="ready, or not ready", examples=["ready"])
    checks: dict[str, CheckOut]


class Health(Readiness):
    """Readiness with what a person asks next."""

    model: ModelName | None = Field(description="null until it is loaded")
    service_version: str = Field(examples=["0.1.0"])
    uptime_s: float = Field(examples=[3600.5])
    in_flight: int = Field(description="clips in flight", examples=[2])
    slots: int = Field(description="clips that may be in flight", examples=[16])
    live_streams: int = Field(description="live streams that there are", examples=[3])


class ModelSummary(ModelName):
    """A model in the list of models."""

    description: str
    labels: list[str] = Field(examples=[["brush_hair", "catch", "clap"]])
    evidence: list[str] = Field(
        description="the kinds of evidence that it reads", examples=[["appearance", "motion", "pose"]]
    )
    head: str = Field(description="the family of its recurrent head", examples=["lstm"])
    streams: bool = Field(
        description="whether a clip read in chunks, with the state handed on, gets the answer of the whole clip; of a "
        "live stream, heads that do not read the last window anew for every answer",
        examples=[True],
    )
    outputs: list[str] = Field(
        description="what `outputs=true` adds to an answer; the card describes each", examples=[["attention"]]
    )


class Models(BaseModel):
    """The models that are served."""

    models: list[ModelSummary]
