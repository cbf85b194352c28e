"""`min_length`: short events are withheld."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any, ClassVar

from pydantic import Field, JsonValue

from service.post.event import Event
from service.post.observation import Observation
from service.post.processor import Parameters, Processor, State


class MinLengthParameters(Parameters):
    """How short is too short."""

    seconds: float = Field(0.5, ge=0, le=600, description="events that last less are not told")


class MinLength(Processor[MinLengthParameters]):
    """Withholds events of the processors before it until they have lasted long enough; shorter ones are never told.

    So what it tells comes late by that time; `start_s` is still when the event began. Removing runs below a length is
    the usual step after thresholds in finding speech: G. Gelly and J.-L. Gauvain, *Minimum Word Error Training of
    RNN-based Voice Activity Detection*, Interspeech 2015.
    """

    name: ClassVar[str] = "min_length"
    summary: ClassVar[str] = "withholds events that are too short"
    needs_events: ClassVar[bool] = True

    def reset(self) -> None:
        # Events that go on, told or not. A processor has at most one of each label, which bounds both.
        self._withheld: dict[tuple[str, int], Event] = {}
        self._told: set[tuple[str, int]] = set()

    def see(self, observation: Observation, events: list[Event]) -> tuple[Observation, list[Event]]:
        told = [one for event in events for one in self._take(event)]
        for key, event in list(self._withheld.items()):
            peak = max(event.peak, float(observation.scores[event.label_id]))
            self._withheld[key] = replace(event, peak=peak)
            if observation.time_s - event.start_s >= self.parameters.seconds:
                self._told.add(key)
                told.append(self._withheld.pop(key))
        return observation, told

    def _take(self, event: Event) -> list[Event]:
        """What is to be told at once where a processor before this one tells an event."""
        key = event.processor, event.label_id
        if key in self._told:
            if event.end_s is not None:
                self._told.remove(key)
            return [event]
        if event.end_s is None:
            self._withheld[key] = event
            return []
        self._withheld.pop(key, None)
        long_enough = event.end_s - event.start_s >= self.parameters.seconds
        # Steps may be so far apart that it is long enough only at its end; it is told that it began all the same.
        return [replace(event, end_s=None), event] if long_enough else []

    def end(self, events: list[Event]) -> list[Event]:
        return [one for event in events for one in self._take(event)]

    def dump(self) -> State:
        withheld: list[JsonValue] = [asdict(event) for event in self._withheld.values()]
        return {"withheld": withheld, "told": [list(key) for key in sorted(self._told)]}

    def load(self, state: Mapping[str, Any]) -> None:
        self.reset()
        events = [Event(**fields) for fields in state["withheld"]]
        self._withheld = {(event.processor, event.label_id): event for event in events}
        self._told = {(str(name), int(label)) for name, label in state["told"]}
