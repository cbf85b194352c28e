"""What all post-processors have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, JsonValue

from service.post.event import Event
from service.post.observation import Observation

State = dict[str, JsonValue]
"""What a processor remembers, as JSON has it."""


class Parameters(BaseModel):
    """The parameters of a processor: each field a number with a default, a range and a description."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @classmethod
    def ranges(cls) -> dict[str, str]:
        """By parameter, its range and its default in words."""
        return {
            name: "{} to {}, default {}".format(*map(plain, (*cls.bounds(name), cls.model_fields[name].default)))
            for name in cls.model_fields
        }

    @classmethod
    def bounds(cls, name: str) -> tuple[float, float]:
        """The least and the highest value of a parameter."""
        stated = cls.model_json_schema()["properties"][name]
        return float(stated["minimum"]), float(stated["maximum"])

    def contradiction(self) -> str | None:
        """What is wrong with these values together, in words."""
        return None


def plain(value: float) -> str:
    """A number as a person writes it, all its digits kept."""
    return repr(float(value)).removesuffix(".0")


P = TypeVar("P", bound=Parameters)


class Processor(ABC, Generic[P]):
    """One link of a chain. It belongs to one stream and one thread; each step costs the same.

    Args:
        parameters: its parameters.
        labels: the names of the C actions.
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    """What it does, in a sentence."""
    needs_events: ClassVar[bool] = False
    """Whether it is about the events of those before it, so that it is no use without any."""
    makes_events: ClassVar[bool] = False
    needs_motion: ClassVar[bool] = False

    def __init__(self, parameters: P, labels: Sequence[str]) -> None:
        self.parameters = parameters
        self.labels = tuple(labels)
        self.reset()

    @abstractmethod
    def reset(self) -> None:
        """Forgets everything."""

    @abstractmethod
    def see(self, observation: Observation, events: list[Event]) -> tuple[Observation, list[Event]]:
        """Takes a step.

        Args:
            observation: as the processor before it hands it on.
            events: what those before it tell of this step.

        Returns:
            What the next one is shown, and what is told so far.
        """

    @abstractmethod
    def end(self, events: list[Event]) -> list[Event]:
        """Closes what is open. `events` are those that the processors before it close."""

    @abstractmethod
    def dump(self) -> State:
        """What it remembers; its size is bounded."""

    @abstractmethod
    def load(self, state: Mapping[str, Any]) -> None:
        """Takes what `dump` gave in the place of what it remembers.

        Raises:
            LookupError, TypeError, ValueError: it is nothing that `dump` gave.
        """
