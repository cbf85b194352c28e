"""The work of a looked-at moment of a stream without a service, one call after the other on one thread.

The frame is decoded from JPEG, its pictures are made, encoded and read by the head, each by the function that the
service itself calls. Several streams at the same moment share the encoders' batches and the head's, as in the service.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from service.inference.bundle import Bundle
from service.inference.card import LENGTHS, Card, Evidence, Precision
from service.inference.session import Device
from service.load.film import Film
from service.video.preprocess import SERVED, Picture, PictureMaker, maker
from service.video.source import NO_LIMITS
from service.video.still import decode_still

Row = dict[str, NDArray[Any]]


@dataclass(frozen=True, slots=True)
class Laps:
    """What moments took, each of one stream: seconds by the clock, and of CPU, in order."""

    wall_s: tuple[float, ...]
    cpu_s: tuple[float, ...]


class _Eye:
    """One stream: the pictures of its frames."""

    def __init__(self, card: Card) -> None:
        self._makers: list[tuple[Evidence, PictureMaker]] = [(kind, maker(kind)) for kind in card.evidence]

    def see(self, image: bytes, step: int) -> dict[str, Picture]:
        """The pictures that are due of a frame."""
        sight = SERVED.of(decode_still(image, NO_LIMITS))
        made: dict[str, Picture] = {}
        for kind, pictures in self._makers:
            if step >= 0 and step % kind.cadence == 0:
                made[kind.name] = pictures.make(sight)
            else:
                pictures.look(sight)
        return made


class Bare:
    """So many streams in step.

    Args:
        model: directory of a bundle whose head streams.
        precision: of the encoders.
        streams: how many.
    """

    def __init__(self, model: Path, precision: Precision, streams: int = 1) -> None:
        cv2.setNumThreads(1)
        self._bundle = Bundle.load(model, Device.choose("cpu", 1), precision)
        card = self._bundle.card
        self._eyes = [_Eye(card) for _ in range(streams)]
        self._step = -int(card.plan.anchored)
        self._held: list[Row] = [{} for _ in range(streams)]
        self._state = self._bundle.recurrent.start(streams)

    def run(self, film: Film, moments: int = 0, seconds: float = 0.0, paced: bool = False) -> Laps:
        """Looks at frames of a film, for so many moments, or for so long.

        Args:
            film: what is seen, at the model's rate.
            moments: how many are looked at; 0 goes by the time.
            seconds: how long they are looked at where `moments` is 0.
            paced: whether each waits until it is due, so that the core rests in between.
        """
        laps: list[tuple[float, float]] = []
        begun_s = time.perf_counter()
        while len(laps) < moments if moments else time.perf_counter() - begun_s < seconds:
            if paced:
                time.sleep(max(0.0, begun_s + film.time_s(len(laps)) - time.perf_counter()))
            before = time.perf_counter(), time.process_time()
            self._look(film.image(self._step + 1))
            after = time.perf_counter(), time.process_time()
            laps.append((after[0] - before[0], after[1] - before[1]))
        streams = len(self._eyes)
        return Laps(tuple(wall / streams for wall, _ in laps), tuple(cpu / streams for _, cpu in laps))

    def _look(self, image: bytes) -> None:
        seen = [eye.see(image, self._step) for eye in self._eyes]
        for kind in seen[0]:
            encoded = self._bundle.encoders[kind].encode([pictures[kind] for pictures in seen])
            for name, rows in encoded.items():
                for held, row in zip(self._held, rows, strict=True):
                    held[name] = row
        if self._step >= 0:
            reading = self._bundle.recurrent.read(_inputs(self._held), self._state)
            self._state = reading.state
        self._step += 1


def _inputs(held: Sequence[Mapping[str, NDArray[Any]]]) -> Row:
    inputs: Row = {name: np.stack([one[name] for one in held])[:, np.newaxis] for name in held[0]}
    return inputs | {LENGTHS: np.ones(len(held), np.int64)}
