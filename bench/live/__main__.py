"""`python -m bench.live [WHAT...]`: live streams of a real server, measured; each part has a server of its own."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
import uvloop
from rich.console import Console
from websockets.exceptions import WebSocketException

from bench.clip import ROOT
from bench.errors import BenchError
from bench.live import alone, beside, connects, cost, idle, streams
from bench.live.bound import Bound
from bench.live.stage import House, Stage
from bench.report import machine, now
from service.errors import KinemaError
from service.inference.bundle import Bundle, PrecisionName
from service.inference.session import Device, usable_cores
from service.load.film import Film
from service.settings import Settings

SIZE = (320, 240)
_CLIP = ROOT / "tests" / "clips" / "real-golf.mp4"
_EVERY_S = (0.0, 0.5)
# Longer than any measurement: a stream that is to be idle must not expire.
_TTL_S = 3600


class What(StrEnum):
    """What can be measured."""

    COST = "cost"
    ALONE = "alone"
    STREAMS = "streams"
    IDLE = "idle"
    CONNECTS = "connects"
    BESIDE = "beside"


@dataclass(frozen=True, slots=True)
class Extent:
    """How much is measured.

    Attributes:
        rounds: of `alone` and of `streams`.
        frames: of the stream of `cost`; of `each` one is looked at.
        idle: streams of `idle`; each gets `fed` frames, and is looked at `settle_s` seconds later.
        connects: of `connects`.
        carried: streams that are taken to be carried alone where `beside` is measured without `streams`.
    """

    rounds: int
    frames: int
    each: int
    idle: int
    fed: int
    settle_s: float
    connects: int
    carried: int


class Found:
    """What was measured so far: told on standard output as it comes, and kept."""

    def __init__(self, facts: Mapping[str, Any]) -> None:
        self.facts: dict[str, Any] = dict(facts)
        self._console = Console(soft_wrap=True)

    def add(self, what: What, lines: Iterator[str], value: Any) -> None:
        """Tells a table, and keeps its figures."""
        self.facts[what.value] = value
        self._console.print("\n".join(lines) + "\n", markup=False, highlight=False)


@contextmanager
def _bound(stage: Stage) -> Iterator[Bound]:
    bound = Bound(stage.model, stage.precision, stage.film, stage.cores)
    try:
        yield bound
    finally:
        bound.stop()


class _Show:
    """The measurements in their order, each on a server of its own.

    Args:
        stage: where.
        clip: encoded bytes, to be posted.
        extent: how much.
        found: receives the figures.
    """

    def __init__(self, stage: Stage, clip: bytes, extent: Extent, found: Found) -> None:
        self._stage, self._clip, self._extent, self._found = stage, clip, extent, found
        self._carried = extent.carried

    async def run(self, wanted: Collection[What]) -> None:
        """Measures what is wanted."""
        if {What.ALONE, What.STREAMS} & set(wanted):
            with _bound(self._stage) as bound:
                async with self._stage.server() as house:
                    if What.ALONE in wanted:
                        await self._alone(bound, house)
                    if What.STREAMS in wanted:
                        await self._streams(bound, house)
        others = {
            What.BESIDE: self._beside,
            What.IDLE: self._idle,
            What.CONNECTS: self._connects,
            What.COST: self._cost,
        }
        for what, measure in others.items():
            if what in wanted:
                await measure()

    async def _alone(self, bound: Bound, house: House) -> None:
        rounds = [await alone.alone(self._stage, bound, house) for _ in range(self._extent.rounds)]
        self._found.add(What.ALONE, alone.lines(rounds), [asdict(one) for one in rounds])

    async def _streams(self, bound: Bound, house: House) -> None:
        wishes = [every_s for _ in range(self._extent.rounds) for every_s in _EVERY_S]
        found = [await streams.streams(self._stage, bound, house, every_s) for every_s in wishes]
        self._carried = max(one.carried for one in found if not one.every_s)
        kept = [{**asdict(one), "ratio": one.ratio, "efficiency": one.efficiency} for one in found]
        self._found.add(What.STREAMS, streams.lines(found), kept)

    async def _beside(self) -> None:
        async with self._stage.server() as house:
            found = await beside.beside(self._stage, house, self._clip, max(2, self._carried))
        self._found.add(What.BESIDE, beside.lines(found), asdict(found))

    async def _idle(self) -> None:
        async with self._stage.server(stream_ttl_s=_TTL_S, streams=self._extent.idle + 1) as house:
            found = await idle.idle(self._stage, house, self._extent.idle, self._extent.fed, self._extent.settle_s)
        self._found.add(What.IDLE, idle.lines(found), [asdict(one) for one in found])

    async def _connects(self) -> None:
        async with self._stage.server() as house:
            found = await connects.connects(self._stage, house, self._extent.connects)
        self._found.add(What.CONNECTS, connects.lines(found), [asdict(one) for one in found])

    async def _cost(self) -> None:
        async with self._stage.server() as house:
            found = await cost.cost(self._stage, house, self._extent.frames, self._extent.each)
        self._found.add(What.COST, cost.lines(found), [asdict(one) for one in found])


def _precision(settings: Settings, wanted: PrecisionName) -> Bundle:
    """The bundle as the service would load it; which precision that is, `auto` measures."""
    return Bundle.load(settings.model, Device.choose("cpu", usable_cores()), wanted)


def live(  # noqa: PLR0913, PLR0917 - a command's options are its arguments
    what: Annotated[list[What] | None, typer.Argument(help="What to measure; default: all.")] = None,
    seconds: Annotated[float, typer.Option(min=1, help="Of each measurement.")] = 10.0,
    rounds: Annotated[int, typer.Option(min=1, help="Of alone and of streams.")] = 1,
    frames: Annotated[int, typer.Option(min=1, help="Of the one stream of cost.")] = 100_000,
    each: Annotated[int, typer.Option(min=1, help="Frames of it for each that the model looks at.")] = 1,
    streams_idle: Annotated[int, typer.Option("--idle", min=1, help="Streams of idle.")] = 1000,
    fed: Annotated[int, typer.Option(min=0, help="Frames that each of them gets.")] = 30,
    settle: Annotated[float, typer.Option(min=0, help="Seconds before their memory is looked at.")] = idle.SETTLE_S,
    count: Annotated[int, typer.Option("--connects", min=4, help="Of connects.")] = 10_000,
    carried: Annotated[int, typer.Option(min=2, help="Streams of beside, where streams is not measured.")] = 8,
    clip: Annotated[Path, typer.Option(help="Its frames are sent, and it is posted.")] = _CLIP,
    model: Annotated[
        Path | None, typer.Option(help="Directory of the bundle; default: KINEMA_MODEL, else the shipped.")
    ] = None,
    precision: Annotated[PrecisionName, typer.Option(help="Of the encoders, in the service and without.")] = "auto",
    to: Annotated[Path | None, typer.Option("--json", help="Also write all figures to this file.")] = None,
) -> None:
    """Measure live streams: a real server, real WebSockets, frames of a real clip at the model's rate."""
    settings = Settings() if model is None else Settings(model=model.resolve())
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that what was started is ended
    extent = Extent(rounds, frames, each, streams_idle, fed, settle, count, carried)
    try:
        bundle = _precision(settings, precision)
        data = clip.read_bytes()
        film = Film.of(data, bundle.card.sampling.fps, SIZE)
        stage = Stage(settings.model, bundle.card, bundle.precision, film, usable_cores(), seconds)
        found = Found(_facts(stage, clip))
        del bundle
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_Show(stage, data, extent, found).run(what or list(What)))
    except (BenchError, KinemaError, WebSocketException, OSError) as error:
        typer.secho(f"bench.live: {error}", fg="red", err=True)
        raise typer.Exit(1) from error
    if to is not None:
        to.write_text(json.dumps(found.facts, indent=2) + "\n", encoding="utf-8")


def _facts(stage: Stage, clip: Path) -> dict[str, Any]:
    film = stage.film
    return {
        "when": now(),
        "machine": machine(stage.cores),
        "clip": clip.name,
        "frames": {"size": SIZE, "mean_bytes": sum(map(len, film.images)) // len(film.images), "fps": film.fps},
        "model": {"name": stage.card.name, "version": stage.card.version, "precision": stage.precision},
        "seconds": stage.seconds,
    }


if __name__ == "__main__":
    typer.run(live)
