"""What was found in a folder, for people."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from model.data.dataset import DataError
from model.folder.advice import advise, lengths_s
from model.folder.candidate import Skipped
from model.folder.folds import split
from model.folder.gather import Found
from model.folder.sources import Sources
from model.folder.words import count, readable

# Of files left out for one reason, so many are named.
_NAMED = 5


def show(found: Found, sources: Sources, window_s: float, console: Console) -> None:
    """Prints what was found: the layout, the classes, the sources, what was left out, and what would help.

    Args:
        found: the clips.
        sources: what each was cut from.
        window_s: seconds that the model looks at in one window.
        console: where to.
    """

    def say(sentence: str, style: str = "") -> None:
        console.print(escape(readable(sentence)), style=style, highlight=False, soft_wrap=True)

    say(f"Found {found.layout}.")
    console.print(_classes(found, sources))
    say(sources.sentence)
    for sentence in (*_folds(found, sources), *map(_sentence, found.notes)):
        say(sentence)
    for line in _left_out(found.skipped):
        say(line)
    advice = advise(found, sources, window_s)
    if advice:
        say("\nWhat would help:", "bold")
    for sentence in advice:
        say(f"- {sentence}")


def _sentence(note: str) -> str:
    return f"{note[0].upper()}{note[1:]}."


def _folds(found: Found, sources: Sources) -> list[str]:
    try:
        folds = split(found.clips, sources)
    except DataError as error:
        return [f"They cannot be cross-validated: {error.detail}. {error.advice}"]
    return [folds.sentence, *folds.warnings]


def _classes(found: Found, sources: Sources) -> Table:
    clips, seconds_s = Counter[str](), Counter[str]()
    of: defaultdict[str, set[str]] = defaultdict(set)
    for clip, source, length_s in zip(found.clips, sources.of, lengths_s(found), strict=True):
        clips[clip.label] += 1
        of[clip.label].add(source)
        seconds_s[clip.label] += length_s or 0.0  # type: ignore[assignment]
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in ("class", "clips", "sources", "seconds"):
        table.add_column(column, justify="left" if column == "class" else "right")
    for label in sorted(clips):
        table.add_row(escape(label), f"{clips[label]:,}", f"{len(of[label]):,}", f"{seconds_s[label]:,.1f}")
    table.add_section()
    every = len(set(sources.of))
    table.add_row(f"{len(clips)} classes", f"{clips.total():,}", f"{every:,}", f"{sum(seconds_s.values()):,.1f}")
    return table


def _left_out(skipped: Iterable[Skipped]) -> list[str]:
    by_reason: defaultdict[str, list[Skipped]] = defaultdict(list)
    for one in skipped:
        by_reason[one.reason].append(one)
    if not by_reason:
        return []
    number = sum(map(len, by_reason.values()))
    lines = [f"\nLeft out: {count(number, 'file')}."]
    shown = 0
    for reason, files in by_reason.items():
        named = files if len(files) <= _NAMED else files[: _NAMED - 1]
        lines += [f"- {one.path}: {reason}" for one in named]
        if len(files) > len(named):
            lines.append(f"  and {len(files) - len(named):,} more for the same reason")
        shown += len(files)
        if len(lines) > 8 * _NAMED and shown < number:
            return [*lines, f"- and {number - shown:,} more for other reasons"]
    return lines
