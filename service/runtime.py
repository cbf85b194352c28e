"""The service without HTTP: loads a bundle, proves it, answers clips, drains and stops.

`kinema serve` puts HTTP in front of it, `kinema predict` uses it as it is.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from service.admission import Admission, Ticket
from service.cost import Costs
from service.errors import (
    Busy,
    ClientGone,
    ClipError,
    DeadlineExceeded,
    EngineDead,
    LimitExceeded,
    Starting,
    Unavailable,
)
from service.events import ClipFailed, Observe, Reason, ignore
from service.inference.batcher import Batcher
from service.inference.bundle import Bundle, PrecisionName
from service.inference.card import Card, Precision
from service.inference.session import Device
from service.pipeline import Answer, Pipeline, Query
from service.stream.engine import Engine
from service.stream.stepper import Stepper
from service.stream.streams import StreamLimits, Streams
from service.stream.viewer import Viewer
from service.video.encoded import EncodedClip
from service.video.pool import DecoderPool, Lanes
from service.video.source import Limits


@dataclass(frozen=True, slots=True)
class Options:
    """How a runtime works.

    Attributes:
        model: directory of the bundle.
        device: where graphs run.
        cores: how many cores the work may use.
        precision: what encoders compute in.
        limits: what a clip may cost.
        max_in_flight: clips in flight at the same time.
        backlog_s: how long the clips in flight may keep all cores busy.
        lanes: clips decoded at the same time.
        exact: whether every frame is decoded, also where shortcuts would do.
        request_timeout_s: how long an answer may take, unless its caller allows less.
        streams: what streams may take.
    """

    model: Path
    device: Device
    cores: int
    precision: PrecisionName
    limits: Limits
    max_in_flight: int
    backlog_s: float
    lanes: Lanes
    exact: bool
    request_timeout_s: float
    streams: StreamLimits


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that must hold for the service to be ready."""

    ok: bool
    detail: str


_T = TypeVar("_T")
_WAITING = Check(ok=False, detail="not yet")


class Runtime:
    """One model at work. Belongs to one event loop.

    Args:
        options: how it works.
        observe: told of everything that happens to clips.
    """

    def __init__(self, options: Options, observe: Observe = ignore) -> None:
        self.options = options
        self.admission = Admission(options.max_in_flight, options.cores, options.backlog_s)
        self.started_at_s = time.time()
        self._observe = observe
        self._bundle: Bundle | None = None
        self._pipeline: Pipeline | None = None
        self._streams: Streams | None = None
        self._checks = dict.fromkeys(("loaded", "warmed", "golden_clip"), _WAITING)

    async def start(self) -> None:
        """Loads the bundle, warms it and answers the golden clip.

        What fails shows in `checks`, and the runtime stays unready.

        Raises:
            KinemaError: the bundle cannot be served.
        """
        self._bundle = bundle = await self._step("loaded", self._load)
        self._pipeline = pipeline = await self._step("warmed", lambda: self._warm(bundle))
        self._streams = self._stream(pipeline)
        await self._step("golden_clip", lambda: self._prove(pipeline))

    async def _step(self, name: str, work: Callable[[], Awaitable[_T]]) -> _T:
        started_s = time.perf_counter()
        try:
            result = await work()
        except Exception as error:
            self._checks[name] = Check(ok=False, detail=str(error))
            raise
        self._checks[name] = Check(ok=True, detail=f"after {time.perf_counter() - started_s:.2f} s")
        return result

    async def _load(self) -> Bundle:
        return await asyncio.to_thread(Bundle.load, self.options.model, self.options.device, self.options.precision)

    async def _warm(self, bundle: Bundle) -> Pipeline:
        """Starts the engine while nobody waits for it."""
        options = self.options
        encode_s = await asyncio.to_thread(_warm_encoders, bundle)
        decoders = DecoderPool(options.lanes)
        await decoders.start()
        batcher = Batcher(
            bundle.encoders,
            bundle.card.evidence,
            slots=options.device.slots,
            max_batch=bundle.max_batch,
            observe=self._observe,
        )
        return Pipeline(
            bundle,
            decoders,
            batcher,
            Costs(encode_s, {kind: encoder.reads for kind, encoder in bundle.encoders.items()}),
            limits=options.limits,
            exact=options.exact,
            cores=options.cores,
            observe=self._observe,
        )

    def _stream(self, pipeline: Pipeline) -> Streams:
        """What live streams are read with; they share decoding and encoding with clips."""
        options, bundle = self.options, pipeline.bundle
        wanted = () if bundle.card.abstention is None else (bundle.card.abstention.output,)
        engine = Engine(
            bundle,
            pipeline.decoders,
            Viewer(pipeline.batcher),
            Stepper(bundle.recurrent, wanted),
            options.limits,
            options.streams.gap_s,
            Engine.turns(options.cores),
            Engine.attic_for(bundle),
        )
        return Streams(engine, options.streams, self._observe)

    async def _prove(self, pipeline: Pipeline) -> None:
        tolerance = pipeline.bundle.card.golden.tolerance
        apart = await pipeline.golden_error()
        if not apart <= tolerance:  # not a number is no agreement either
            raise EngineDead(
                f"the golden clip's scores are {apart:.2g} away from the card's; {tolerance:g} is allowed",
                "This machine computes something else than the one that exported the model: export it here.",
            )

    @property
    def card(self) -> Card | None:
        """The card of the model, once it is loaded."""
        return None if self._bundle is None else self._bundle.card

    @property
    def precision(self) -> Precision | None:
        """What the encoders compute in, once the model is loaded."""
        return None if self._bundle is None else self._bundle.precision

    @property
    def depth(self) -> int:
        """Pictures waiting for an encoder."""
        return 0 if self._pipeline is None else self._pipeline.batcher.depth

    @property
    def checks(self) -> dict[str, Check]:
        """What must hold for the service to be ready, by name."""
        engine = decoders = _WAITING
        if self._pipeline is not None:
            engine = _alive(self._pipeline.batcher.alive)
            decoders = _alive(self._pipeline.decoders.alive)
        draining = self.admission.draining
        accepting = Check(ok=not draining, detail="shutting down" if draining else "takes clips")
        return {**self._checks, "engine": engine, "decoders": decoders, "accepting": accepting}

    @property
    def ready(self) -> bool:
        """Whether every check holds."""
        return all(check.ok for check in self.checks.values())

    @contextmanager
    def admit(self) -> Iterator[Visit]:
        """Holds a place for a clip for the time of the block, which begins where its upload does.

        Raises:
            Busy: there is no room.
            Draining, Starting, EngineDead: no clip can be answered now.
        """
        model = "" if self.card is None else self.card.name
        try:
            with self.admission.enter() as ticket:
                yield Visit(self._working(), ticket, self.options.request_timeout_s)
        except asyncio.CancelledError:
            self._observe(ClipFailed(model, "cancelled", "the client hung up"))
            raise
        except Exception as error:
            self._observe(ClipFailed(model, _reason(error), str(error)))
            raise

    @property
    def streams(self) -> Streams:
        """The live streams.

        Raises:
            Starting, EngineDead: there can be none now.
        """
        self._working(streaming=True)
        assert self._streams is not None
        return self._streams

    @property
    def stream_load(self) -> tuple[int, int, int]:
        """How many streams there are, and the bytes of their states and of their waiting frames."""
        streams = self._streams
        return (0, 0, 0) if streams is None else (len(streams), streams.state_bytes, streams.waiting_bytes)

    def _working(self, *, streaming: bool = False) -> Pipeline:
        # Without decoders a clip waits: others are being started, and nothing is lost.
        # Streams that there are go on while the service drains; no new one begins.
        passed = {"decoders", "accepting"} if streaming else {"decoders"}
        lacking = {name: check for name, check in self.checks.items() if not check.ok and name not in passed}
        faults = "; ".join(f"{name}: {check.detail}" for name, check in lacking.items() if check is not _WAITING)
        if faults:
            raise EngineDead(f"the engine cannot answer: {faults}", "Ask another instance; this one needs a restart.")
        if lacking or self._pipeline is None:
            raise Starting("the model is still being loaded and checked", "Wait as long as Retry-After says.")
        return self._pipeline

    async def answer(self, clip: EncodedClip, query: Query) -> Answer:
        """Admits and answers one clip that is there already.

        Raises:
            KinemaError: as `admit` and `Visit.answer` do.
        """
        with self.admit() as visit:
            return await visit.answer(clip, query)

    async def drain(self, timeout_s: float) -> bool:
        """Takes no new clip and no new stream, and waits for those in flight.

        Returns:
            Whether all of them were answered in time.
        """
        self.admission.drain()
        if self._streams is not None:
            self._streams.drain()
        try:
            async with asyncio.timeout(timeout_s):
                await self.admission.idle()
                if self._streams is not None:
                    await self._streams.idle()
        except TimeoutError:
            return False
        return True

    async def stop(self) -> None:
        """Ends the engine."""
        if self._streams is not None:
            await self._streams.stop()
        if self._pipeline is not None:
            await self._pipeline.stop()


