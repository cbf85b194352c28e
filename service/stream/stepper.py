"""Steps of all streams that are due at the same moment, read by the recurrent head together.

There is no timer: whenever the head is free it takes what is waiting.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.errors import EngineDead
from service.inference.card import LENGTHS
from service.inference.session import Reading, Recurrent, State

_MOST_ROWS = 64

Inputs = Mapping[str, NDArray[Any]]
"""Of one row of the recurrent graph: by the input's name, float32 [T, ...], the same T for each."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row for the recurrent head.

    Attributes:
        inputs: its steps.
        state: where the row's state stands, float32 [1, size] by name; None begins anew.
    """

    inputs: Inputs
    state: State | None

    @property
    def steps(self) -> int:
        """How many steps it has."""
        return len(next(iter(self.inputs.values())))


class _Waiting:
    """The rows of one caller, and what becomes of them."""

    def __init__(self, rows: Sequence[Row]) -> None:
        self.rows = rows
        self.done: asyncio.Future[list[Reading]] = asyncio.get_running_loop().create_future()


class Stepper:
    """Reads rows of many streams in batches. Belongs to one event loop.

    Args:
        recurrent: the head.
        outputs: which of its further outputs are wanted.
    """

    def __init__(self, recurrent: Recurrent, outputs: Sequence[str]) -> None:
        self._recurrent = recurrent
        self._outputs = tuple(outputs)
        self._waiting: deque[_Waiting] = deque()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="stepper")
        self._working: asyncio.Task[None] | None = None
        self._stopped = False

    async def read(self, rows: Sequence[Row]) -> list[Reading]:
        """Reads rows, each as a batch of its own would be read.

        Returns:
            A reading of one row for each.

        Raises:
            EngineDead: the stepper was stopped.
        """
        if self._stopped:
            raise _dead()
        waiting = _Waiting(rows)
        self._waiting.append(waiting)
        if self._working is None or self._working.done():
            self._working = asyncio.create_task(self._work())
        return await waiting.done

    async def _work(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting:
            taken = self._take()
            rows = [row for one in taken for row in one.rows]
            try:
                readings = await loop.run_in_executor(self._thread, self._run, rows)
            except Exception as error:  # noqa: BLE001 - whatever a batch raises concerns those in it
                for one in taken:
                    if not one.done.done():
                        one.done.set_exception(error)
                continue
            for one in taken:
                own, readings = readings[: len(one.rows)], readings[len(one.rows) :]
                if not one.done.done():
                    one.done.set_result(own)

    def _take(self) -> list[_Waiting]:
        """Those who wait for rows of the same number of steps as the first, and still wait."""
        steps, taken, left = 0, list[_Waiting](), deque[_Waiting]()
        rows = 0
        for one in self._waiting:
            if one.done.done():
                continue
            steps = steps or one.rows[0].steps
            if one.rows[0].steps == steps and rows < _MOST_ROWS:
                taken.append(one)
                rows += len(one.rows)
            else:
                left.append(one)
        self._waiting = left
        return taken

    def _run(self, rows: Sequence[Row]) -> list[Reading]:
        if not rows:
            return []
        inputs: dict[str, NDArray[Any]] = {
            name: np.stack([row.inputs[name] for row in rows]) for name in rows[0].inputs
        }
        inputs[LENGTHS] = np.full(len(rows), rows[0].steps, dtype=np.int64)
        blank = self._recurrent.start(1)
        states = [blank if row.state is None else row.state for row in rows]
        state = {name: np.concatenate([one[name] for one in states]) for name in blank}
        read = self._recurrent.read(inputs, state, self._outputs)
        return [_row(read, index) for index in range(len(rows))]

    async def stop(self) -> None:
        """Ends the thread; who still waits is told."""
        self._stopped = True
        for one in self._waiting:
            if not one.done.done():
                one.done.set_exception(_dead())
        if self._working is not None:
            await asyncio.wait([self._working])
        await asyncio.to_thread(self._thread.shutdown)


def _row(read: Reading, index: int) -> Reading:
    """One row of a reading, copied: a part would keep the whole."""

    def of(values: Mapping[str, NDArray[np.float32]]) -> dict[str, NDArray[np.float32]]:
        return {name: value[index : index + 1].copy() for name, value in values.items()}

    logits, steps = (value[index : index + 1].copy() for value in (read.logits, read.steps))
    return Reading(logits, of(read.state), of(read.outputs), steps)


def _dead() -> EngineDead:
    return EngineDead("the engine stopped before the frame was read", "Begin the stream again.")
