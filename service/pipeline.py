"""One clip's way: decode → encode → recur → answer. Admission comes before, where the upload begins.

Encoding starts before decoding ends: pictures go to the encoders as they come.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from service import steps
from service.cost import Costs
from service.errors import DeadlineExceeded, EngineDead
from service.events import ClipAnswered, Observe, Timing, ignore
from service.inference.abstain import ABSTAINED, strange
from service.inference.batcher import Batcher, Order
from service.inference.bundle import Bundle
from service.inference.card import Card
from service.inference.outputs import WindowOutputs, by_window
from service.inference.postprocess import Prediction, rank, scores
from service.inference.session import Reading
from service.post.event import Event
from service.post.spec import Spec
from service.video.decode import Decoded, DecodeTask
from service.video.encoded import EncodedClip
from service.video.pool import DecoderPool, Decoding, LaneName
from service.video.source import NO_LIMITS, Limits
from service.video.work import cheapest, work

# A clip that takes so many seconds of one core to decode goes where short ones do not wait behind it.
_LONG_S = 0.5
# Clips of a lane between first frame and last feature, for each core. More would share the cores, so that all of them
# end late, and cost more when their clients leave; who waits has cost nothing yet.
_AT_WORK = 2
# FFmpeg holds back a frame for each thread, and pictures this small gain little from more.
_MOST_THREADS = 4
# The golden clip is small; whatever takes longer than this hangs.
_GOLDEN_S = 60.0


@dataclass(frozen=True, slots=True)
class Query:
    """What is asked about a clip.

    Attributes:
        top_k: at most so many predictions.
        min_score: only predictions with at least this score, in [0, 1].
        start_s, end_s: the span to look at, [start_s, end_s) in seconds; `end_s` None means to the end.
        outputs: whether the head's further outputs are wanted.
        post: the post-processors whose events are wanted; None where none are.
    """

    top_k: int = 5
    min_score: float = 0.0
    start_s: float = 0.0
    end_s: float | None = None
    outputs: bool = False
    post: Spec | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What was seen, when, how sure, and where the time went.

    `outputs` and `events` are None where they were not asked for, `abstained` where the model has no threshold.
    """

    predictions: tuple[Prediction, ...]
    scores: NDArray[np.float64]
    decoded: Decoded
    timing: Timing
    outputs: tuple[WindowOutputs, ...] | None
    events: tuple[Event, ...] | None
    abstained: bool | None
    warnings: tuple[str, ...]


Price = Callable[[float, float], None]
"""Told what a clip will cost, in seconds of one core, and how many seconds are left to it; raises where it may not."""


