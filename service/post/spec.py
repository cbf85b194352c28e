"""Which processors a chain has, and how: `ema:tau_s=0.8,hysteresis:on=0.6:off=0.4`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Self

from pydantic import JsonValue, ValidationError

from service.errors import MalformedRequest
from service.post.ema import Ema, EmaParameters
from service.post.hysteresis import Hysteresis, HysteresisParameters
from service.post.min_length import MinLength, MinLengthParameters
from service.post.processor import Parameters, Processor, plain
from service.post.repetitions import Repetitions, RepetitionsParameters

KNOWN: Mapping[str, tuple[type[Processor[Any]], type[Parameters]]] = {
    Ema.name: (Ema, EmaParameters),
    Hysteresis.name: (Hysteresis, HysteresisParameters),
    MinLength.name: (MinLength, MinLengthParameters),
    Repetitions.name: (Repetitions, RepetitionsParameters),
}
"""Every processor by its name, with what its parameters are."""

_NAME = "name"


@dataclass(frozen=True, slots=True)
class Spec:
    """What a chain is made of: names and parameters, checked. Made by `parse` or `of_json`; equal if they say the same.

    The text needs no quotes in a shell and no escapes in a URL: processors are divided by commas, and each is a name
    with parameters `:name=value` that differ from the defaults.
    """

    links: tuple[tuple[str, Parameters], ...]

    @classmethod
    def parse(cls, text: str) -> Self:
        """Reads the text.

        Raises:
            MalformedRequest: it cannot be read, or names what there is not; the advice says what there is.
        """
        return cls._of(_read(part) for part in text.split(","))

    @classmethod
    def of_json(cls, value: Any) -> Self:
        """Reads what `json` wrote, or the text.

        Args:
            value: a list of objects, each the `name` of a processor and its parameters.

        Raises:
            MalformedRequest: as `parse` does.
        """
        if isinstance(value, str):
            return cls.parse(value)
        if not isinstance(value, list) or not all(isinstance(one, dict) and _NAME in one for one in value):
            raise MalformedRequest("post-processors are a list of objects, each with a name", _there_are())
        links = [dict(one) for one in value]
        return cls._of((str(link.pop(_NAME)), link) for link in links)

    @classmethod
    def _of(cls, links: Iterable[tuple[str, Mapping[str, object]]]) -> Self:
        made: dict[str, Parameters] = {}
        for name, given in links:
            if name not in KNOWN:
                raise MalformedRequest(f"there is no post-processor {name[:40]!r}", _there_are())
            if name in made:
                raise MalformedRequest(f"the post-processor {name!r} is named twice", "Name each once.")
            makers = [one for one in made if KNOWN[one][0].makes_events]
            if KNOWN[name][0].needs_events and not makers:
                raise MalformedRequest(
                    f"before {name!r} nothing makes events", f"Put {_or(_makers())} before it, or leave it out."
                )
            made[name] = _checked(name, given)
        if not made:
            raise MalformedRequest("no post-processor is named", _there_are())
        return cls(tuple(made.items()))

    def __str__(self) -> str:
        """The text, every parameter said."""
        return ",".join(
            ":".join([name, *(f"{key}={plain(value)}" for key, value in parameters)]) for name, parameters in self.links
        )

    @property
    def needs_motion(self) -> bool:
        """Whether a processor is no use without motion features."""
        return any(KNOWN[name][0].needs_motion for name, _ in self.links)

    def json(self) -> list[dict[str, JsonValue]]:
        """The same as JSON has it, every parameter said."""
        return [{_NAME: name, **parameters.model_dump()} for name, parameters in self.links]


def _read(part: str) -> tuple[str, dict[str, object]]:
    """Reads one processor of the text."""
    name, *pairs = (one.strip() for one in part.split(":"))
    given: dict[str, object] = {}
    for pair in pairs:
        key, equals, value = (one.strip() for one in pair.partition("="))
        if not equals:
            raise MalformedRequest(
                f"{pair[:40]!r} of {name[:40]!r} is not a parameter", "Write name=value after each colon."
            )
        if key in given:
            raise MalformedRequest(f"{name}: {key} is given twice", "Give it once.")
        given[key] = value
    return name, given


def _checked(name: str, given: Mapping[str, object]) -> Parameters:
    kind = KNOWN[name][1]
    ranges = "; ".join(f"{one} ({words})" for one, words in kind.ranges().items())
    advice = f"{name} has {ranges}."
    for key in given:
        if key not in kind.model_fields:
            raise MalformedRequest(f"{name} has no parameter {key[:40]!r}", advice)
    try:
        parameters = kind.model_validate(given)
    except ValidationError as error:
        fault = error.errors()[0]
        key = str(fault["loc"][0])
        least, most = kind.bounds(key)
        raise MalformedRequest(
            f"{name}: {key} is {str(fault['input'])[:40]}, which is not a number from {plain(least)} to {plain(most)}",
            advice,
        ) from error
    contradiction = parameters.contradiction()
    if contradiction:
        raise MalformedRequest(f"{name}: {contradiction}", advice)
    return parameters


def _makers() -> list[str]:
    return [name for name, (kind, _) in KNOWN.items() if kind.makes_events]


def _there_are() -> str:
    named = (f"{name} ({', '.join(parameters.model_fields)})" for name, (_, parameters) in KNOWN.items())
    return f"There are {', '.join(named)}; write them as in ema:tau_s=0.8,hysteresis:on=0.6."


def _or(names: Iterable[str]) -> str:
    return " or ".join(names)
