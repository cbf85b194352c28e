"""One clip's way: decode → encode → recur → answer. Admission comes before, where the upload begins.

Encoding starts before decoding ends: pictures go to the encoders as they come.
"""

from __future__ import annotations

import asyncio
import math
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from service.errors import DeadlineExceeded, EngineDead
from service.events import ClipAnswered, Observe, Timing, ignore
from service.inference.batcher import Batcher, Order
from service.inference.bundle import Bundle
from service.inference.postprocess import Prediction, rank, scores
from service.video.decode import Decoded, DecodeTask
from service.video.pool import DecoderPool, Decoding
from service.video.source import Limits

_NO_LIMITS = Limits(max_pixels=sys.maxsize, max_duration_s=math.inf, max_frames=sys.maxsize)


@dataclass(frozen=True, slots=True)
class Query:
    """What is asked about a clip.

    Attributes:
        top_k: at most so many predictions.
        min_score: only predictions with at least this score, in [0, 1].
        start_s, end_s: the span to look at, [start_s, end_s) in seconds; `end_s` None means to the end.
    """

    top_k: int = 5
    min_score: float = 0.0
    start_s: float = 0.0
    end_s: float | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What was seen, when, how sure, and where the time went."""

    predictions: tuple[Prediction, ...]
    scores: NDArray[np.float64]
    decoded: Decoded
    timing: Timing
    warnings: tuple[str, ...]


class Pipeline:
    """Answers clips with one bundle.

    Args:
        bundle: the model.
        decoders: where clips are decoded.
        batcher: where pictures are encoded.
        limits: what a clip may cost.
        timeout_s: how long an answer may take.
        observe: told of every clip answered.
    """

    def __init__(
        self,
        bundle: Bundle,
        decoders: DecoderPool,
        batcher: Batcher,
        *,
        limits: Limits,
        timeout_s: float,
        observe: Observe = ignore,
    ) -> None:
        self.bundle = bundle
        self._decoders = decoders
        self._batcher = batcher
        self._limits = limits
        self._timeout_s = timeout_s
        self._observe = observe
        self._recurrence = ThreadPoolExecutor(1, thread_name_prefix="recurrent")

    @property
    def alive(self) -> bool:
        """Whether the engine works."""
        return self._batcher.alive

    @property
    def depth(self) -> int:
        """Pictures waiting for an encoder."""
        return self._batcher.depth

    def stop(self) -> None:
        """Ends the engine; clips still in flight fail."""
        self._batcher.stop()
        self._decoders.stop()
        self._recurrence.shutdown()

    async def answer(self, clip: bytes, query: Query) -> Answer:
        """Answers a clip. Cancelling it frees all that the clip holds.

        Args:
            clip: the encoded bytes.
            query: what is asked.

        Raises:
            ClipError: the clip is at fault.
            DeadlineExceeded: no answer in time.
            EngineDead: the engine stopped.
        """
        try:
            async with asyncio.timeout(self._timeout_s):
                answer = await self._answer(clip, query, self._limits)
        except TimeoutError as error:
            raise DeadlineExceeded(
                f"no answer within {self._timeout_s:g} s", "Send a shorter or smaller clip, or try again later."
            ) from error
        decoded = answer.decoded
        self._observe(
            ClipAnswered(
                self.bundle.card.name, answer.timing, decoded.media.frames_decoded, decoded.padded, decoded.pictures
            )
        )
        return answer

    async def golden_error(self) -> float:
        """How far the golden clip's scores are from those in the card, at most; the limits for callers do not apply.

        Raises:
            KinemaError: the golden clip cannot be answered.
        """
        answer = await self._answer(self.bundle.golden_clip, Query(), _NO_LIMITS)
        return float(np.abs(answer.scores - np.asarray(self.bundle.card.golden.scores)).max())

    async def _answer(self, clip: bytes, query: Query, limits: Limits) -> Answer:
        started_s = time.perf_counter()
        card = self.bundle.card
        task = DecodeTask(card.plan, card.evidence, limits, query.start_s, query.end_s)
        order = self._batcher.order()
        try:
            decoding = await self._decoders.decode(clip, task, order.put)
            order.close()
            # Shielded: cancelling the wait must not settle the order behind the batcher's back; `abandon` does that.
            await asyncio.shield(asyncio.wrap_future(order.done))
        finally:
            order.abandon()
        encoded_s = time.perf_counter()
        if not self.alive:
            raise EngineDead("the engine stopped before the clip was answered", "Send the clip again.")
        logits = await asyncio.get_running_loop().run_in_executor(
            self._recurrence, self._recur, order, decoding.decoded.steps
        )
        ended_s = time.perf_counter()
        values = scores(logits, card.temperature)
        timing = Timing(
            queue=decoding.started_s - started_s,
            decode=decoding.ended_s - decoding.started_s,
            encode=(order.last_encoded_s or encoded_s) - (order.first_put_s or encoded_s),
            recur=ended_s - encoded_s,
            total=ended_s - started_s,
        )
        predictions = rank(values, card.labels, query.top_k, query.min_score)
        return Answer(predictions, values, decoding.decoded, timing, self._warnings(decoding, query))

    def _recur(self, order: Order, steps: tuple[int, ...]) -> NDArray[np.float32]:
        logits, _ = self.bundle.recurrent.run(order.sequence.inputs(steps))
        return logits

    def _warnings(self, decoding: Decoding, query: Query) -> tuple[str, ...]:
        labels = len(self.bundle.card.labels)
        if query.top_k <= labels:
            return decoding.decoded.warnings
        return (*decoding.decoded.warnings, f"top_k is {query.top_k}, but the model knows {labels} labels")
