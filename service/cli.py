"""The `kinema` command. Commands of other packages join it through the entry points `kinema.commands`."""

from __future__ import annotations

import sys
from importlib.metadata import entry_points, version
from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from service import logs
from service.app import build
from service.batch import Form, predict_all
from service.errors import KinemaError, MalformedRequest
from service.foreign.command import import_model
from service.inference.bundle import Bundle
from service.inference.card import Card, FileRecord, Output
from service.inference.session import Device
from service.load.arrivals import Arrivals
from service.load.bench import bench as measure
from service.load.live import Cameras, bench_streams
from service.load.offer import Pace
from service.load.step import Goal
from service.pipeline import Query
from service.post.spec import Spec
from service.server import Server
from service.settings import Settings
from service.watch.command import watch_source

app = typer.Typer(
    name="kinema",
    help="Recognises actions in video.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

_P95_CLIP_MS, _P95_STREAM_MS = 1000.0, 250.0

ModelOption = Annotated[
    Path | None,
    typer.Option("--model", "-m", help="Directory of the bundle; default: KINEMA_MODEL, else the shipped."),
]


def _settings(**given: object) -> Settings:
    """Settings from the environment, overridden by the options that were given.

    Raises:
        BadParameter: a variable or an option is not valid; the message names it.
    """
    try:
        return Settings(**{name: value for name, value in given.items() if value is not None})  # type: ignore[arg-type]
    except ValidationError as error:
        faults = "; ".join(f"KINEMA_{str(e['loc'][0]).upper()}: {e['msg']}" for e in error.errors())
        raise typer.BadParameter(faults) from error


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"kinema {version('kinema')}")
        raise typer.Exit


