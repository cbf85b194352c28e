"""A run of frames without a gap: what is remembered of it, step by step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from service.errors import StateRefused
from service.inference.card import Card, Evidence
from service.inference.postprocess import scores
from service.inference.session import Reading
from service.post.chain import Chain
from service.post.event import Event
from service.post.observation import Observation
from service.stream.memory import Arrays, Memory, Step
from service.video.look import Drawn

_VALUES = ("start_s", "moments", "skipped", "due", "last_s", "untold")


@dataclass(slots=True)
class Run:
    """Where one run of frames stands.

    Attributes:
        card: of the model.
        memory: what the head remembers.
        chain: makes events of what it says.
        start_s: the timestamp of moment 0.
        due: the moment at which the next answer is due.
        moments: how many have come until the frame looked at last.
        skipped: how many of them came before this run, which then begins later than the run of timestamps.
        last_s: the timestamp of the frame looked at last.
        untold: whether there are steps of which no answer tells.
        only: the first frame, encoded, until there is a step.
        held: what each kind of evidence was last seen as, by input of the recurrent graph.
        greys: the grey frames that the next flow starts from, by kind.
    """

    card: Card
    memory: Memory
    chain: Chain
    start_s: float
    due: float
    moments: int = 0
    skipped: int = 0
    last_s: float = 0.0
    untold: bool = False
    only: bytes | None = None
    held: dict[str, NDArray[Any]] = field(default_factory=dict)
    greys: dict[str, NDArray[np.uint8]] = field(default_factory=dict)

    def steps(self, moments: Sequence[int]) -> list[int]:
        """The steps of moments; -1 for the one from which the first flow is measured."""
        return [moment - self.skipped - self._anchors for moment in moments]

    @property
    def _anchors(self) -> int:
        return int(self.card.plan.anchored)

    def wanted(self, steps: Sequence[int]) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The kinds of which a frame's own picture is wanted, and those that need it as if the frame came again."""

        def due(cadence: int, among: Sequence[int]) -> bool:
            return any(step >= 0 and step % cadence == 0 for step in among)

        kinds = self.card.evidence
        # A frame shows the same however often it is looked at, but nothing has moved the second time.
        fresh = tuple(kind.name for kind in kinds if due(kind.cadence, steps[:1] if kind.flow else steps))
        return fresh, tuple(kind.name for kind in kinds if kind.flow and due(kind.cadence, steps[1:]))

    async def take(self, steps: Sequence[int], seen: Sequence[Step], time_s: float) -> list[Event]:
        """Takes the steps that one frame stands for.

        Args:
            steps: in order.
            seen: what the frame is to the model, and what it is when it is seen again.
            time_s: the frame's timestamp.

        Returns:
            What began, ended, or was counted.
        """
        reading: Reading | None = None
        for index, step in enumerate(steps):
            if step < 0:
                continue
            for kind in self.card.evidence:
                if step % kind.cadence == 0:
                    found = seen[1] if index and kind.flow else seen[0]
                    self.held |= {name: found[name] for name in kind.inputs}
            self.only, self.untold = None, True
            reading = await self.memory.take(dict(self.held))
        self.last_s = time_s
        return [] if reading is None else self.observe(reading)

    def observe(self, reading: Reading) -> list[Event]:
        """Shows the chain what the model says now; only the first time for each frame has an effect."""
        motion = next((kind.name for kind in self.card.evidence if kind.flow is not None), None)
        features = None if motion is None else self.held.get(motion)
        return self.chain.see(Observation(self.last_s, scores(reading.logits, self.card.temperature), features))

    def keep(self, drawn: Drawn) -> None:
        """Keeps the grey frames of a look."""
        flows = (kind.name for kind in self.card.evidence if kind.flow is not None)
        self.greys = {kind: drawn.place("grey", kind) for kind in flows}

    def dump(self) -> tuple[dict[str, Any], Arrays]:
        """All of it: plain values, and arrays by name."""
        values, arrays = self.memory.dump()
        arrays = {f"memory.{name}": value for name, value in arrays.items()}
        arrays |= {f"held.{name}": value for name, value in self.held.items()}
        arrays |= {f"grey.{name}": value for name, value in self.greys.items()}
        if self.only is not None:
            arrays["only"] = np.frombuffer(self.only, np.uint8)
        return {name: getattr(self, name) for name in _VALUES} | {
            "memory": values,
            "chain": self.chain.dump(),
        }, arrays

    @classmethod
    def load(
        cls, card: Card, memory: Memory, chain: Chain, values: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]
    ) -> Self:
        """What `dump` gave, as it was.

        Args:
            card: of the model.
            memory: an empty one, of the stream that goes on.
            chain: of the stream that goes on.
            values: plain values, as `dump` gave them.
            arrays: the same for arrays.

        Raises:
            StateRefused: it is of another model, or of a stream with another memory.
            MalformedRequest: it is of a stream with other post-processors.
        """
        chain.load(values["chain"])
        memory.load(values["memory"], _named(arrays, "memory."))
        run = cls(card, memory, chain, **{name: values[name] for name in _VALUES})
        run.held, run.greys = _named(arrays, "held."), _named(arrays, "grey.")
        run.only = arrays["only"].tobytes() if "only" in arrays else None
        run.check()
        return run

    def check(self) -> None:
        """Holds what is kept against the card: streams share batches, and none may bring what breaks one.

        Raises:
            StateRefused: it is of another model, or of no stream.
        """
        looked, steps = self.moments > self.skipped, self.moments - self.skipped - self._anchors
        flows = {kind.name: ((kind.flow.size,) * 2, "uint8") for kind in self.card.evidence if kind.flow and looked}
        forms = {name: form for kind in self.card.evidence for name, form in _forms(self.card, kind).items()}
        fits = _formed(self.greys) == flows and _formed(self.held) == (forms if steps > 0 else {})
        aged = min(1, steps) <= self.memory.age <= max(0, steps)
        if not (fits and aged and self.skipped <= self.moments and (self.only is None) == (steps > 0)):
            raise StateRefused(
                "what the state holds does not fit the model's evidence",
                "Send what GET of the state gave, unchanged.",
            )


def _forms(card: Card, kind: Evidence) -> Mapping[str, tuple[tuple[int, ...], str]]:
    if card.whole is not None:
        return {kind.name: ((kind.size, kind.size, 3), "uint8")}
    return {name: (shape, "float32") for name, shape in kind.inputs.items()}


def _formed(arrays: Mapping[str, NDArray[Any]]) -> Mapping[str, tuple[tuple[int, ...], str]]:
    return {name: (value.shape, str(value.dtype)) for name, value in arrays.items()}


def _named(arrays: Mapping[str, NDArray[Any]], start: str) -> dict[str, NDArray[Any]]:
    return {name.removeprefix(start): value for name, value in arrays.items() if name.startswith(start)}
