"""A row of processors at work on one stream."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from service.errors import MalformedRequest
from service.post.event import Event
from service.post.observation import Observation
from service.post.processor import State
from service.post.spec import KNOWN, Spec

DEFAULT = Spec.parse("ema")
"""The chain of a stream of which nothing else was asked."""

_FORMAT = 1


class Chain:
    """Processors, each shown what the one before it hands on. For one stream or clip, and one thread.

    A step costs the same however many came before, and what is remembered does not grow with them.

    Args:
        spec: which processors.
        labels: the names of the C actions, in the order of the scores.
    """

    def __init__(self, spec: Spec, labels: Sequence[str]) -> None:
        self.spec = spec
        self.labels = tuple(labels)
        self._processors = [KNOWN[name][0](parameters, self.labels) for name, parameters in spec.links]
        self._time_s = -math.inf
        self._scores: NDArray[np.float64] | None = None

    @classmethod
    def parse(cls, text: str, labels: Sequence[str]) -> Self:
        """A chain of the processors that a text names.

        Raises:
            MalformedRequest: as `Spec.parse` does.
        """
        return cls(Spec.parse(text), labels)

    @property
    def scores(self) -> NDArray[np.float64] | None:
        """The scores after the last step as the chain left them, float64 [C]; None before the first step."""
        return self._scores

    def see(self, observation: Observation) -> list[Event]:
        """Takes a step.

        One that is not later than the step before, or of which a score is no finite number, is passed by.

        Returns:
            What began, ended, or was counted at this step.

        Raises:
            ValueError: there are not as many scores as labels.
        """
        if observation.scores.shape != (len(self.labels),):
            raise ValueError(f"scores of shape {observation.scores.shape} for {len(self.labels)} labels")
        if not (observation.time_s > self._time_s and np.isfinite(observation.scores).all()):
            return []
        events: list[Event] = []
        for processor in self._processors:
            observation, events = processor.see(observation, events)
        self._time_s, self._scores = observation.time_s, observation.scores
        return events

    def end(self) -> list[Event]:
        """Closes what is open, at the time of the last step. What comes after begins anew."""
        events: list[Event] = []
        for processor in self._processors:
            events = processor.end(events)
        return events

    def reset(self) -> None:
        """Forgets everything, and closes nothing."""
        self._time_s, self._scores = -math.inf, None
        for processor in self._processors:
            processor.reset()

    def dump(self) -> State:
        """All that it remembers, to be sent as JSON and loaded by a chain of the same spec and labels elsewhere."""
        seen = None if self._scores is None else {"time_s": self._time_s, "scores": self._scores.tolist()}
        return {
            "format": _FORMAT,
            "post": str(self.spec),
            "labels": len(self.labels),
            "seen": seen,
            "states": [processor.dump() for processor in self._processors],
        }

    def load(self, state: Mapping[str, Any]) -> None:
        """Takes what `dump` gave in the place of what it remembers.

        Raises:
            MalformedRequest: it was dumped by a chain of other processors, for other labels, or is nothing of the kind;
                nothing is remembered then.
        """
        self.reset()
        try:
            self._load(state)
        except (LookupError, TypeError, ValueError) as error:
            self.reset()
            raise MalformedRequest(
                "this is no state of a chain of post-processors", "Begin the stream anew."
            ) from error

    def _load(self, state: Mapping[str, Any]) -> None:
        theirs = state["format"], state["post"], state["labels"]
        ours = _FORMAT, str(self.spec), len(self.labels)
        if theirs != ours:
            raise MalformedRequest(
                f"the state is that of {theirs[1]} for {theirs[2]} labels in format {theirs[0]}, "
                f"this chain is {ours[1]} for {ours[2]} labels in format {ours[0]}",
                "Load it into a chain of the same post-processors, or begin the stream anew.",
            )
        for processor, remembered in zip(self._processors, state["states"], strict=True):
            processor.load(remembered)
        seen = state["seen"]
        if seen is not None:
            self._time_s = float(seen["time_s"])
            scores = np.asarray(seen["scores"], dtype=np.float64)
            self._scores = scores.reshape(len(self.labels))
