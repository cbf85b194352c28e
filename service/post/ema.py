"""`ema`: scores smoothed over time."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from service.post.event import Event
from service.post.observation import Observation
from service.post.processor import Parameters, Processor, State


class EmaParameters(Parameters):
    """How slowly scores follow."""

    tau_s: float = Field(0.8, ge=0.01, le=60, description="seconds after which 63 % of a change has arrived")


class Ema(Processor[EmaParameters]):
    """Exponential smoothing by time and not by step, so that the rate of steps does not matter.

    The score s of each label moves towards what was seen, x, by alpha = 1 - exp(-dt / tau), dt being the time since the
    step before: the exact answer of a first-order low-pass to an x that stood since then. Steps that come unevenly, as
    windows of a clip and frames of a camera do, weigh what the time between them does. See A. Eckner, *Algorithms for
    Unevenly Spaced Time Series: Moving Averages and Other Rolling Operators*, 2019, "EMA_next".
    """

    name: ClassVar[str] = "ema"
    summary: ClassVar[str] = "smooths scores over time"

    def reset(self) -> None:
        self._time_s = -math.inf
        self._scores: NDArray[np.float64] | None = None

    def see(self, observation: Observation, events: list[Event]) -> tuple[Observation, list[Event]]:
        if self._scores is None:
            self._scores = observation.scores
        else:
            alpha = -math.expm1((self._time_s - observation.time_s) / self.parameters.tau_s)
            self._scores = self._scores + alpha * (observation.scores - self._scores)
        self._time_s = observation.time_s
        return replace(observation, scores=self._scores), events

    def end(self, events: list[Event]) -> list[Event]:
        return events

    def dump(self) -> State:
        return {} if self._scores is None else {"time_s": self._time_s, "scores": self._scores.tolist()}

    def load(self, state: Mapping[str, Any]) -> None:
        self.reset()
        if state:
            self._time_s = float(state["time_s"])
            self._scores = np.asarray(state["scores"], dtype=np.float64).reshape(len(self.labels))