@dataclass(frozen=True, slots=True)
class Visit:
    """A clip that has been let in. Made by `Runtime.admit`."""

    _pipeline: Pipeline
    _ticket: Ticket
    _timeout_s: float

    @property
    def card(self) -> Card:
        """The card of the model that answers."""
        return self._pipeline.bundle.card

    async def answer(self, clip: EncodedClip, query: Query, timeout_s: float = math.inf) -> Answer:
        """Answers the clip.

        Args:
            clip: its encoded bytes.
            query: what is asked.
            timeout_s: how long the caller waits; the service's own limit holds where it is shorter.

        Raises:
            KinemaError: as `Pipeline.answer` does.
        """
        return await self._pipeline.answer(clip, query, min(timeout_s, self._timeout_s), self._ticket.price)


def _alive(alive: bool) -> Check:
    return Check(ok=alive, detail="works" if alive else "dead")


def _warm_encoders(bundle: Bundle) -> dict[str, float]:
    """Runs every encoder: onnxruntime allocates its arenas at a graph's first run with a shape.

    Returns:
        What an item of a batch of each kind takes, in seconds of one slot.
    """
    taken_s: dict[str, float] = {}
    for kind in bundle.card.evidence:
        encoder = bundle.encoders[kind.name]
        blank = encoder.blank(kind.size)
        for items in (1, bundle.max_batch, bundle.max_batch):
            started_s = time.perf_counter()
            encoder.encode([blank] * items)
            taken_s[kind.name] = (time.perf_counter() - started_s) / items
    return taken_s


def _reason(error: Exception) -> Reason:
    """The word for why a clip was not answered."""
    for kinds, word in _REASONS:
        if isinstance(error, kinds):
            return word
    return "other"


_REASONS: tuple[tuple[type[Exception], Reason], ...] = (
    (LimitExceeded, "limit"),
    (ClipError, "media"),
    (Busy, "rejected"),
    (Unavailable, "unavailable"),
    (DeadlineExceeded, "timeout"),
    (ClientGone, "cancelled"),
)
