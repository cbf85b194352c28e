"""The command `kinema watch`."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError
from rich.console import Console

from service.errors import MalformedRequest
from service.post.spec import Spec
from service.settings import Settings
from service.watch.address import Address
from service.watch.annotation import CODECS
from service.watch.clock import Kind
from service.watch.recogniser import EVENTS, Begin, recognising
from service.watch.recorder import SaveOptions
from service.watch.source import SourceOptions
from service.watch.teller import JsonTeller, LineTeller, Teller
from service.watch.watch import WatchOptions, watch

_SOURCE = "A camera's number, a file, a URL (rtsp, http, udp, tcp), or - for what is piped in."


def watching(made: Callable[[Settings], Begin]) -> Callable[..., None]:
    """The command, with a way to begin recognising."""

    def command(  # noqa: PLR0913, PLR0917 - a command's options are its arguments
        source: Annotated[str, typer.Argument(help=_SOURCE, show_default=False)],
        model: Annotated[Path | None, typer.Option("--model", "-m", help="Directory of the bundle.")] = None,
        top_k: Annotated[int, typer.Option(min=1, help="At most so many predictions in an answer.")] = 5,
        post: Annotated[str, typer.Option(help="What smooths scores and finds actions.")] = str(EVENTS),
        as_json: Annotated[bool, typer.Option("--json", help="JSON lines, also on a terminal.")] = False,
        live: Annotated[bool | None, typer.Option("--live/--no-live", help="Newest frame, or every frame?")] = None,
        realtime: Annotated[bool, typer.Option("--realtime", help="Play a file as a camera would send it.")] = False,
        loop: Annotated[bool, typer.Option("--loop", help="Begin a file again at its end.")] = False,
        once: Annotated[bool, typer.Option("--once", help="End with the connection.")] = False,
        attempts: Annotated[int, typer.Option(min=0, help="Failures on end before giving up; 0: never.")] = 0,
        clock: Annotated[Kind, typer.Option(help="Whose time is believed.")] = "auto",
        open_timeout: Annotated[float, typer.Option(min=0.1, help="Seconds that opening may take.")] = 15.0,
        read_timeout: Annotated[float, typer.Option(min=0.1, help="Seconds without a frame: lost.")] = 10.0,
        height: Annotated[int, typer.Option(min=0, help="Scale higher frames down to it; 0: no.")] = 0,
        save: Annotated[Path | None, typer.Option(help="Keep a clip of each action in this directory.")] = None,
        before: Annotated[float, typer.Option(min=0, help="Seconds kept before an action.")] = 3.0,
        after: Annotated[float, typer.Option(min=0, help="Seconds kept after an action.")] = 2.0,
        longest: Annotated[float, typer.Option(min=1, help="Seconds of a clip at most.")] = 60.0,
        save_mb: Annotated[float, typer.Option(min=1, help="MB of frames kept in memory for clips.")] = 64.0,
        webhook: Annotated[str | None, typer.Option(help="Post each action to this URL.")] = None,
        annotate: Annotated[Path | None, typer.Option(help=f"Draw on a video: {', '.join(CODECS)}.")] = None,
    ) -> None:
        """Watch a camera, a stream or a file, and say what is being done as it is done: docs/watch.md."""
        address = Address.parse(source)
        _check(address, realtime=realtime, webhook=webhook, annotate=annotate)
        spec, settings = _spec(post), _settings(model)
        reading = SourceOptions(
            live=live,
            realtime=realtime,
            loop=loop,
            once=once,
            attempts=attempts,
            clock=clock,
            open_s=open_timeout,
            read_s=read_timeout,
            max_pixels=settings.max_pixels,
            height=height,
        )
        keeping = None if save is None else SaveOptions(save, before, after, longest, int(save_mb * 1e6))
        _run(WatchOptions(address, reading, top_k, spec, keeping, webhook, annotate), made(settings), as_json)

    return command


def _check(address: Address, *, realtime: bool, webhook: str | None, annotate: Path | None) -> None:
    if realtime and address.kind != "file":
        raise typer.BadParameter("--realtime is for files")
    if address.kind == "pipe" and sys.stdin.isatty():
        raise typer.BadParameter("nothing is piped in: `ffmpeg ... -f mpegts - | kinema watch -`")
    if webhook is not None and not webhook.startswith(("http://", "https://")):
        raise typer.BadParameter("--webhook needs an http:// or https:// URL")
    if annotate is not None and annotate.suffix.lower() not in CODECS:
        raise typer.BadParameter(f"--annotate writes {', '.join(CODECS)}")


def _spec(post: str) -> Spec:
    try:
        return Spec.parse(post)
    except MalformedRequest as error:
        raise typer.BadParameter(f"--post: {error.detail}. {error.advice}") from error


def _settings(model: Path | None) -> Settings:
    try:
        return Settings() if model is None else Settings(model=model)
    except ValidationError as error:
        faults = "; ".join(f"KINEMA_{str(e['loc'][0]).upper()}: {e['msg']}" for e in error.errors())
        raise typer.BadParameter(faults) from error


def _run(options: WatchOptions, begin: Begin, as_json: bool) -> None:
    async def run() -> None:
        stop = asyncio.Event()
        plain = as_json or not sys.stdout.isatty()
        teller: Teller = JsonTeller(stop.set) if plain else LineTeller(Console())
        try:
            await watch(options, begin, teller, stop)
        finally:
            teller.end()

    asyncio.run(run())


watch_source = watching(lambda settings: recognising(settings.options()))
