"""Where a stream's run of frames is: at hand, or in the attic while the stream rests."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.inference.card import Card
from service.post.chain import Chain
from service.stream.attic import Attic
from service.stream.memory import Arrays, Memory
from service.stream.run import Run

_VALUES = "values"


@dataclass(frozen=True, slots=True)
class _Resting:
    place: int
    age: int


class Berth:
    """Holds one run.

    Args:
        card: of the model.
        attic: where it is put away.
        empty: makes the empty memory and the chain that a run is woken with.
    """

    def __init__(self, card: Card, attic: Attic, empty: Callable[[], tuple[Memory, Chain]]) -> None:
        self._card = card
        self._attic = attic
        self._empty = empty
        self._run: Run | None = None
        self._resting: _Resting | None = None

    @property
    def run(self) -> Run | None:
        """The run; it is woken if it rests.

        Raises:
            OSError: the disk does not give it back.
        """
        if self._resting is not None:
            resting, self._resting = self._resting, None
            self._run = Run.load(self._card, *self._empty(), *_unpack(self._attic.take(resting.place)))
        return self._run

    @run.setter
    def run(self, run: Run | None) -> None:
        if self._resting is not None:
            self._attic.drop(self._resting.place)
            self._resting = None
        self._run = run

    @property
    def age(self) -> int:
        """On how many steps an answer would rest; does not wake the run."""
        if self._resting is not None:
            return self._resting.age
        return 0 if self._run is None else self._run.memory.age

    @property
    def rests(self) -> bool:
        """Whether the run is in the attic."""
        return self._resting is not None

    def rest(self) -> None:
        """Puts the run into the attic, if it has room there."""
        if self._run is None:
            return
        place = self._attic.put(_pack(*self._run.dump()))
        if place is not None:
            self._resting, self._run = _Resting(place, self._run.memory.age), None


def _pack(values: Mapping[str, Any], arrays: Arrays) -> bytes:
    told = np.frombuffer(json.dumps(values).encode(), np.uint8)
    file = io.BytesIO()
    np.savez(file, allow_pickle=False, **{_VALUES: told}, **arrays)
    return file.getvalue()


def _unpack(data: bytes) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    with np.load(io.BytesIO(data)) as found:
        arrays = dict(found)
    values: dict[str, Any] = json.loads(arrays.pop(_VALUES).tobytes())
    return values, arrays
