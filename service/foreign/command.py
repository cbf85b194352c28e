"""The command `kinema import`."""

from __future__ import annotations

import math
import re
import shlex
from pathlib import Path
from typing import Annotated

import typer
from pydantic import TypeAdapter, ValidationError
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from service.errors import BundleError, ImportRefused
from service.foreign.bundle import Imported, import_graph
from service.foreign.given import RGB, Given, Title
from service.foreign.labels import read_labels
from service.inference.card import Card, Licences
from service.inference.whole import Layout, Steps
from service.settings import Settings
from service.video.spec import Name

_UNKNOWN = "not stated"
_SOURCES = {"graph": "from the graph", "given": "given", "default": "by default"}


def _rgb(option: str, text: str | None) -> RGB | None:
    """The numbers of red, green and blue.

    Raises:
        BadParameter: it is neither one number nor three, or what is divided by is not above 0.
    """
    if text is None:
        return None
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) not in {1, 3} or not all(map(math.isfinite, numbers)):
        raise typer.BadParameter(f"{option} takes one number, or three for red,green,blue, not {text!r}")
    if option == "--std" and min(numbers) < 1e-6:
        raise typer.BadParameter("pixels are divided by --std, so it has to be above 0")
    if max(map(abs, numbers)) > 1e6:
        raise typer.BadParameter(f"{option} is of pixels between 0 and 1, and {text} is far beyond")
    red, green, blue = numbers * 3 if len(numbers) == 1 else numbers
    return red, green, blue


def import_model(  # noqa: PLR0913, PLR0917 - a command's options are its arguments
    graph: Annotated[Path, typer.Argument(help="The ONNX file: a whole clip in, logits out.", show_default=False)],
    labels: Annotated[Path | None, typer.Option(help="A text file, one label a line, in the outputs' order.")] = None,
    output_directory: Annotated[Path | None, typer.Option("-o", help="The bundle; default: its name.")] = None,
    name: Annotated[str | None, typer.Option(help="The model's name; default: the file's.")] = None,
    version: Annotated[str, typer.Option(help="The model's version.")] = "1.0.0",
    layout: Annotated[Layout | None, typer.Option(help="The order of the clip's axes.")] = None,
    size: Annotated[int | None, typer.Option(min=1, help="Side of a frame in pixels.")] = None,
    mean: Annotated[str | None, typer.Option(metavar="R,G,B", help="Mean of pixels of 0..1 in training.")] = None,
    std: Annotated[str | None, typer.Option(metavar="R,G,B", help="Their standard deviation.")] = None,
    clip_len: Annotated[int | None, typer.Option(min=1, help="Frames in a clip.")] = None,
    fps: Annotated[float | None, typer.Option(min=0.001, max=1000, help="Frames a second in training.")] = None,
    num_clips: Annotated[int | None, typer.Option(min=1, help="Most windows of a long clip; default: 3.")] = None,
    output: Annotated[str | None, typer.Option(help="The output that is the answer, where there are more.")] = None,
    steps: Annotated[Steps | None, typer.Option(help="Which steps of an answer with a time axis count.")] = None,
    golden: Annotated[Path | None, typer.Option(help="A small clip; default: that of the shipped model.")] = None,
    description: Annotated[str | None, typer.Option(help="A sentence about the model.")] = None,
    weights_licence: Annotated[str, typer.Option(help="Terms of the weights.")] = _UNKNOWN,
    data_licence: Annotated[str, typer.Option(help="Terms of the data.")] = _UNKNOWN,
) -> None:
    """Make a bundle of a CNN-LSTM that was exported elsewhere. What its graph does not say has to be given."""
    called = _name(name, graph)
    given = Given(
        labels=None if labels is None else read_labels(labels),
        layout=layout,
        size=size,
        mean=_rgb("--mean", mean),
        std=_rgb("--std", std),
        clip_len=clip_len,
        fps=fps,
        num_clips=num_clips,
        output=output,
        steps=steps,
        golden=None if golden is None else _read(golden),
        shipped_golden=_shipped_golden(),
    )
    title = Title(
        name=called,
        version=version,
        description=description or f"Imported from {graph.name}.",
        licences=Licences(weights=weights_licence, data=data_licence),
    )
    directory = output_directory or Path(called)
    _tell(import_graph(graph, given, title, directory), directory)


def _name(given: str | None, graph: Path) -> str:
    called = given if given is not None else re.sub(r"[^a-z0-9_.-]+", "-", graph.stem.lower()).lstrip("0123456789_.-")
    try:
        return TypeAdapter[str](Name).validate_python(called or "model")
    except ValidationError as error:
        raise ImportRefused(
            f"{called!r} is no name for a model",
            "Give --name: small letters, digits, _ . and -, a letter first.",
        ) from error


def _read(golden: Path) -> bytes:
    try:
        return golden.read_bytes()
    except OSError as error:
        raise ImportRefused(f"the golden clip {golden} cannot be read: {error.strerror}", "Check the path.") from error


def _shipped_golden() -> bytes | None:
    """The golden clip of the model that is served by default, if there is one."""
    try:
        directory = Settings().model
        card = Card.read(directory)
        return card.path(directory, card.golden.clip).read_bytes()
    except (BundleError, OSError, ValidationError):
        return None


def _tell(imported: Imported, directory: Path) -> None:
    card, whole = imported.card, imported.tried.whole
    table = Table(title=f"{card.name} {card.version}", box=None, pad_edge=False, title_justify="left")
    for column in ("", "", "said by"):
        table.add_column(column)
    for one in imported.settled.told:
        table.add_row(one.what, escape(one.value), _SOURCES[one.source])
    batch = "any" if whole.batch is None else f"{whole.batch}, always"
    table.add_row("windows in a batch", batch, "by running it")
    table.add_row("its numbers", whole.gives, "by running it")
    best = max(zip(card.golden.scores, card.labels, strict=True))
    table.add_row("golden clip's answer", f"{escape(best[1])} {best[0]:.3f}", "by running it")
    Console().print(table)
    if imported.tried.warning:
        typer.secho(f"warning: {imported.tried.warning}", fg="yellow", err=True)
    typer.echo(f"\nServe it: kinema serve --model {shlex.quote(str(directory))}")
