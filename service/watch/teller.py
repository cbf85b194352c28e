"""Tells what is seen: a live line for people, JSON lines for programs."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from typing import Protocol

from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.text import Text

from service.watch import facts
from service.watch.answer import Event, Prediction

_BAR = 12
_BEST = 3


class Teller(Protocol):
    """Tells facts as they come to be."""

    def tell(self, fact: facts.Fact) -> None:
        """Tells one."""

    def end(self) -> None:
        """Called after the last."""


class JsonTeller:
    """An object a line on standard output: docs/watch.md has them all.

    Args:
        gone: called once when nobody reads them any more.
    """

    def __init__(self, gone: Callable[[], None]) -> None:
        self._gone = gone
        self._closed = False

    def tell(self, fact: facts.Fact) -> None:
        if self._closed:
            return
        try:
            print(json.dumps(facts.as_object(fact)), flush=True)
        except BrokenPipeError:
            self._closed = True
            # Python flushes once more at its end, which would fail again.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            self._gone()

    def end(self) -> None:
        """All is told already."""


class LineTeller:
    """One line that changes, and a line that stays for each event and whatever else happens.

    Args:
        console: where to.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = Live(console=console, refresh_per_second=8, transient=True)
        self._live.start()

    def tell(self, fact: facts.Fact) -> None:
        match fact:
            case facts.Seen():
                self._live.update(_line(fact))
            case facts.Lost():
                self._live.update(Text(f"next try in {fact.retry_in_s:.1f} s", "dim"))
                self._print("yellow", f"{fact.source} is lost: {fact.detail} ({fact.attempt})")
            case _:
                self._print(*_words(fact))

    def end(self) -> None:
        self._live.stop()

    def _print(self, style: str, text: str) -> None:
        self._live.console.print(f"[{style}]{escape(text)}[/{style}]", highlight=False)


def _words(fact: facts.Fact) -> tuple[str, str]:
    """What is told of a fact in a line that stays, and in which colour."""
    match fact:
        case facts.Opened():
            fps = "" if fact.fps is None else f", {fact.fps:g} fps"
            return "dim", f"{fact.source}: {fact.width}x{fact.height}{fps}, {fact.codec}"
        case facts.Reset():
            return "dim", f"{_clock(fact.time_s)} begins with an empty memory: {fact.reason}"
        case facts.Happened():
            return "bold", _event(fact.event)
        case facts.Saved():
            return "dim", f"{fact.path}: {fact.frames} frames, {fact.end_s - fact.start_s:.1f} s"
        case facts.Trouble():
            return "red", f"{fact.part}: {fact.detail} ({fact.lost} lost so far)"
        case facts.Ended():
            return "dim", f"{fact.reason}: {fact.frames} frames, {fact.missed} missed, {fact.events} events"
    raise AssertionError(fact)


def _event(event: Event) -> str:
    times = "" if event.count is None else f", {event.count} times"
    if event.end_s is None:
        return f"{_clock(event.start_s)} {event.label}{times}"
    lasted = f"for {event.end_s - event.start_s:.1f} s, at most {event.peak:.2f}"
    return f"{_clock(event.start_s)} {event.label}{times} {lasted}"


def _line(seen: facts.Seen) -> Text:
    answer = seen.answer
    line = Text(no_wrap=True, overflow="ellipsis")
    line.append(f"{_clock(answer.time_s)}  ", "dim")
    for index, one in enumerate((answer.smoothed or answer.predictions)[:_BEST]):
        line.append(_score(one), "bold" if index == 0 else "")
    line.append(f"camera {answer.camera_fps:.1f} fps  model {answer.model_fps:.1f} fps  ", "cyan")
    line.append(f"{answer.total_ms:.0f} ms  ", "cyan")
    dropped = seen.missed + answer.dropped
    line.append(f"{dropped} dropped", "yellow" if dropped else "dim")
    return line


def _score(one: Prediction) -> str:
    full = round(one.score * _BAR)
    return f"{one.label} {one.score:.2f} {'█' * full}{'░' * (_BAR - full)}  "


def _clock(seconds: float) -> str:
    minutes, rest = divmod(max(0.0, seconds), 60)
    hours, minutes = divmod(int(minutes), 60)
    return f"{hours}:{minutes:02d}:{rest:04.1f}"
