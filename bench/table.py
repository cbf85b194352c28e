"""`python -m bench.table FILE...`: the tables of a comparison in Markdown, of one file or of several together."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer

from bench.errors import BenchError
from bench.finding import Case, Record, merged
from bench.measurement import Spread
from bench.scenario import CROWD
from bench.summary import BOUND, KINEMA, Summaries, Summary, best_peer

_TITLES = {
    "throughput": "Throughput",
    "mixed": "Short clips beside long ones",
    "load": "At 80 % of capacity",
    "overload": "At four times capacity",
    "hangups": "While one client in three hangs up",
}
_LOAD = ("", "capacity", "unloaded p50 ms", "p95 evenly", "ratio", "p95 at random", "ratio", "not answered")
_OVERLOAD = ("", "capacity", "posted/s", "answered/s", "of capacity", "p95 ms", "refusal p95 ms", "not answered")
_HANGUPS = ("", "alone", "p95 ms", "beside 4", "p95 ms", "4 hang up", "p95 ms", "of alone", "of beside 4")


def markdown(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """A table, aligned so that its source can be read too: the first column left, the others right."""
    cells = [list(headings), *map(list, rows)]
    widths = [max(len(row[n]) for row in cells) for n in range(len(headings))]

    def line(row: Sequence[str]) -> str:
        numbers = (cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))
        padded = [row[0].ljust(widths[0]), *numbers]
        return f"| {' | '.join(padded)} |"

    yield line(headings)
    yield f"|{'-' * (widths[0] + 2)}|{'|'.join('-' * (width + 1) + ':' for width in widths[1:])}|"
    yield from map(line, rows)


def _number(value: float, digits: int = 0) -> str:
    return "" if math.isnan(value) else f"{value:.{digits}f}"


def _spread(value: Spread) -> str:
    digits = 2 if value.most < 10 else 1
    if value.least == value.most:
        return f"{value.median:.{digits}f}"
    return f"{value.median:.{digits}f} ({value.least:.{digits}f}-{value.most:.{digits}f})"


def _percent(value: Spread | None) -> str:
    return "" if value is None else f"{value.median:.0%}"


def _ratio(over: float, under: float) -> str:
    return _number(over / under if under else math.nan, 2)


def _faults(faults: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {what}" for what, count in faults.items())


def throughput(found: Summaries, cases: Sequence[Case]) -> Iterator[str]:
    """One table a clip: every number of clients, every system."""
    for clip in dict.fromkeys(case.clip for case in cases):
        rows = [_throughput(found, row) for case in cases if case.clip == clip for row in found.systems(case)]
        headings = ("", "clips/s", "of bound", "p50 ms", "p95 ms", "p99 ms", "CPU s", "MB", "not answered")
        yield from ("", f"Clip `{clip}`:", "", *markdown(headings, rows))
        for case in cases:
            if case.clip == clip and case.clients > 1:
                yield from _verdict(list(found.systems(case)))


def _throughput(found: Summaries, row: Summary) -> list[str]:
    clients = row.case.clients
    return [
        f"{row.system} x {clients}" if clients else row.system,
        _spread(row.clips_per_s),
        _percent(found.share(row)),
        *(_number(row.ms(percent)) for percent in (50, 95, 99)),
        _number(row.cpu_s_a_clip, 3),
        _number(row.peak_mb),
        _faults(row.faults),
    ]


def _verdict(rows: Sequence[Summary]) -> Iterator[str]:
    """Kinema beside the best peer, and its p95 beside what so many clients at this rate must wait on average."""
    ours, theirs = next((row for row in rows if row.system == KINEMA), None), best_peer(rows)
    if ours is None or theirs is None or not theirs.clips_per_s.median:
        return
    rate, clients = ours.clips_per_s.median, ours.case.clients
    little = ours.ms(95) / 1000 * rate / clients
    yield ""
    yield (
        f"With {clients} clients Kinema answers {_ratio(rate, theirs.clips_per_s.median)} times as many clips as the "
        f"best peer, {theirs.system}; its p95 is {little:.2f} x clients / throughput."
    )


def mixed(found: Summaries, cases: Sequence[Case]) -> Iterator[str]:
    """One table: the short clips, and how many long ones were answered meanwhile."""
    rows = [
        [
            f"{row.system} x {case.clients}",
            _spread(row.clips_per_s),
            *(_number(row.ms(percent)) for percent in (50, 95, 99)),
            _long(found, row),
            _faults(row.faults),
        ]
        for case in cases
        if case.part == "short"
        for row in found.systems(case)
    ]
    headings = ("", "short clips/s", "p50 ms", "p95 ms", "p99 ms", "long clips/s", "not answered")
    yield from ("", *markdown(headings, rows))


def _long(found: Summaries, row: Summary) -> str:
    beside = found.get(row.case._replace(part="long"), row.system)
    return "" if beside is None else _number(beside.clips_per_s.median, 3)


def load(found: Summaries, cases: Sequence[Case]) -> Iterator[str]:
    """One table a clip: p95 by the clock, evenly and at random, as a multiple of the unloaded median."""
    for case in cases:
        if case.part == "capacity":
            rows = [_load(found, row) for row in found.systems(case)]
            yield from ("", f"Clip `{case.clip}`:", "", *markdown(_LOAD, rows))


def _load(found: Summaries, row: Summary) -> list[str]:
    case = row.case
    alone = found.get(case._replace(clients=1, part="unloaded"), row.system)
    unloaded = math.nan if alone is None else alone.ms(50)
    cells, faults = [row.system, _spread(row.clips_per_s), _number(unloaded)], ""
    for part in ("even", "poisson"):
        loaded = found.get(case._replace(clients=0, part=part), row.system)
        cells += ["", ""] if loaded is None else [_number(loaded.ms(95)), _ratio(loaded.ms(95), unloaded)]
        faults = faults if loaded is None else ", ".join(filter(None, (faults, _faults(loaded.faults))))
    return [*cells, faults]


def overload(found: Summaries, cases: Sequence[Case]) -> Iterator[str]:
    """One table a clip: what is still answered within the clients' patience, and how soon the others are refused."""
    for case in cases:
        if case.part == "capacity":
            rows = [_overload(found, row) for row in found.systems(case)]
            yield from ("", f"Clip `{case.clip}`:", "", *markdown(_OVERLOAD, rows))


