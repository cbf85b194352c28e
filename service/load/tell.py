"""Tells what was found: a table for people, JSON for programs, a bar while it is measured."""

from __future__ import annotations

import json
import sys
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from service.load.report import Report
from service.load.step import Step


class Bar:
    """Shows on standard error how far a step is; nothing where that is no terminal. Use it in a `with` block."""

    def __init__(self) -> None:
        columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
        console = Console(stderr=True)
        self._progress = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
        self._task = self._progress.add_task("")

    def begin(self, what: str, seconds: float | None) -> None:
        """Begins something that takes about so long, or nobody knows how long."""
        self._progress.reset(self._task, description=what, total=seconds)

    def advance(self, seconds: float) -> None:
        """Says how long ago it began."""
        self._progress.update(self._task, completed=seconds)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()


def tell(report: Report, as_json: bool) -> None:
    """Tells a report on standard output, and its notes on standard error."""
    if as_json:
        print(json.dumps(_object(report)))
    else:
        if report.steps:
            Console().print(_table(report))
        if report.alone_ms is not None:
            units = report.noun if report.wishes is None else "answers"
            print(f"\nWithout load, {units} take {report.alone_ms:.0f} ms.")
        print(report.verdict)
    for note in report.notes:
        print(note, file=sys.stderr)


def _table(report: Report) -> Table:
    table = Table(box=None, pad_edge=False, collapse_padding=True)
    for name in (
        "offered/s" if report.wishes is None else report.noun,
        "answered/s",
        "p50 ms",
        "p95 ms",
        "p99 ms",
        "refused",
        "failed",
    ):
        table.add_column(name, justify="right")
    table.add_column("")
    for step in report.steps:
        fault = report.goal.fault(step)
        table.add_row(
            report.amount(step),
            f"{step.answered_per_s:.2f}",
            *(_milliseconds(step, percent) for percent in (50, 95, 99)),
            str(step.refused),
            str(step.failed),
            fault or "carried",
            style="bold" if step is report.carried else "",
        )
    return table


def _milliseconds(step: Step, percent: float) -> str:
    value = step.latency_ms(percent)
    return "-" if value is None else f"{'>' if step.cut_short else ''}{value:.0f}"


def _object(report: Report) -> dict[str, Any]:
    carried = report.carried
    return {
        "url": report.url,
        "clips": list(report.clips),
        "target": {"p95_ms": report.goal.p95_s * 1e3, "errors_percent": report.goal.errors * 100},
        **(report.wishes or {"arrivals": report.pace.arrivals, "connections": report.pace.connections}),
        "alone_p50_ms": _rounded(report.alone_ms),
        "steps": [_step(report, step) for step in report.steps],
        "carried": carried
        and {
            **_amount(report, carried),
            "answered_per_s": round(carried.answered_per_s, 3),
            "p95_ms": _rounded(carried.latency_ms(95)),
        },
        "verdict": report.verdict,
        "notes": report.notes,
        "interrupted": report.interrupted,
    }


def _step(report: Report, step: Step) -> dict[str, Any]:
    return {
        **_amount(report, step),
        "seconds": round(step.seconds, 3),
        "sent": step.sent,
        "answered": step.answered,
        "refused": step.refused,
        "failed": step.failed,
        "outcomes": dict(step.outcomes),
        "answered_per_s": round(step.answered_per_s, 3),
        "p50_ms": _rounded(step.latency_ms(50)),
        "p95_ms": _rounded(step.latency_ms(95)),
        "p99_ms": _rounded(step.latency_ms(99)),
        "send_lag_p95_ms": _rounded(step.lag_s * 1e3),
        "waited": step.waited,
        "cut_short": step.cut_short,
        "fault": report.goal.fault(step),
    }


def _amount(report: Report, step: Step) -> dict[str, float]:
    return {"rate": round(step.rate, 3)} if report.wishes is None else {report.noun: int(step.rate)}


def _rounded(milliseconds: float | None) -> float | None:
    return None if milliseconds is None else round(milliseconds, 3)