class Pipeline:
    """Answers clips with one bundle.

    Args:
        bundle: the model.
        decoders: where clips are decoded.
        batcher: where pictures are encoded.
        costs: what clips cost.
        limits: what a clip may cost.
        exact: whether every frame is decoded, also where shortcuts would do.
        cores: how many cores decoders may use together.
        observe: told of every clip answered.
    """

    def __init__(
        self,
        bundle: Bundle,
        decoders: DecoderPool,
        batcher: Batcher,
        costs: Costs,
        *,
        limits: Limits,
        exact: bool = False,
        cores: int = 1,
        observe: Observe = ignore,
    ) -> None:
        self.bundle = bundle
        self.decoders = decoders
        self.batcher = batcher
        self._costs = costs
        self._limits = limits
        self._exact = exact
        self._cores = cores
        at_work = cores * _AT_WORK
        self._turn = {lane: asyncio.Semaphore(at_work) for lane in ("short", "long")}
        self._in_flight = 0
        self._observe = observe
        self._recurrence = ThreadPoolExecutor(1, thread_name_prefix="recurrent")

    async def stop(self) -> None:
        """Ends the engine; clips still in flight fail."""
        await self.decoders.stop()
        await asyncio.to_thread(self.batcher.stop)
        self._recurrence.shutdown()

    async def answer(self, clip: EncodedClip, query: Query, timeout_s: float, price: Price) -> Answer:
        """Answers a clip. Cancelling it frees all that the clip holds.

        Args:
            clip: its encoded bytes.
            query: what is asked.
            timeout_s: how long the answer may take.
            price: told what the clip will cost, before it is decoded.

        Raises:
            ClipError: the clip is at fault.
            DeadlineExceeded: no answer in time.
            EngineDead: the engine stopped.
            KinemaError: whatever `price` raises.
        """
        try:
            self._in_flight += 1
            async with asyncio.timeout(timeout_s):
                answer = await self._answer(clip, query, self._limits, timeout_s, price)
        except TimeoutError as error:
            raise DeadlineExceeded(
                f"no answer within {timeout_s:g} s", "Allow more time, send a shorter or smaller clip, or try later."
            ) from error
        finally:
            self._in_flight -= 1
        decoded = answer.decoded
        self._observe(
            ClipAnswered(
                self.bundle.card.name,
                answer.timing,
                decoded.media.frames_decoded,
                decoded.padded,
                decoded.pictures,
                answer.abstained,
            )
        )
        return answer

    async def golden_error(self) -> float:
        """How far the golden clip's scores are from those in the card, at most; the limits for callers do not apply.

        Raises:
            KinemaError: the golden clip cannot be answered.
        """
        with EncodedClip.of(self.bundle.golden_clip) as clip:
            answer = await self._answer(clip, Query(), NO_LIMITS, _GOLDEN_S, lambda cost_s, left_s: None)
        return float(np.abs(answer.scores - np.asarray(self.bundle.card.golden.scores)).max())

    async def _answer(self, clip: EncodedClip, query: Query, limits: Limits, timeout_s: float, price: Price) -> Answer:
        started_s = time.perf_counter()
        card = self.bundle.card
        task = DecodeTask(card.plan, card.evidence, limits, query.start_s, query.end_s)
        probed = await self.decoders.probe(clip, limits, timeout_s)
        task, asked = (task, work(task, probed)) if self._exact else cheapest(task, probed)
        # Half of the cores that are a clip's share: its pictures are encoded on the others.
        share = self._cores // max(1, self._in_flight)
        task = replace(task, threads=max(1, min(_MOST_THREADS, share // 2)))
        cost = self._costs.of(asked)
        left_s = timeout_s - (time.perf_counter() - started_s)
        price(cost.total_s, left_s)
        lane: LaneName = "short" if cost.decode_s < _LONG_S else "long"
        async with self._turn[lane]:
            left_s = timeout_s - (time.perf_counter() - started_s)
            order, decoding = await self._encode(clip, task, lane, left_s)
        self._costs.learn(asked, decoding.cpu_s)
        encoded_s = time.perf_counter()
        if not self.batcher.alive:
            raise EngineDead("the engine stopped before the clip was answered", "Send the clip again.")
        decoded = decoding.decoded
        names = [output.name for output in card.recurrent.outputs] if query.outputs else []
        names += [] if card.abstention is None else [card.abstention.output]
        reading, events = await asyncio.get_running_loop().run_in_executor(
            self._recurrence, self._recur, order, decoded, names, query.post
        )
        ended_s = time.perf_counter()
        values = scores(reading.logits, card.temperature)
        timing = Timing(
            queue=decoding.started_s - started_s,
            decode=decoding.ended_s - decoding.started_s,
            encode=(order.last_encoded_s or encoded_s) - (order.first_put_s or encoded_s),
            recur=ended_s - encoded_s,
            total=ended_s - started_s,
        )
        predictions = rank(values, card.labels, query.top_k, query.min_score)
        outputs = _outputs(card, decoded, reading) if query.outputs else None
        abstained = None if card.abstention is None else strange(reading.outputs, card.abstention)
        warnings = self._warnings(decoded, query, abstained=abstained is True)
        return Answer(predictions, values, decoded, timing, outputs, events, abstained, warnings)

    async def _encode(
        self, clip: EncodedClip, task: DecodeTask, lane: LaneName, left_s: float
    ) -> tuple[Order, Decoding]:
        """Decodes a clip and encodes its pictures as they come."""
        order = self.batcher.order()
        try:
            intake = self.bundle.intake(order.put)
            decoding = await self.decoders.decode(clip, task, intake.put, lane, left_s)
            decoding = replace(decoding, decoded=intake.close(decoding.decoded))
            order.close()
            # Shielded: cancelling the wait must not settle the order behind the batcher's back; `abandon` does that.
            await asyncio.shield(asyncio.wrap_future(order.done))
        finally:
            order.abandon()
        return order, decoding

    def _recur(
        self, order: Order, decoded: Decoded, outputs: list[str], post: Spec | None
    ) -> tuple[Reading, tuple[Event, ...] | None]:
        inputs = order.sequence.inputs(decoded.steps)
        reading = self.bundle.recurrent.read(inputs, outputs=outputs)
        return reading, None if post is None else steps.events(post, self.bundle.card, decoded, inputs, reading.steps)

    def _warnings(self, decoded: Decoded, query: Query, *, abstained: bool) -> tuple[str, ...]:
        card, warnings = self.bundle.card, list(decoded.warnings)
        if abstained:
            warnings.append(ABSTAINED)
        if query.top_k > len(card.labels):
            warnings.append(f"top_k is {query.top_k}, but the model knows {len(card.labels)} labels")
        if query.outputs and not card.recurrent.outputs:
            warnings.append("outputs were asked for, but the model's head gives nothing beside scores")
        if query.post and query.post.needs_motion and all(kind.picture != "flow" for kind in card.evidence):
            warnings.append("repetitions were asked for, but the model does not look at motion: none can be counted")
        return tuple(warnings)


def _outputs(card: Card, decoded: Decoded, reading: Reading) -> tuple[WindowOutputs, ...]:
    """What the head gave beside its logits; nothing where its card has no further outputs."""
    values = {output.name: reading.outputs[output.name] for output in card.recurrent.outputs}
    if not values:
        return ()
    return by_window(values, card.recurrent.outputs, card.plan.times_of_steps(decoded.times_s, decoded.steps))