def _overload(found: Summaries, row: Summary) -> list[str]:
    flooded = found.get(row.case._replace(clients=0, part="overload"), row.system)
    if flooded is None:
        return [row.system, _spread(row.clips_per_s), *[""] * 6]
    good = flooded.clips_per_s.median
    return [
        row.system,
        _spread(row.clips_per_s),
        _number(flooded.rate, 1),
        _number(good, 2),
        _ratio(good, row.clips_per_s.median),
        _number(flooded.ms(95)),
        _number(flooded.refusal_ms(95)),
        _faults(flooded.faults),
    ]


def hangups(found: Summaries, cases: Sequence[Case]) -> Iterator[str]:
    """One table a clip: the eight who wait, alone, beside four who wait too, and beside four who hang up."""
    for case in cases:
        if case.part == "alone":
            rows = [_hangups(found, row) for row in found.systems(case)]
            yield from ("", f"Clip `{case.clip}`:", "", *markdown(_HANGUPS, rows))


def _hangups(found: Summaries, row: Summary) -> list[str]:
    cells, rates = [row.system], []
    for clients, part in ((CROWD, "alone"), (CROWD * 3 // 2, "beside others"), (CROWD * 3 // 2, "beside leavers")):
        one = found.get(row.case._replace(clients=clients, part=part), row.system)
        cells += ["", ""] if one is None else [_number(one.clips_per_s.median, 2), _number(one.ms(95))]
        rates.append(math.nan if one is None else one.clips_per_s.median)
    return [*cells, _ratio(rates[2], rates[0]), _ratio(rates[2], rates[1])]


_TABLES: dict[str, Callable[[Summaries, Sequence[Case]], Iterator[str]]] = {
    "throughput": throughput,
    "mixed": mixed,
    "load": load,
    "overload": overload,
    "hangups": hangups,
}


def document(record: Record) -> Iterator[str]:
    """Everything that a record holds, line by line."""
    found, here, model = Summaries(record), record.machine, record.model
    yield (
        f"{record.when}. {here['cpu']}, {here['cores']} cores, {here['system']}. Python {here['python']}, onnxruntime "
        f"{here['onnxruntime']}, OpenCV {here['opencv-python-headless']}. {model['name']} {model['version']}."
    )
    told = ", ".join(f"{name} ({version})" for name, version in record.versions.items())
    yield f"Kinema {here['kinema']}; peers: {told}."
    rounds = {len(row.findings) for row in _all(found)}
    yield f"Rounds: {min(rounds)}-{max(rounds)}. Other work took at most {found.disturbance():.0%} of the machine."
    posting = max((row.load_cpu_s_a_clip for row in _all(found) if row.system != BOUND), default=0.0)
    yield f"Posting a clip took at most {posting * 1000:.1f} ms of CPU."
    for mode, precision in found.efforts:
        effort = f"Equal work, {precision}" if mode == "equal" else f"Each at its default (peers {precision})"
        for scenario, table in _TABLES.items():
            cases = found.cases(mode, precision, scenario)
            if cases:
                yield from ("", f"### {effort}: {_TITLES[scenario].lower()}", *table(found, cases))


def _all(found: Summaries) -> list[Summary]:
    return [
        row
        for mode, precision in found.efforts
        for scenario in _TABLES
        for case in found.cases(mode, precision, scenario)
        for row in found.systems(case)
    ]


def main(files: Annotated[list[Path], typer.Argument(help="What `scripts/bench compare --json` wrote.")]) -> None:
    """Print the tables of a comparison as Markdown."""
    try:
        lines = list(document(merged([Record.read(file) for file in files])))
    except BenchError as error:
        typer.secho(f"bench.table: {error}", fg="red", err=True)
        raise typer.Exit(1) from error
    typer.echo("\n".join(lines))


if __name__ == "__main__":
    typer.run(main)
