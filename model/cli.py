"""The commands of `kinema` that make models. torch is imported when one runs, so that `kinema --help` is quick."""

from __future__ import annotations

import os
import re
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from service.errors import KinemaError

if TYPE_CHECKING:
    from model.bundle.export import Title

# Said again where the networks are, which import torch.
Head = Literal["lstm", "peephole", "article", "layernorm", "attention", "spatial", "convlstm", "bidirectional", "mean"]

CACHE = Path("~/.cache/kinema/features")
SHIPPED = Path(__file__).parent / "artifacts" / "default"

ClipsOption = Annotated[
    Path | None,
    typer.Option(help="Where the CSV's paths start; default: the directory beside it that has its name, else its own."),
]
CacheOption = Annotated[Path, typer.Option(help="Where features and encoders are kept between runs.")]
JobsOption = Annotated[int, typer.Option(min=1, help="Cores to use.")]
VersionOption = Annotated[str, typer.Option(help="The model's version.")]
WeightsLicenceOption = Annotated[str, typer.Option(help="Under which terms the weights may be used.")]
DataLicenceOption = Annotated[str, typer.Option(help="Under which terms the training data were published.")]
IMAGENET = "Apache-2.0; the encoders are EfficientNet-Lite0 with ImageNet weights, published by Google under Apache-2.0"
INTERRUPTED = 130
"""The exit code of what Ctrl-C ended."""


def slug(directory: Path) -> str:
    """A model's name, made of a directory's."""
    plain = re.sub(r"[^a-z0-9_.]+", "-", directory.resolve().name.lower()).strip("-._")
    return (plain if plain[:1].isalpha() else f"model-{plain}".rstrip("-"))[:64]


def cores() -> int:
    """As many cores as this process may use."""
    return len(os.sched_getaffinity(0))


def _title(name: str, version: str, description: str, weights: str, data: str) -> Title:
    """What a card says that no run knows.

    Raises:
        BadParameter: the name is none.
    """
    from pydantic import TypeAdapter, ValidationError

    from model.bundle.export import Title
    from service.inference.card import Licences
    from service.video.spec import Name

    try:
        TypeAdapter(Name).validate_python(name)
    except ValidationError as error:
        raise typer.BadParameter(f"{name!r} is no name: {error.errors()[0]['msg']}") from error
    return Title(name, version, description, Licences(weights=weights, data=data))


def _need_extra() -> None:
    """Says in words what an import would say in a traceback.

    Raises:
        KinemaError: the extra `train` is not installed.
    """
    missing = [name for name in ("torch", "onnx", "matplotlib") if find_spec(name) is None]
    if missing:
        raise KinemaError(
            f"making models needs {', '.join(missing)}, which serving does without",
            "Run `scripts/install train`, or `pip install '.[train]'`.",
        )


