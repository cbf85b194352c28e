"""`kinema predict`: many clips, answered side by side and told in their order."""

from __future__ import annotations

import asyncio
import csv
import json
import math
import sys
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from service.errors import KinemaError
from service.http.schemas import PredictResponse
from service.inference.card import Card
from service.pipeline import Answer, Query
from service.post.event import Event
from service.runtime import Options, Runtime
from service.video.encoded import EncodedClip

Form = Literal["table", "json", "csv"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """A clip with its answer, or with what was wrong with it."""

    clip: Path
    answer: Answer | None
    error: KinemaError | None


class Teller(Protocol):
    """Tells outcomes in one form, in the order of the clips."""

    def tell(self, outcome: Outcome, card: Card) -> None:
        """Tells one outcome."""

    def end(self) -> None:
        """Called after the last."""


def predict_all(clips: Iterable[Path], options: Options, form: Form, query: Query) -> bool:
    """Answers clips and tells each on standard output; errors in tables and CSV go to standard error.

    Returns:
        Whether every clip was answered.

    Raises:
        BundleError: the bundle cannot be served.
    """
    return asyncio.run(_predict_all(list(clips), options, _TELLERS[form](), query))


async def _predict_all(clips: list[Path], options: Options, teller: Teller, query: Query) -> bool:
    side_by_side = 2 * options.lanes.short
    # Nobody is refused here: clips are taken in turn.
    runtime = Runtime(replace(options, max_in_flight=side_by_side, backlog_s=math.inf))
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
        disable=len(clips) < 2 or not sys.stderr.isatty(),
    )
    good = True
    try:
        await runtime.start()
        assert runtime.card is not None
        with bar:
            shown = bar.add_task("clips", total=len(clips))
            async for outcome in _outcomes(runtime, clips, query, side_by_side):
                good = good and outcome.error is None
                teller.tell(outcome, runtime.card)
                bar.advance(shown)
        teller.end()
    finally:
        await runtime.stop()
    return good


async def _outcomes(runtime: Runtime, clips: list[Path], query: Query, ahead: int) -> AsyncIterator[Outcome]:
    """Outcomes in the order of the clips, with `ahead` clips worked on at a time."""
    running: list[asyncio.Task[Outcome]] = []
    for clip in clips:
        running.append(asyncio.create_task(_outcome(runtime, clip, query)))
        if len(running) == ahead:
            yield await running.pop(0)
    for task in running:
        yield await task


async def _outcome(runtime: Runtime, clip: Path, query: Query) -> Outcome:
    try:
        with EncodedClip.read(clip) as encoded:
            return Outcome(clip, await runtime.answer(encoded, query), None)
    except KinemaError as error:
        return Outcome(clip, None, error)


class _TableTeller:
    """For people: one table at the end, and what to know about its rows."""

    def __init__(self) -> None:
        self._notes: list[str] = []
        self._table = Table("clip", "action", "score", "looked at", box=None, pad_edge=False)
        self._events = Table("clip", "event", "from", "to", "peak", "count", box=None, pad_edge=False)
        self._post = False

    def tell(self, outcome: Outcome, card: Card) -> None:
        if outcome.answer is None:
            detail = outcome.error.detail if outcome.error else ""
            self._table.add_row(str(outcome.clip), "[red]failed[/red]", "", detail)
            return
        times = outcome.answer.decoded.times_s
        looked = f"{times[0]:.2f}-{times[-1]:.2f} s"
        self._notes += [f"{outcome.clip}: {warning}" for warning in outcome.answer.warnings]
        for index, one in enumerate(outcome.answer.predictions):
            first = index == 0
            score = f"[bold]{one.score:.3f}[/bold]" if first else f"{one.score:.3f}"
            self._table.add_row(str(outcome.clip) if first else "", one.label, score, looked if first else "")
        self._tell_events(str(outcome.clip), outcome.answer.events)

    def _tell_events(self, clip: str, events: tuple[Event, ...] | None) -> None:
        if events is None:
            return
        self._post = True
        for index, one in enumerate(events):
            count = "" if one.count is None else str(one.count)
            end = "" if one.end_s is None else f"{one.end_s:.2f} s"
            row = one.label, f"{one.start_s:.2f}", end, f"{one.peak:.3f}", count
            self._events.add_row("" if index else clip, *row)
        if not events:
            self._events.add_row(clip, "none", "", "", "", "")

    def end(self) -> None:
        Console().print(self._table)
        if self._post:
            Console().print()
            Console().print(self._events)
        for note in self._notes:
            print(note, file=sys.stderr)


class _JsonTeller:
    """For programs: an object a line; a clip's is what /predict would answer."""

    def tell(self, outcome: Outcome, card: Card) -> None:
        told: dict[str, Any] = {"clip": str(outcome.clip)}
        if outcome.answer is not None:
            told |= PredictResponse.of(outcome.answer, card, receive_s=0.0).model_dump()
        elif outcome.error is not None:
            told["error"] = {"detail": outcome.error.detail, "advice": outcome.error.advice}
        print(json.dumps(told), flush=True)

    def end(self) -> None:
        """All is told already."""


class _CsvTeller:
    """For spreadsheets: a row a prediction."""

    def __init__(self) -> None:
        self._writer = csv.writer(sys.stdout)
        self._writer.writerow(("clip", "rank", "label", "label_id", "score"))

    def tell(self, outcome: Outcome, card: Card) -> None:
        if outcome.answer is None:
            print(f"{outcome.clip}: {outcome.error.detail if outcome.error else ''}", file=sys.stderr)
            return
        for rank, one in enumerate(outcome.answer.predictions, start=1):
            self._writer.writerow((outcome.clip, rank, one.label, one.label_id, f"{one.score:.6f}"))

    def end(self) -> None:
        """All is told already."""


_TELLERS: dict[Form, type[_TableTeller] | type[_JsonTeller] | type[_CsvTeller]] = {
    "table": _TableTeller,
    "json": _JsonTeller,
    "csv": _CsvTeller,
}
