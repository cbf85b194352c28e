"""One clip's work without a service: the same decode and the same graphs, called one after the other."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import cv2

from bench.peers.work import Precision, Work
from service.inference.batcher import Batcher
from service.inference.bundle import Bundle
from service.runtime import Options
from service.video.decode import Decoded, DecodeTask, MadePicture, decode


@dataclass(frozen=True, slots=True)
class Laps:
    """The seconds of each repetition of some work, and of all of them together."""

    times_s: tuple[float, ...]
    elapsed_s: float


class Bare:
    """The work that the service does for one clip, and its parts.

    Args:
        options: how the service would work: model, device, limits.
        clip: the encoded bytes.
        precision: of the encoders.
    """

    def __init__(self, options: Options, clip: bytes, precision: Precision = "fp32") -> None:
        cv2.setNumThreads(1)
        self._clip = clip
        self._device = options.device
        self._bundle = Bundle.load(options.model, options.device, options.precision)
        card = self._bundle.card
        self._task = DecodeTask(card.plan, card.evidence, options.limits)
        self._work = Work(options.model, precision, threads=1)
        self._batcher: Batcher | None = None
        self._pictures: list[MadePicture] = []

    def decode(self) -> Decoded:
        """Decodes the clip, on one thread, and keeps its pictures."""
        self._pictures = []
        return decode(self._clip, self._task, self._pictures.append)

    def whole(self) -> None:
        """All of the work, on one thread."""
        pictures = self._work.pictures(self._clip)
        self._work.predictions(pictures, self._work.features(pictures, self._device.max_batch))

    def encode(self) -> None:
        """Encodes the pictures of the clip, which are there already, on all slots, as the service does."""
        if self._batcher is None:
            self._batcher = Batcher(
                self._bundle.encoders,
                self._bundle.card.evidence,
                slots=self._device.slots,
                max_batch=self._device.max_batch,
            )
            self.decode()
        order = self._batcher.order()
        for picture in self._pictures:
            order.put(picture)
        order.close()
        order.done.result()


def laps(work: Callable[[], object], seconds: float) -> Laps:
    """Repeats work for so many seconds; the repetition under way then is finished, and at least one is made."""
    times_s: list[float] = []
    started_s = before_s = time.perf_counter()
    while not times_s or before_s - started_s < seconds:
        work()
        now_s = time.perf_counter()
        times_s.append(now_s - before_s)
        before_s = now_s
    return Laps(tuple(times_s), before_s - started_s)
