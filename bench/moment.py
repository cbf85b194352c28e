"""`scripts/bench moment`: what a looked-at moment costs on one core, its pictures made and encoded.

Each kind of evidence has a picture every so many moments; what making and encoding one costs is spread over them. The
frames are there already: decoding is the clip's, not the model's. CPU time is measured and not the clock's, each figure
many times, and the least counts: what other work on the machine adds is not the model's either.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import cv2
import typer
from rich.console import Console

from bench.clip import sources
from bench.errors import BenchError
from bench.table import markdown
from service.errors import KinemaError
from service.inference.bundle import Bundle
from service.inference.card import Card, Evidence, Precision
from service.inference.session import Device
from service.settings import Settings
from service.video.preprocess import SERVED, Frame, maker
from service.video.scan import Scan
from service.video.source import NO_LIMITS

BAR_MS = 14.0
"""The most that a moment may cost in fp32, all kinds of evidence together."""
_BATCHES = (1, 4)
_MOST_FRAMES = 48


@dataclass(frozen=True, slots=True)
class Cost:
    """What one kind of evidence costs in one precision.

    Attributes:
        kind: its name.
        precision: of its encoder.
        cadence: moments that share a picture.
        batch: pictures encoded together.
        picture_ms: CPU milliseconds for making its pictures, spread over all moments; optical flow, where it is that.
        encode_ms: CPU milliseconds for encoding one picture.
    """

    kind: str
    precision: Precision
    cadence: int
    batch: int
    picture_ms: float
    encode_ms: float

    @property
    def moment_ms(self) -> float:
        """For a moment: making, and encoding's share."""
        return self.picture_ms + self.encode_ms / self.cadence


def frames(clip: bytes, fps: float) -> list[Frame]:
    """The first frames of a clip at the model's rate, at least two.

    Raises:
        BenchError: it has fewer.
        ClipError: it cannot be decoded.
    """
    scan = Scan(clip, NO_LIMITS)
    found: list[Frame] = []
    for time_s in scan:
        if time_s >= len(found) / fps - 1e-3:
            found.append(scan.retrieve())
        if len(found) == _MOST_FRAMES:
            break
    if len(found) < 2:
        raise BenchError("the clip is too short to look at two moments of it")
    return found


def picture_ms(kind: Evidence, seen: Sequence[Frame], repeats: int) -> float:
    """CPU milliseconds a moment for making a kind's pictures of these frames; the first frame is only looked at."""
    best = float("inf")
    for _ in range(repeats):
        made = maker(kind)
        made.look(SERVED.of(seen[0]))
        started = time.process_time()
        for step, frame in enumerate(seen[1:]):
            (made.look if step % kind.cadence else made.make)(SERVED.of(frame))
        best = min(best, time.process_time() - started)
    return 1000 * best / (len(seen) - 1)


def encode_ms(bundle: Bundle, kind: Evidence, batch: int, repeats: int) -> float:
    """CPU milliseconds for encoding one picture of a kind, in batches of so many."""
    encoder = bundle.encoders[kind.name]
    pictures = [encoder.blank(kind.size)] * batch
    encoder.encode(pictures)  # what a first time costs is nobody's figure
    return 1000 * min(_timed(lambda: encoder.encode(pictures)) for _ in range(repeats)) / batch


def _timed(work: Callable[[], object]) -> float:
    started = time.process_time()
    work()
    return time.process_time() - started


def costs(model: Path, clip: bytes, repeats: int) -> list[Cost]:
    """Measures every kind of evidence in every precision that the bundle has, on the core that the process is on.

    Raises:
        BenchError: the bundle reads whole windows, or the clip is too short.
        KinemaError: the bundle or the clip cannot be used.
    """
    card = Card.read(model)
    if card.whole is not None:
        raise BenchError("this bundle is one graph that reads whole windows: its moments have no cost of their own")
    cv2.setNumThreads(1)
    seen = frames(clip, card.sampling.fps)
    precisions: tuple[Precision, ...] = ("fp32", "int8") if card.int8 else ("fp32",)
    making = {kind.name: picture_ms(kind, seen, repeats) for kind in card.evidence}
    found = []
    for precision in precisions:
        bundle = Bundle.load(model, Device.choose("cpu", 1), precision)
        for batch in _BATCHES:
            for kind in card.evidence:
                encoding = encode_ms(bundle, kind, batch, repeats)
                found.append(Cost(kind.name, precision, kind.cadence, batch, making[kind.name], encoding))
    return found


def lines(found: Sequence[Cost]) -> Iterator[str]:
    """The table in Markdown: a row for each kind and their sum, for each precision and batch."""
    headings = ("", "batch", "pictures ms", "encode ms", "every", "ms a moment", "bar")
    rows = []
    for precision, batch in dict.fromkeys((one.precision, one.batch) for one in found):
        these = [one for one in found if (one.precision, one.batch) == (precision, batch)]
        rows += [
            [
                f"{one.kind}, {precision}",
                str(batch),
                f"{one.picture_ms:.2f}",
                f"{one.encode_ms:.2f}",
                str(one.cadence),
                f"{one.moment_ms:.2f}",
                "",
            ]
            for one in these
        ]
        total = sum(one.moment_ms for one in these)
        bar = (f"{BAR_MS:g}: {'met' if total <= BAR_MS else 'missed'}") if precision == "fp32" else ""
        pictures = sum(one.picture_ms for one in these)
        rows.append([f"**together, {precision}**", str(batch), f"{pictures:.2f}", "", "", f"**{total:.2f}**", bar])
    yield from markdown(headings, rows)


def _stay_on_one_core() -> None:
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})


def moment(
    model: Annotated[
        Path | None, typer.Option(help="Directory of the bundle; default: KINEMA_MODEL, else the shipped.")
    ] = None,
    clip: Annotated[Path | None, typer.Option(help="The clip whose frames are looked at; default: a real one.")] = None,
    repeats: Annotated[int, typer.Option(min=1, help="How often each figure is measured; the least counts.")] = 50,
    to: Annotated[Path | None, typer.Option("--json", help="Also write all figures to this file.")] = None,
) -> None:
    """Measure what a looked-at moment costs on one core: its pictures, among them optical flow, and their encoding."""
    settings = Settings() if model is None else Settings(model=model.resolve())
    _stay_on_one_core()
    try:
        found = costs(settings.model, (clip or sources()[0]).read_bytes(), repeats)
    except (BenchError, KinemaError, OSError) as error:
        typer.secho(f"scripts/bench: {error}", fg="red", err=True)
        raise typer.Exit(1) from error
    Console(soft_wrap=True).print("\n".join(lines(found)), markup=False, highlight=False)
    if to is not None:
        facts = [{**asdict(one), "moment_ms": one.moment_ms} for one in found]
        to.write_text(json.dumps({"bar_ms": BAR_MS, "costs": facts}, indent=2) + "\n", encoding="utf-8")