@app.callback()
def kinema(
    show_version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Recognises actions in video."""


@app.command()
def serve(
    host: Annotated[str | None, typer.Option(help="Address; default: KINEMA_HOST, else 127.0.0.1.")] = None,
    port: Annotated[int | None, typer.Option(help="Port; default: KINEMA_PORT, else 8000.")] = None,
    model: ModelOption = None,
) -> None:
    """Serve a model over HTTP. Every setting has a variable KINEMA_*: see docs/operations.md."""
    settings = _settings(host=host, port=port, model=model)
    logs.configure(settings.log_format, settings.log_level)
    server = Server(build(settings), settings)
    server.run()
    raise typer.Exit(server.exit_code)


@app.command()
def predict(
    clips: Annotated[list[Path], typer.Argument(help="The clips.", show_default=False)],
    model: ModelOption = None,
    top_k: Annotated[int, typer.Option(min=1, help="At most so many predictions for each clip.")] = 5,
    min_score: Annotated[float, typer.Option(min=0, max=1, help="Only predictions with at least this score.")] = 0.0,
    as_json: Annotated[bool, typer.Option("--json", help="A JSON object for each clip, one a line.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="A CSV row for each prediction.")] = False,
    outputs: Annotated[
        bool, typer.Option("--outputs", help="With --json: also what the model's head gives beside scores.")
    ] = False,
    post: Annotated[
        str | None, typer.Option("--post", help="Also events, by these post-processors: ema,hysteresis:on=0.6,...")
    ] = None,
) -> None:
    """Say what is being done in clips. A bad clip does not stop the rest; the exit code is then 1."""
    if as_json and as_csv:
        raise typer.BadParameter("choose one of --json and --csv")
    if outputs and not as_json:
        raise typer.BadParameter("--outputs needs --json")
    if post is not None and as_csv:
        raise typer.BadParameter("--post has no place in --csv: take --json, or neither")
    form: Form = "json" if as_json else "csv" if as_csv else "table"
    query = Query(top_k=top_k, min_score=min_score, outputs=outputs, post=_post(post))
    settings = _settings(model=model)
    if not predict_all(clips, settings.options(), form, query):
        raise typer.Exit(1)


def _post(text: str | None) -> Spec | None:
    """The post-processors that an option names.

    Raises:
        BadParameter: there are no such ones; the message says what there is.
    """
    try:
        return None if text is None else Spec.parse(text)
    except MalformedRequest as error:
        raise typer.BadParameter(f"--post: {error.detail}. {error.advice}") from error


@app.command()
def bench(  # noqa: PLR0913, PLR0917 - a command's options are its arguments
    url: Annotated[str, typer.Argument(help="The server, like http://localhost:8000.", show_default=False)],
    clips: Annotated[
        list[Path], typer.Argument(help="Posted in turn; with --streams their frames are sent.", show_default=False)
    ],
    p95: Annotated[
        float | None,
        typer.Option(min=1, help="95 % of answers come within so many ms; default: 1000, with --streams 250."),
    ] = None,
    errors: Annotated[float, typer.Option(min=0, max=100, help="Percent that may be refused or fail.")] = 1.0,
    rate: Annotated[float | None, typer.Option(min=0.001, help="Measure these clips/s; default: search.")] = None,
    seconds: Annotated[float, typer.Option(min=0.1, help="How long each rate or number is measured.")] = 10.0,
    arrivals: Annotated[Arrivals, typer.Option(help="How clips are spread over time.")] = Arrivals.FIXED,
    connections: Annotated[int, typer.Option(min=1, help="To the server, at most.")] = 256,
    streams: Annotated[bool, typer.Option("--streams", help="Live streams over WebSocket instead of clips.")] = False,
    count: Annotated[
        int | None, typer.Option(min=1, max=1000, help="With --streams: measure so many; default: search.")
    ] = None,
    fps: Annotated[
        float | None, typer.Option(min=0.1, max=240, help="With --streams: frames/s of each; default: the model's.")
    ] = None,
    every: Annotated[
        float, typer.Option(min=0, help="With --streams: seconds between two answers; 0: at every moment.")
    ] = 0.0,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object instead of a table.")] = False,
) -> None:
    """Find the most clips/s that a running server carries, or with --streams the most live streams.

    The exit code is 1 if it carries none, or not --rate or --count.
    """
    if (rate is not None) if streams else (count is not None or fps is not None or every):
        raise typer.BadParameter("--rate is of clips; --count, --fps and --every are of --streams")
    goal = Goal((p95 or (_P95_STREAM_MS if streams else _P95_CLIP_MS)) / 1e3, errors / 100)
    if streams:
        raise typer.Exit(bench_streams(url, clips, goal, Cameras(fps, every, seconds), count, as_json))
    raise typer.Exit(measure(url, clips, goal, Pace.of(arrivals, seconds, goal, connections), rate, as_json))


app.command("import")(import_model)
app.command("watch")(watch_source)


@app.command()
def models(
    directory: Annotated[Path | None, typer.Argument(help="The bundle; default: the one that would be served.")] = None,
) -> None:
    """Verify a bundle and show its card."""
    settings = _settings(model=directory)
    bundle = Bundle.load(settings.model, Device.choose("cpu", 1), settings.precision)
    card = bundle.card
    table = Table(title=f"{card.name} {card.version}", show_header=False, title_justify="left")
    rows = {
        "description": card.description,
        "labels": ", ".join(card.labels),
        "evidence": "\n".join(
            f"{kind.name}: {kind.picture}, {kind.size} px, every {kind.cadence} steps" for kind in card.evidence
        ),
        "sampling": f"{card.sampling.num_clips} windows of {card.sampling.clip_len} steps at {card.sampling.fps:g} fps",
        "head": f"{card.recurrent.head}, {_STREAMS[card.recurrent.streams]}",
        "outputs": "\n".join(map(_output, card.recurrent.outputs)) or "no others than scores",
        "precision": _precision(bundle),
        "abstention": _abstention(card),
        "metrics": "\n".join(f"{one.name} {one.value:.3f} on {one.clips} clips ({one.split})" for one in card.metrics),
        "licences": f"weights: {card.licences.weights}\ndata: {card.licences.data}",
        "files": "\n".join(_file(name, record) for name, record in card.files.items()),
    }
    for name, value in rows.items():
        table.add_row(name, escape(value))
    Console().print(table)


_STREAMS = {
    True: "streams: chunks with the state handed on are the whole clip",
    False: "needs the whole window at once: a stream's last window is read anew for every answer",
}


def _abstention(card: Card) -> str:
    if card.abstention is None:
        return "never: it has no threshold"
    one = card.abstention
    told = (f"{other.name}: AUROC {other.auroc:.3f} on {other.clips} clips" for other in one.strangers)
    return "\n".join((f"from {100 * one.false_alarms:.1f} % of known clips ({one.split})", *told))


def _output(output: Output) -> str:
    sides = ", ".join(map(str, output.axes))
    return f"{output.name} [{sides}]: {output.description}"


def _file(name: str, record: FileRecord) -> str:
    place = "" if record.beside is None else f" in {record.beside} beside the bundle"
    return f"{name}{place}, {record.bytes} bytes, verified"


def _precision(bundle: Bundle) -> str:
    if bundle.card.whole is not None:
        return f"as the graph has it; frames go in as {bundle.card.whole.type}"
    return f"{bundle.precision} on one core of this machine\n{_twins(bundle.card)}"


def _twins(card: Card) -> str:
    if card.int8 is None:
        return "no int8 twins"
    return f"int8 costs {card.int8.accuracy_fall:.2f} points of accuracy on {card.int8.clips} clips ({card.int8.split})"


def _join_commands() -> None:
    for entry in entry_points(group="kinema.commands"):
        try:
            command = entry.load()
        except ModuleNotFoundError as error:
            # An installation for serving alone has no `model` package; anything else that is missing is a fault.
            if error.name is None or error.name.partition(".")[0] != entry.module.partition(".")[0]:
                raise
            continue
        app.command(entry.name)(command)


def main() -> None:
    """Runs the command line; what goes wrong on purpose is told in words and not in a traceback."""
    _join_commands()
    try:
        app()
    except KinemaError as error:
        typer.secho(f"error: {error.detail}", fg="red", err=True)
        if error.advice:
            typer.echo(error.advice, err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
