"""What can be said in numbers of what happened inside a head: the sentences under the pictures rest on these."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from model.explore.witness import Trace, Values

Number = TypeVar("Number", np.float32, np.float64)

OPEN, SHUT = 0.9, 0.1
"""From where a gate counts as open, and up to where as shut."""


@dataclass(frozen=True)
class GateFacts:
    """How open a gate was over a window.

    Attributes:
        mean: over all units and steps.
        open, shut: the shares of units and steps at which it was open, and shut.
        widest: the step at which it was open the most, counted from 0.
    """

    mean: float
    open: float
    shut: float
    widest: int


@dataclass(frozen=True)
class UnitFacts:
    """How one number in the memory went.

    Attributes:
        unit: its index, counted from 0.
        first, last: what it was after the first step that was read, and after the last.
        span: its highest value less its lowest, the 0 before the first step included.
    """

    unit: int
    first: float
    last: float
    span: float


def gate(values: Values) -> GateFacts:
    """Of a gate, float32 [T, ...]."""
    by_step = values.reshape(len(values), -1).mean(1)
    return GateFacts(
        float(values.mean()), float((values > OPEN).mean()), float((values < SHUT).mean()), int(by_step.argmax())
    )


def half_lives(forget_gate: Values) -> NDArray[np.float64]:
    """After how many steps half is left of what each unit remembers, if nothing is added: float64 [units].

    From the product of its forget gate over the window, float32 [T, ...]; infinite where the gate never shuts at all.
    """
    logs = np.log(np.maximum(forget_gate.reshape(len(forget_gate), -1).astype(np.float64), 1e-12)).mean(0)
    with np.errstate(divide="ignore"):
        return np.asarray(math.log(2) / np.maximum(-logs, 0), dtype=np.float64)


def units(values: Values) -> Values:
    """One row a step, [T, units]; what is a map, [T, channels, rows, columns], by the mean of each channel."""
    return values if values.ndim == 2 else values.mean(tuple(range(2, values.ndim)), dtype=np.float32)


def in_reading_order(trace: Trace, values: NDArray[Number]) -> NDArray[Number]:
    """The same from the first step that was read to the last."""
    return values[::-1] if trace.backwards else values


def order(trace: Trace) -> NDArray[np.int64]:
    """The units from the one whose memory is highest when all is read to the one whose is lowest: int64 [units]."""
    return np.asarray(np.argsort(-in_reading_order(trace, units(trace.cell))[-1], kind="stable"), dtype=np.int64)


def changed_most(trace: Trace, count: int = 3) -> tuple[UnitFacts, ...]:
    """The units whose memory went the furthest, the furthest first."""
    cell = in_reading_order(trace, units(trace.cell))
    spans = np.maximum(cell.max(0), 0) - np.minimum(cell.min(0), 0)
    best = np.argsort(-spans, kind="stable")[:count]
    return tuple(UnitFacts(int(one), float(cell[0, one]), float(cell[-1, one]), float(spans[one])) for one in best)


def busiest(trace: Trace) -> int | None:
    """The step, counted from 0, at which the memory changed most of all after the first one read; None of one step."""
    cell = in_reading_order(trace, trace.cell).reshape(len(trace.cell), -1)
    if len(cell) < 2:
        return None
    step = 1 + int(np.linalg.norm(np.diff(cell, axis=0), axis=1).argmax())
    return len(cell) - 1 - step if trace.backwards else step


def spread_over(shares: Values) -> float:
    """Over how many places shares that sum to one are spread: e to their entropy, from 1 to all of them."""
    given = shares[shares > 0].astype(np.float64)
    return float(np.exp(-(given * np.log(given)).sum()))


def lead_since(scores: NDArray[np.float64]) -> int:
    """Since which step, counted from 0, the last answer has led without a break; scores [T, C]."""
    leaders = scores.argmax(1)
    others = np.flatnonzero(leaders != leaders[-1])
    return int(others[-1]) + 1 if len(others) else 0


def memory_map(trace: Trace) -> Values:
    """How much is remembered at each position: the norm of C over its channels, float32 [T, rows, columns]."""
    return np.asarray(np.linalg.norm(trace.cell, axis=1), dtype=np.float32)
