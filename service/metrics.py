"""Prometheus metrics: listens to what the pipeline reports."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_1_0_0 as CONTENT_TYPE

from service.events import (
    BatchEncoded,
    ClipAnswered,
    ClipFailed,
    Event,
    PicturesDropped,
    StreamAnswered,
    StreamEnded,
    StreamFrames,
)
from service.inference.card import Card, Precision

# A series for the birth of each counter doubles their number and tells nobody anything.
disable_created_metrics()  # type: ignore[no-untyped-call]  # the library types only part of itself

_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
_BATCHES = (1, 2, 4, 8, 16, 32, 64, 128)
_STREAM_STAGES = ("received", "used", "dropped", "padded")


class Metrics:
    """Counts and times. An instance has a registry of its own, so that two services in one process do not mix."""

    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()
        model = ["model"]
        self._requests = Counter(
            "kinema_requests", "Answers to /predict by HTTP status.", ["model", "code"], registry=registry
        )
        self._failures = Counter(
            "kinema_request_failures",
            "Clips that were not answered, by reason.",
            ["model", "reason"],
            registry=registry,
        )
        self._duration = Histogram(
            "kinema_request_duration_seconds",
            "From the first byte of a request to /predict to its answer.",
            model,
            registry=registry,
            buckets=_SECONDS,
        )
        self._stages = {
            stage: Histogram(
                f"kinema_{stage}_duration_seconds",
                f"{what}, for each clip.",
                model,
                registry=registry,
                buckets=_SECONDS,
            )
            for stage, what in (
                ("queue", "Waiting for a decoder"),
                ("decode", "Decoding"),
                ("encode", "From the first picture to the last feature"),
                ("recur", "In the recurrent head"),
            )
        }
        self._batch = Histogram(
            "kinema_batch_size", "Pictures in a batch.", ["evidence"], registry=registry, buckets=_BATCHES
        )
        self._frames = Counter(
            "kinema_frames",
            "Frames decoded, pictures sampled of them, moments padded by a repeated frame, pictures dropped unencoded.",
            ["stage"],
            registry=registry,
        )
        self._abstained = Counter(
            "kinema_abstained",
            "Answers to clips that are like nothing the model was trained on.",
            model,
            registry=registry,
        )
        stream_frames = Counter(
            "kinema_stream_frames",
            "Frames of streams received, used and dropped, and moments padded by a repeated frame.",
            ["stage"],
            registry=registry,
        )
        # Looked up once: these count at every frame.
        self._stream_frames = {stage: stream_frames.labels(stage) for stage in _STREAM_STAGES}
        self._stream_answer = Histogram(
            "kinema_stream_answer_seconds",
            "From a stream's frame coming to its answer.",
            model,
            registry=registry,
            buckets=_SECONDS,
        )
        self._streams_ended = Counter(
            "kinema_streams_ended", "Streams that have ended, by reason.", ["model", "reason"], registry=registry
        )
        self._streams = Gauge("kinema_streams", "Live streams.", registry=registry)
        self._stream_bytes = Gauge(
            "kinema_stream_bytes",
            "Most bytes that streams take now: states, waiting frames.",
            ["what"],
            registry=registry,
        )
        self._depth = Gauge("kinema_queue_depth", "Pictures waiting for an encoder.", registry=registry)
        self._in_progress = Gauge("kinema_requests_in_progress", "Clips in flight.", registry=registry)
        self._ready = Gauge("kinema_ready", "1 when every readiness check holds.", registry=registry)
        self._info = Gauge(
            "kinema_model_info",
            "The model served; always 1.",
            ["model", "version", "device", "precision"],
            registry=registry,
        )

    def watch(
        self,
        *,
        depth: Callable[[], int],
        in_progress: Callable[[], int],
        ready: Callable[[], bool],
        streams: Callable[[], tuple[int, int, int]],
    ) -> None:
        """Reads these whenever metrics are asked for; `streams` gives their number, and bytes of states and frames."""
        self._streams.set_function(lambda: streams()[0])
        self._stream_bytes.labels("state").set_function(lambda: streams()[1])
        self._stream_bytes.labels("waiting").set_function(lambda: streams()[2])
        self._depth.set_function(depth)
        self._in_progress.set_function(in_progress)
        self._ready.set_function(ready)

    def serves(self, card: Card, device: str, precision: Precision) -> None:
        """Names the model, where it runs and what it computes in."""
        self._info.labels(card.name, card.version, device, precision).set(1)

    def answered(self, model: str, code: int, seconds: float) -> None:
        """Counts an answer to /predict, good or bad."""
        self._requests.labels(model, str(code)).inc()
        self._duration.labels(model).observe(seconds)

    def observe(self, event: Event) -> None:
        """Takes note of an event; may be called from any thread."""
        match event:
            case ClipAnswered(model, timing, frames_decoded, frames_padded, pictures, abstained):
                for stage, histogram in self._stages.items():
                    histogram.labels(model).observe(getattr(timing, stage))
                self._frames.labels("decoded").inc(frames_decoded)
                self._frames.labels("sampled").inc(sum(pictures.values()))
                self._frames.labels("padded").inc(frames_padded)
                if abstained is not None:  # a series that counts nothing would say that nothing was ever strange
                    self._abstained.labels(model).inc(abstained)
            case ClipFailed(model, reason):
                self._failures.labels(model, reason).inc()
            case BatchEncoded(kind, pictures):
                self._batch.labels(kind).observe(pictures)
            case PicturesDropped(pictures):
                self._frames.labels("dropped").inc(pictures)
            case _:
                self._observe_stream(event)

    def _observe_stream(self, event: StreamFrames | StreamAnswered | StreamEnded) -> None:
        match event:
            case StreamFrames(received, used, dropped, padded):
                for stage, frames in zip(_STREAM_STAGES, (received, used, dropped, padded), strict=True):
                    if frames:
                        self._stream_frames[stage].inc(frames)
            case StreamAnswered(model, seconds):
                self._stream_answer.labels(model).observe(seconds)
            case StreamEnded(model, reason):
                self._streams_ended.labels(model, reason).inc()

    def exposition(self) -> tuple[bytes, str]:
        """All metrics in Prometheus' text format, and its content type."""
        return generate_latest(self._registry), CONTENT_TYPE
