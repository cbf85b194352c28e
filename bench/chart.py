"""`python -m bench.chart FILE... --to docs/performance.svg`: a comparison as a picture.

Plain SVG, written by hand: bars of clips a second as a share of the bound, and of p95, one pair of panels for each mode
and precision that was measured. It has a background of its own and follows the reader's light or dark scheme.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Annotated

import typer

from bench.clip import USUAL
from bench.errors import BenchError
from bench.finding import Case, Record, merged
from bench.scenario import CROWD
from bench.summary import BOUND, KINEMA, Summaries, Summary

# Pixels: the picture, its edges, the names' column, what is between panels; a bar and the step to the next; the room
# above the first panels and above each pair; the room for a figure.
_WIDTH, _MARGIN, _NAMES, _GAP = 860, 24, 84, 44
_BAR, _STEP = 16, 24
_TOP, _HEAD = 78, 46
_VALUE = 56

_NAMED = {
    KINEMA: "Kinema",
    "naive": "FastAPI",
    "litserve": "LitServe",
    "bentoml": "BentoML",
    "mosec": "mosec",
    "rayserve": "Ray Serve",
    "mlserver": "MLServer",
    "pytriton": "PyTriton",
}

_STYLE = """
  .ground { fill: #ffffff; stroke: #d8dee4 }
  text { font: 13px system-ui, -apple-system, "Segoe UI", Helvetica, Arial, sans-serif; fill: #1f2328 }
  .title { font-size: 17px; font-weight: 600 } .head { font-weight: 600 } .quiet { fill: #59636e; font-size: 12px }
  .ours { fill: #0a7d5a } .theirs { fill: #8c97a5 } .name-ours { font-weight: 600 }
  .told { paint-order: stroke; stroke: #ffffff; stroke-width: 5px }
  .mark { stroke: #59636e; stroke-dasharray: 3 3 } .floor { stroke: #d8dee4 }
  @media (prefers-color-scheme: dark) {
    .ground { fill: #0d1117; stroke: #30363d } text { fill: #e6edf3 } .quiet { fill: #9198a1 }
    .told { stroke: #0d1117 }
    .ours { fill: #2fbf8f } .theirs { fill: #5b6673 } .mark { stroke: #9198a1 } .floor { stroke: #30363d }
  }
"""


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar: whose, how long, and what is written beside it."""

    system: str
    value: float
    told: str


@dataclass(frozen=True, slots=True)
class Panel:
    """Bars with one scale.

    Attributes:
        head: what they show.
        bars: from top to bottom.
        most: the value of the whole width.
        mark: a value that a line is drawn at, or None.
    """

    head: str
    bars: tuple[Bar, ...]
    most: float
    mark: float | None = None

    def draw(self, left: float, top: float, width: float) -> Iterator[str]:
        """The panel as SVG."""
        room = width - _NAMES - _VALUE
        start, height = left + _NAMES, len(self.bars) * _STEP
        yield f'<text class="quiet" x="{start:.0f}" y="{top - 8:.0f}">{escape(self.head)}</text>'
        yield f'<line class="floor" x1="{start}" y1="{top}" x2="{start}" y2="{top + height}"/>'
        if self.mark is not None:
            at = start + room * self.mark / self.most
            yield f'<line class="mark" x1="{at:.1f}" y1="{top - 2}" x2="{at:.1f}" y2="{top + height}"/>'
        for number, bar in enumerate(self.bars):
            yield from self._bar(bar, start, top + number * _STEP + (_STEP - _BAR) / 2, room)

    def _bar(self, bar: Bar, start: float, top: float, room: float) -> Iterator[str]:
        whose = "ours" if bar.system == KINEMA else "theirs"
        length = max(1.0, room * bar.value / self.most) if bar.value > 0 else 0.0
        name = escape(_NAMED.get(bar.system, bar.system))
        yield f'<text class="name-{whose}" x="{start - 8:.0f}" y="{top + 13:.0f}" text-anchor="end">{name}</text>'
        yield f'<rect class="{whose}" x="{start}" y="{top:.0f}" width="{length:.1f}" height="{_BAR}" rx="2"/>'
        yield f'<text class="told" x="{start + length + 6:.1f}" y="{top + 13:.0f}">{escape(bar.told)}</text>'


def panels(found: Summaries, case: Case) -> tuple[Panel, Panel]:
    """The two panels of a case: the share of the bound, and p95.

    Raises:
        BenchError: the bound was not measured in the same rounds.
    """
    rows = sorted((row for row in found.systems(case) if row.system != BOUND), key=lambda row: -row.clips_per_s.median)
    shares = [_share(found, row) for row in rows]
    most = max(1.0, *shares)
    left = tuple(Bar(row.system, share, f"{share:.0%}") for row, share in zip(rows, shares, strict=True))
    right = tuple(Bar(row.system, *_seconds(row)) for row in rows)
    return (
        Panel("clips/s, as a share of the bound (dashed)", left, most, mark=1.0),
        Panel("p95 of an answer: shorter is better", right, max((bar.value for bar in right), default=1.0) or 1.0),
    )


def _share(found: Summaries, row: Summary) -> float:
    share = found.share(row)
    if share is None:
        raise BenchError("the chart needs the bound, measured in the same rounds: --system bound")
    return share.median


def _seconds(row: Summary) -> tuple[float, str]:
    p95_s = row.ms(95) / 1000
    return (0.0, "none") if math.isnan(p95_s) else (p95_s, f"{p95_s:.2f} s")


def chart(record: Record, clip: str, clients: int) -> str:
    """The picture.

    Raises:
        BenchError: nothing was measured that it could show.
    """
    found = Summaries(record)
    cases = [Case(mode, precision, "throughput", clip, clients) for mode, precision in found.efforts]
    shown = [(case, panels(found, case)) for case in cases if any(found.systems(case))]
    if not shown:
        raise BenchError(f"no throughput of {clip} with {clients} clients was measured")
    body, top = list(_title(record, clip, clients)), float(_TOP)
    width = (_WIDTH - 2 * _MARGIN - _GAP) / 2
    for case, (left, right) in shown:
        body.append(f'<text class="head" x="{_MARGIN}" y="{top:.0f}">{escape(_effort(case))}</text>')
        body += left.draw(_MARGIN, top + _HEAD - 12, width)
        body += right.draw(_MARGIN + width + _GAP, top + _HEAD - 12, width)
        top += _HEAD + len(left.bars) * _STEP + _MARGIN
    return _page(body, top)


def _effort(case: Case) -> str:
    if case.mode == "equal":
        return f"Equal work: {case.precision}, every frame decoded"
    return f"Each at its default: peers {case.precision}, Kinema as it comes"


def _title(record: Record, clip: str, clients: int) -> Iterator[str]:
    here = record.machine
    yield f'<text class="title" x="{_MARGIN}" y="34">Clips a second, {clients} clients at a time</text>'
    where = f"{clip} clip, {here['cores']} cores of {here['cpu']}, {record.model['name']} {record.model['version']}"
    yield f'<text class="quiet" x="{_MARGIN}" y="53">{escape(where)}, {escape(record.when[:10])}</text>'


def _page(body: Sequence[str], height: float) -> str:
    size = f'width="{_WIDTH}" height="{height:.0f}" viewBox="0 0 {_WIDTH} {height:.0f}"'
    ground = f'<rect class="ground" x="0.5" y="0.5" width="{_WIDTH - 1}" height="{height - 1:.0f}" rx="8"/>'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img">'
    title = "<title>Kinema beside other servers: clips a second and p95</title>"
    return "\n".join([head, title, f"<style>{_STYLE}</style>", ground, *body, "</svg>", ""])


def main(
    files: Annotated[list[Path], typer.Argument(help="What `scripts/bench compare --json` wrote.")],
    to: Annotated[Path, typer.Option(help="The picture.")] = Path("docs/performance.svg"),
    clip: Annotated[str, typer.Option(help="Which clip to show.")] = USUAL,
    clients: Annotated[int, typer.Option(help="With how many clients.")] = CROWD,
) -> None:
    """Draw a comparison."""
    try:
        to.write_text(chart(merged([Record.read(file) for file in files]), clip, clients))
    except BenchError as error:
        typer.secho(f"bench.chart: {error}", fg="red", err=True)
        raise typer.Exit(1) from error


if __name__ == "__main__":
    typer.run(main)