def train(  # noqa: PLR0913, PLR0917 - its arguments are the command's options
    data: Annotated[
        Path, typer.Argument(help="The directory of your clips, or a CSV or TXT that lists them.", show_default=False)
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Directory of the model.", show_default=False)],
    head: Annotated[
        Head | None,
        typer.Option(help="The recurrent head; by default cross-validation chooses. docs/models.md tells of each."),
    ] = None,
    minutes: Annotated[
        float | None, typer.Option(min=0.01, help="The most that all may take; by default as long as it takes.")
    ] = None,
    baselines: Annotated[
        bool, typer.Option(help="Cross-validate each kind of evidence alone, too, and the mean-pooled head.")
    ] = True,
    int8: Annotated[bool, typer.Option(help="Make int8 twins of the encoders.")] = True,
    finetune: Annotated[
        bool,
        typer.Option("--finetune", help="Train the encoders' last stages too; kept where that is surely better. Slow."),
    ] = False,
    finetune_only: Annotated[
        list[str] | None,
        typer.Option("--finetune-only", metavar="KIND", help="The same for this kind of evidence alone; repeatable."),
    ] = None,
    views: Annotated[
        int | None,
        typer.Option(min=1, help="Views of each clip: crops, mirrors, moments. [default: 3 to 9, more of few clips]"),
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Repetitions of the cross-validation.")] = 1,
    folds: Annotated[
        int, typer.Option(min=2, help="The most folds, where neither a column nor a split of yours makes them.")
    ] = 5,
    epochs: Annotated[int, typer.Option(min=1, help="The most epochs.")] = 30,
    patience: Annotated[
        int, typer.Option(min=0, help="Epochs without a better one after which training stops; 0 trains for all.")
    ] = 10,
    recipe: Annotated[
        Path | None, typer.Option(help="JSON of what the model looks at; default: as the shipped model.")
    ] = None,
    golden: Annotated[
        Path | None, typer.Option(help="The golden clip; default: one that the model is sure of and right about.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="The model's name; default: its directory's.")] = None,
    version: VersionOption = "1.0.0",
    description: Annotated[str | None, typer.Option(help="A sentence for people; default: the actions.")] = None,
    weights_licence: WeightsLicenceOption = IMAGENET,
    data_licence: DataLicenceOption = "not stated",
    clips: ClipsOption = None,
    fps: Annotated[float, typer.Option(min=0.1, help="At which frames that lie in folders were taken.")] = 25.0,
    cache: CacheOption = CACHE,
    jobs: Annotated[
        int | None, typer.Option(min=1, help="Processes that look at clips; default: as many as cores.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with an interrupted run.")] = False,
) -> None:
    """Train a model on your clips: from a folder, or a list, to a bundle that can be served, and a report."""
    _need_extra()
    from model.course.lesson import Asked, teach
    from model.data.recipe import EVERYDAY, Recipe
    from model.run.request import Request

    looked_at = Recipe.read(recipe) if recipe else EVERYDAY
    request = Request(
        clips="",
        recipe=looked_at,
        head=head,
        views=views,
        seeds=seeds,
        folds=folds,
        epochs=epochs,
        patience=patience,
        minutes=minutes,
        baselines=baselines,
        int8=int8,
        finetune=looked_at.tuned(finetune_only or ()) if finetune or finetune_only else (),
    )
    title = _title(name or slug(output), version, description or "", weights_licence, data_licence)
    try:
        teach(Asked(data, clips, fps, output, request, title, golden, cache.expanduser(), jobs or cores(), resume))
    except KeyboardInterrupt:
        typer.echo(f"Interrupted. The same command with --resume goes on; {output} keeps what is done.", err=True)
        raise typer.Exit(INTERRUPTED) from None


def evaluate(
    model: Annotated[Path, typer.Argument(help="A finished run, or a bundle.", show_default=False)],
    data: Annotated[
        Path | None,
        typer.Argument(help="A directory of clips, or a list of them; not needed to judge a run by its folds."),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Directory for report.html, its tables (CSV) and pictures (PNG)."),
    ] = None,
    folds: Annotated[
        bool,
        typer.Option("--folds", help="Judge a run by its cross-validation; the default where no data are named."),
    ] = False,
    clips: ClipsOption = None,
    cache: CacheOption = CACHE,
    jobs: JobsOption = 1,
) -> None:
    """Judge a model on labelled clips, or a run by its folds. Clips that a model was trained on tell nothing."""
    _need_extra()
    from model.data.dataset import Dataset
    from model.evaluation import evaluation
    from model.evaluation.answers import is_run
    from model.run.run import Run

    skipped = 0
    if folds or data is None:
        run = Run.open(model)
        if not is_run(run.directory):
            raise typer.BadParameter("only a run has folds; name the clips that a bundle is to be judged on")
        told = evaluation.evaluate_folds(run, Dataset.read(data, clips) if data else None, output)
    else:
        kept = cache.expanduser()
        dataset, how = evaluation.labelled(data, clips, kept, jobs)
        found = evaluation.evaluate(model, dataset, output, kept, jobs, how)
        told, skipped = found.judgement, len(how.skipped) + len(found.skipped)
    interval = f"95 % interval {100 * told.interval.low:.1f} to {100 * told.interval.high:.1f}"
    typer.echo(f"accuracy {100 * told.accuracy:.1f} % ({interval}) on {len(told.clips)} clips")
    typer.echo(f"expected calibration error {told.ece:.3f} at temperature {told.temperature:.3f}")
    if told.strangers is not None:
        typer.echo(
            f"{len(told.strangers.clips)} strangers, told from known actions with AUROC {told.stranger_auroc:.3f}"
        )
    if skipped:
        typer.echo(f"{skipped} clips skipped")


def look(
    clips: Annotated[
        Path, typer.Argument(help="The directory of your clips, or a CSV or TXT that lists them.", show_default=False)
    ],
    root: Annotated[Path | None, typer.Option("--clips", help="Where the paths of a list start.")] = None,
    fps: Annotated[float, typer.Option(min=0.1, help="At which frames that lie in folders were taken.")] = 25.0,
    cache: CacheOption = CACHE,
    jobs: JobsOption = 2,
) -> None:
    """Look at your clips before training: what is found, what cannot be used, what would make them better."""
    from rich.console import Console

    from model.data.recipe import EVERYDAY
    from model.folder.gather import gather
    from model.folder.show import show
    from model.folder.sources import find_sources

    console = Console(stderr=True)
    with console.status("looking for clips") as status:

        def watch(done: int, of: int) -> None:
            status.update(f"looking at clips: {done:,} of {of:,}")

        found = gather(clips, root, cache.expanduser(), jobs, fps, watch)
    show(found, find_sources(found.clips, found.names), EVERYDAY.plan.window_s, Console())


def compare(
    runs: Annotated[list[Path], typer.Argument(help="Finished runs, on the same clips.", show_default=False)],
    output: Annotated[Path | None, typer.Option("--output", "-o", help="A CSV for the table.")] = None,
) -> None:
    """Put the heads of several runs side by side: accuracy by fold, size, time, whether they stream."""
    _need_extra()
    from model.evaluation.family import family, show_family, write_family
    from model.run.run import Run

    members = family([Run.open(run) for run in runs])
    show_family(members)
    if output is not None:
        write_family(output, members)


def explore(
    clip: Annotated[Path, typer.Argument(help="The clip.", show_default=False)],
    model: Annotated[
        Path, typer.Option("--model", "-m", envvar="KINEMA_MODEL", help="Directory of the bundle.")
    ] = SHIPPED,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The page; default: the clip's name with .html, here.")
    ] = None,
) -> None:
    """Write a page that shows what a model saw in a clip and what happened inside its head."""
    _need_extra()
    from model.explore.page import write_page

    page = output or Path(f"{clip.stem}.html")
    best = write_page(model, clip, page)
    typer.echo(f"{page} shows {clip.name}: {best.label} {best.score:.3f}")


def quantize(
    run: Annotated[Path, typer.Argument(help="A finished run.")],
    data: Annotated[Path | None, typer.Argument(help="The CSV that it was trained on; a run knows it.")] = None,
    each_fold: Annotated[
        bool, typer.Option(help="Measure twins that were calibrated without the fold tested: slower.")
    ] = True,
    seeds: Annotated[int | None, typer.Option(min=1, help="Repetitions to measure; default: all.")] = None,
    clips: ClipsOption = None,
    cache: CacheOption = CACHE,
    jobs: JobsOption = 1,
) -> None:
    """Make int8 twins of a run's encoders, and measure what they cost. `kinema export` takes them along."""
    _need_extra()
    from model.course.int8 import quantize as make
    from model.data.dataset import Dataset
    from model.run.errors import RunError
    from model.run.run import Run

    opened = Run.open(run)
    dataset = Dataset.read(data, clips) if data else opened.dataset()
    if dataset is None:
        raise RunError(f"{run} does not say which clips it is made of", "Name the CSV that it was trained on.")
    found = make(opened, dataset, cache.expanduser(), jobs, each_fold=each_fold, seeds=seeds)
    typer.echo(
        f"accuracy {100 * found.accuracy:.1f} % with the encoders, {100 * found.accuracy_int8:.1f} % with their int8 "
        f"twins; {100 * found.changed:.1f} % of the answers are others"
    )


def strangers(
    run: Annotated[Path, typer.Argument(help="A model with its training, or a finished run.")],
    strange: Annotated[Path, typer.Argument(help="Clips that show something else: a folder, or a list.")],
    name: Annotated[str | None, typer.Option(help="What to call them; default: the folder's or list's name.")] = None,
    clips: ClipsOption = None,
    cache: CacheOption = CACHE,
    jobs: JobsOption = 1,
) -> None:
    """Measure how well a run tells clips that show something else from its own. `kinema export` takes it along."""
    _need_extra()
    from model.evaluation.strangers import strangers as measure
    from model.folder.gather import gather
    from model.run.run import Run

    kept = cache.expanduser()
    others = gather(strange, clips, kept, jobs, classes=1).clips
    found = measure(Run.open(run), others, name or strange.stem, kept, jobs)
    typer.echo(f"{found.name}: AUROC {found.auroc:.3f}, {100 * found.rejected:.1f} % of {found.clips} clips rejected")


def export(  # noqa: PLR0913, PLR0917 - its arguments are the command's options
    run: Annotated[Path, typer.Argument(help="A finished run.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Directory of the bundle; one that is there is replaced.")
    ],
    golden: Annotated[Path, typer.Option(help="A small clip; the service answers it at start to check itself.")],
    name: Annotated[str, typer.Option(help="The model's name: lower-case letters, digits, '.', '_' and '-'.")],
    version: VersionOption = "1.0.0",
    description: Annotated[str, typer.Option(help="A sentence for people.")] = "",
    weights_licence: WeightsLicenceOption = "not stated",
    data_licence: DataLicenceOption = "not stated",
    share: Annotated[
        list[str] | None,
        typer.Option(
            help="A directory beside the bundle, in which bundles share encoders and golden clips; may be repeated: "
            "what is in none goes into the last."
        ),
    ] = None,
) -> None:
    """Make a bundle of a finished run: ONNX graphs, card and golden clip."""
    _need_extra()
    from model.bundle.export import export as make
    from model.run.run import Run

    title = _title(name, version, description, weights_licence, data_licence)
    card = make(Run.open(run), output, golden, title, share or ())
    typer.echo(f"{output} is a bundle: {card.name} {card.version}, {len(card.labels)} labels")


def study(
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Directory of the study; trainings that are in it are not repeated.")
    ],
    steps: Annotated[
        list[int] | None, typer.Option(min=2, help="Numbers in a problem; repeatable. [default: 100, 400 and 800]")
    ] = None,
    iterations: Annotated[
        int | None, typer.Option(min=1, help="The most iterations of each training; default: by the number of steps.")
    ] = None,
    hidden: Annotated[int, typer.Option(min=1, help="What each cell remembers, in numbers.")] = 64,
) -> None:
    """Compare how cells keep what was long ago: gradients over 200 steps, and the adding problem. On one core."""
    _need_extra()
    import torch

    from model.console import progress
    from model.study import study as study_of

    torch.set_num_threads(1)
    limits = {length: iterations or study_of.limit(length) for length in steps or study_of.ITERATIONS}
    kept, todo = study_of.Study(output), study_of.tasks(limits, hidden)
    with progress() as bar:
        found = [kept.learn(task) for task in bar.track(todo, description="learning to add")]
    study_of.report(kept, found)
    for one in found:
        word = "solved" if one.solved else "not solved"
        error = f"least error {study_of.least(one):.4f}"
        typer.echo(f"{one.task.cell}, {one.task.steps} steps: {word} after {one.tests[-1].iteration}, {error}")
