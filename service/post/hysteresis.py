"""`hysteresis`: from scores to actions that begin and end."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from service.post.event import Event
from service.post.observation import Observation
from service.post.processor import Parameters, Processor, State


class HysteresisParameters(Parameters):
    """Between which scores an action lasts."""

    on: float = Field(0.6, ge=0, le=1, description="an action begins when its score rises to this")
    off: float = Field(0.4, ge=0, le=1, description="it ends when its score falls under this")
    gap_s: float = Field(2.0, ge=0.05, le=3600, description="seconds without a step that end every action")

    def contradiction(self) -> str | None:
        if self.off > self.on:
            return f"off is {self.off:g}, which is above on, {self.on:g}"
        return None


class Hysteresis(Processor[HysteresisParameters]):
    """Two thresholds, so that a score that trembles about one of them is one action and not many.

    The circuit is Schmitt's (O. H. Schmitt, *A thermionic trigger*, Journal of Scientific Instruments 15, 1938). Each
    label has a trigger of its own: with thresholds of a half and more, at most one is on, scores summing to one.
    """

    name: ClassVar[str] = "hysteresis"
    summary: ClassVar[str] = "tells when an action begins and when it ends"
    makes_events: ClassVar[bool] = True

    def reset(self) -> None:
        self._time_s = -math.inf
        self._open = np.zeros(len(self.labels), dtype=bool)
        self._start_s = np.zeros(len(self.labels))
        self._peak = np.zeros(len(self.labels))

    def see(self, observation: Observation, events: list[Event]) -> tuple[Observation, list[Event]]:
        told = list(events)
        if observation.time_s - self._time_s > self.parameters.gap_s:
            told += self._close(self._open, self._time_s)
        scores = observation.scores
        told += self._close(self._open & (scores < self.parameters.off), observation.time_s)
        begun = ~self._open & (scores >= self.parameters.on)
        self._start_s[begun] = observation.time_s
        self._peak[begun] = scores[begun]
        self._open |= begun
        self._peak[self._open] = np.maximum(self._peak, scores)[self._open]
        told += [self._event(label, None) for label in np.flatnonzero(begun).tolist()]
        self._time_s = observation.time_s
        return observation, told

    def _close(self, which: NDArray[np.bool_], end_s: float) -> list[Event]:
        ended = [self._event(label, end_s) for label in np.flatnonzero(which).tolist()]
        self._open &= ~which
        return ended

    def _event(self, label: int, end_s: float | None) -> Event:
        start_s, peak = float(self._start_s[label]), float(self._peak[label])
        return Event(self.name, self.labels[label], label, start_s, end_s, peak)

    def end(self, events: list[Event]) -> list[Event]:
        return [*events, *self._close(self._open, self._time_s)]

    def dump(self) -> State:
        if self._time_s == -math.inf:
            return {}
        labels = np.flatnonzero(self._open).tolist()
        return {"time_s": self._time_s, "open": [[i, float(self._start_s[i]), float(self._peak[i])] for i in labels]}

    def load(self, state: Mapping[str, Any]) -> None:
        self.reset()
        if not state:
            return
        self._time_s = float(state["time_s"])
        for label, start_s, peak in state["open"]:
            self._open[label], self._start_s[label], self._peak[label] = True, start_s, peak
