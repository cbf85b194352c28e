"""What a stream remembers of its steps, and what it says of them.

A head whose state holds votes and sums that never fade would speak ever more of what is long past. So two states are
kept, the younger begun every so many steps, and the elder, which answers, is given up for it in time.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from service.errors import StateRefused
from service.inference.card import Card
from service.inference.session import Reading, State
from service.stream.stepper import Row, Stepper
from service.stream.viewer import Viewer

Step = Mapping[str, NDArray[Any]]
"""What one step is to the model: float32 [...] by input of the recurrent graph, or one picture, uint8 [H, W, 3]."""
Arrays = dict[str, NDArray[Any]]

_OUTPUT = "output."
# Steps of a state that lives on: more than a stream can take in a lifetime.
_OLDEST = 2**53


class Memory(Protocol):
    """What a stream remembers. One call at a time."""

    async def take(self, step: Step) -> Reading | None:
        """Takes a step; says at once what is to be said where that costs nothing more."""

    async def read(self) -> Reading | None:
        """What is to be said now; None before the first step."""

    @property
    def age(self) -> int:
        """On how many steps the answer rests."""

    def dump(self) -> tuple[dict[str, Any], Arrays]:
        """All of it: plain values, and arrays by name."""

    def load(self, values: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> None:
        """Takes what `dump` gave.

        Raises:
            StateRefused: it was another memory's.
        """


def period(card: Card) -> int:
    """The steps after which every kind of evidence is due at once: only there a state may begin."""
    return math.lcm(*(kind.cadence for kind in card.evidence))


class Relay:
    """Two states, of which the elder answers.

    Args:
        stepper: reads steps.
        card: says what is carried.
        every: steps between the beginnings of two states, a multiple of `period`; None lets one state live on.
    """

    def __init__(self, stepper: Stepper, card: Card, every: int | None) -> None:
        self._stepper = stepper
        self._sizes = {part.name: part.size for part in card.recurrent.state}
        self._labels = len(card.labels)
        self._outputs = () if card.abstention is None else (card.abstention.output,)
        self._every = every
        self._states: list[State | None] = [None]
        self._ages = [0]
        self._said: Reading | None = None

    async def take(self, step: Step) -> Reading | None:
        if self._every is not None and self._ages[-1] == self._every:
            # The younger one is as old as it has to be to answer; with it a third would begin.
            self._states, self._ages = [self._states[-1], None], [self._ages[-1], 0]
        inputs = {name: value[np.newaxis] for name, value in step.items()}
        readings = await self._stepper.read([Row(inputs, state) for state in self._states])
        self._states = [reading.state for reading in readings]
        self._ages = [age + 1 for age in self._ages]
        self._said = readings[0]
        return self._said

    async def read(self) -> Reading | None:
        return self._said

    @property
    def age(self) -> int:
        return self._ages[0]

    def dump(self) -> tuple[dict[str, Any], Arrays]:
        states = [state for state in self._states if state is not None]
        arrays = {f"state.{index}.{name}": value for index, state in enumerate(states) for name, value in state.items()}
        said = {} if self._said is None else _said(self._said)
        return {"every": self._every, "ages": self._ages[: max(1, len(states))]}, arrays | said

    def load(self, values: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> None:
        ages = _ages(values)
        if values.get("every") != self._every:
            raise StateRefused(
                f"the state begins anew every {values.get('every')} steps, this stream's every {self._every}",
                "Begin the stream with the same memory_s as the one that the state is of.",
            )
        if not _follow(ages, self._every):
            raise _broken("ages")
        self._ages = list(ages)
        if ages == [0]:
            self._states, self._said = [None], None
            return
        self._states = [
            {name: _array(arrays, f"state.{index}.{name}", (1, size)) for name, size in self._sizes.items()}
            for index in range(len(ages))
        ]
        logits = _array(arrays, "logits", (1, self._labels))
        outputs = {name: _array(arrays, _OUTPUT + name, (1, 1)) for name in self._outputs}
        # The state is the elder one's, and not told twice.
        self._said = Reading(logits, {}, outputs, logits[:, np.newaxis])


class Sliding:
    """The last steps, read anew for every answer by a head that has to see all of them at once.

    A window begins where all kinds of evidence were due, so that it is what a clip's window would be.

    Args:
        stepper: reads steps.
        card: says how many steps a window has at least.
    """

    def __init__(self, stepper: Stepper, card: Card) -> None:
        self._stepper = stepper
        self._shapes = {name: shape for kind in card.evidence for name, shape in kind.inputs.items()}
        self._period = period(card)
        self._least = card.sampling.clip_len
        self._steps: deque[Step] = deque()
        self._said: Reading | None = None

    async def take(self, step: Step) -> Reading | None:
        self._steps.append(step)
        if len(self._steps) >= self._least + self._period:
            for _ in range(self._period):
                self._steps.popleft()
        self._said = None
        return None

    async def read(self) -> Reading | None:
        if self._said is None and self._steps:
            inputs = {name: np.stack([step[name] for step in self._steps]) for name in self._shapes}
            (self._said,) = await self._stepper.read([Row(inputs, None)])
        return self._said

    @property
    def age(self) -> int:
        return len(self._steps)

    def dump(self) -> tuple[dict[str, Any], Arrays]:
        arrays = {f"steps.{name}": np.stack([step[name] for step in self._steps]) for name in self._shapes if self.age}
        return {"steps": self.age}, arrays

    def load(self, values: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> None:
        count = values.get("steps")
        if not isinstance(count, int) or not 0 <= count < self._least + self._period:
            raise _broken("steps")
        self._said = None
        self._steps = deque(_steps(arrays, self._shapes, count))


class Pictured:
    """The last pictures, put whole before a graph that reads windows of them.

    Args:
        viewer: has windows read.
        card: says which pictures, and how many a window has.
    """

    def __init__(self, viewer: Viewer, card: Card) -> None:
        (kind,) = card.evidence
        self._viewer = viewer
        self._kind = kind.name
        self._clip_len = card.sampling.clip_len
        self._shape = (kind.size, kind.size, 3)
        self._pictures: deque[NDArray[np.uint8]] = deque(maxlen=self._clip_len)
        self._said: Reading | None = None

    async def take(self, step: Step) -> Reading | None:
        (picture,) = step.values()
        self._pictures.append(picture)
        self._said = None
        return None

    async def read(self) -> Reading | None:
        if self._said is None and self._pictures:
            self._said = await self._viewer.answer(self._kind, list(self._pictures), self._clip_len)
        return self._said

    @property
    def age(self) -> int:
        return len(self._pictures)

    def dump(self) -> tuple[dict[str, Any], Arrays]:
        return {"steps": self.age}, {"pictures": np.stack(list(self._pictures))} if self._pictures else {}

    def load(self, values: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> None:
        count = values.get("steps")
        if not isinstance(count, int) or not 0 <= count <= self._clip_len:
            raise _broken("steps")
        self._pictures.clear()
        if count:
            self._pictures.extend(_array(arrays, "pictures", (count, *self._shape), np.uint8))
        self._said = None


def _steps(arrays: Mapping[str, NDArray[Any]], shapes: Mapping[str, tuple[int, ...]], count: int) -> Iterator[Step]:
    if not count:
        return
    rows = {name: _array(arrays, f"steps.{name}", (count, *shape)) for name, shape in shapes.items()}
    for index in range(count):
        yield {name: row[index] for name, row in rows.items()}


def _said(reading: Reading) -> Arrays:
    return {"logits": reading.logits} | {_OUTPUT + name: value for name, value in reading.outputs.items()}


def _ages(values: Mapping[str, Any]) -> Sequence[int]:
    ages = values.get("ages")
    if not isinstance(ages, list) or not all(isinstance(age, int) and 0 <= age <= _OLDEST for age in ages):
        raise _broken("ages")
    return ages


def _follow(ages: Sequence[int], every: int | None) -> bool:
    """Whether states can be of these ages: the younger one begins when the elder is as old as it has to be."""
    match ages:
        case [age]:
            return every is None or age <= every
        case [elder, younger]:
            return every is not None and 1 <= younger <= every and elder == every + younger
    return False


def _array(
    arrays: Mapping[str, NDArray[Any]], name: str, shape: tuple[int, ...], dtype: type = np.float32
) -> NDArray[Any]:
    found = arrays.get(name)
    if found is None or found.shape != shape or found.dtype != dtype or not np.isfinite(found).all():
        raise _broken(name)
    return found


def _broken(what: str) -> StateRefused:
    return StateRefused(
        f"the state's {what} are not what this model has", "Send what GET of the state gave, unchanged."
    )
