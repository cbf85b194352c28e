"""The commands of `kinema` that make models. torch is imported when one runs, so that `kinema --help` is quick."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Literal

import typer

from service.errors import KinemaError

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
    data: Annotated[Path, typer.Argument(help="CSV with the columns path, label, source and fold.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Directory of the run.")],
    head: Annotated[Head, typer.Option(help="The recurrent head to keep: docs/models.md tells what each is.")] = "lstm",
    baselines: Annotated[
        bool, typer.Option(help="Cross-validate the mean-pooled head, and each kind of evidence alone, for comparison.")
    ] = True,
    views: Annotated[int, typer.Option(min=1, help="Views of each clip to draw from: crops, mirrors, moments.")] = 9,
    seeds: Annotated[int, typer.Option(min=1, help="Repetitions of the cross-validation.")] = 3,
    epochs: Annotated[int, typer.Option(min=1, help="The most epochs.")] = 30,
    recipe: Annotated[
        Path | None, typer.Option(help="JSON of what the model looks at; default: as the shipped model.")
    ] = None,
    clips: ClipsOption = None,
    cache: CacheOption = CACHE,
    jobs: JobsOption = 1,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with an interrupted run.")] = False,
) -> None:
    """Train a recurrent head on labelled clips and cross-validate it."""
    _need_extra()
    from model import work
    from model.data import Dataset
    from model.recipe import EVERYDAY, Recipe
    from model.run import Plan, Run, variants
    from model.train import TrainConfig
    from model.views import Augmentation

    dataset = Dataset.read(data, clips)
    looked_at = Recipe.read(recipe) if recipe else EVERYDAY
    plan = Plan(
        dataset=dataset.digest,
        labels=dataset.labels,
        clips=len(dataset.clips),
        folds=len(dataset.folds),
        recipe=looked_at,
        augmentation=Augmentation(),
        training=TrainConfig(horizon=epochs),
        views=views,
        seeds=seeds,
        variants=variants(head, tuple(kind.name for kind in looked_at.evidence), baselines=baselines),
    )
    run = Run.start(output, plan, resume=resume)
    work.train(run, plan, dataset, cache.expanduser(), jobs)
    typer.echo(
        f"{output} is finished; `kinema export {output} -o BUNDLE --golden CLIP --name NAME` makes a bundle of it"
    )


def evaluate(
    model: Annotated[Path, typer.Argument(help="A finished run, or a bundle.")],
    data: Annotated[Path, typer.Argument(help="CSV with the columns path and label.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Directory for the confusion matrix, as CSV and picture.")
    ] = None,
    clips: ClipsOption = None,
    cache: CacheOption = CACHE,
    jobs: JobsOption = 1,
) -> None:
    """Measure a model's accuracy on labelled clips. On clips that it was trained on, the figure says nothing."""
    _need_extra()
    from model import work
    from model.data import Dataset

    dataset = Dataset.read(data, clips, folds=False)
    accuracy = work.evaluate(model, dataset, output, cache.expanduser(), jobs)
    typer.echo(f"accuracy {100 * accuracy:.1f} % on {len(dataset.clips)} clips")


def compare(
    runs: Annotated[list[Path], typer.Argument(help="Finished runs, on the same clips.", show_default=False)],
    output: Annotated[Path | None, typer.Option("--output", "-o", help="A CSV for the table.")] = None,
) -> None:
    """Put the heads of several runs side by side: accuracy by fold, size, time, whether they stream."""
    _need_extra()
    from model import work
    from model.family import family, write_family
    from model.run import Run

    members = family([Run(run) for run in runs])
    work.show_family(members)
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
    from model import work

    page = output or Path(f"{clip.stem}.html")
    best = work.explore(model, clip, page)
    typer.echo(f"{page} shows {clip.name}: {best.label} {best.score:.3f}")


def quantize(
    run: Annotated[Path, typer.Argument(help="A finished run.")],
    data: Annotated[Path, typer.Argument(help="The CSV that it was trained on.")],
    clips: ClipsOption = None,
    cache: CacheOption = CACHE,
    jobs: JobsOption = 1,
) -> None:
    """Make int8 twins of a run's encoders, and measure what they cost. `kinema export` takes them along."""
    _need_extra()
    from model import work
    from model.data import Dataset
    from model.run import Run

    found = work.quantize(Run(run), Dataset.read(data, clips), cache.expanduser(), jobs)
    typer.echo(
        f"accuracy {100 * found.accuracy:.1f} % with the encoders, {100 * found.accuracy_int8:.1f} % with their int8 "
        f"twins; {100 * found.changed:.1f} % of the answers are others"
    )


def strangers(
    run: Annotated[Path, typer.Argument(help="A finished run.")],
    data: Annotated[Path, typer.Argument(help="The CSV that it was trained on.")],
    strange: Annotated[Path, typer.Argument(help="CSV, with path and label, of clips that show something else.")],
    name: Annotated[str | None, typer.Option(help="What to call them; default: the CSV's name.")] = None,
    clips: ClipsOption = None,
    cache: CacheOption = CACHE,
    jobs: JobsOption = 1,
) -> None:
    """Measure how well a run tells clips that show something else from its own. `kinema export` takes it along."""
    _need_extra()
    from model import work
    from model.data import Dataset
    from model.run import Run

    others = Dataset.read(strange, folds=False)
    found = work.strangers(Run(run), Dataset.read(data, clips), others, name or strange.stem, cache.expanduser(), jobs)
    typer.echo(f"{found.name}: AUROC {found.auroc:.3f}, {100 * found.rejected:.1f} % of {found.clips} clips rejected")


def export(  # noqa: PLR0913, PLR0917 - its arguments are the command's options
    run: Annotated[Path, typer.Argument(help="A finished run.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Directory of the bundle; one that is there is replaced.")
    ],
    golden: Annotated[Path, typer.Option(help="A small clip; the service answers it at start to check itself.")],
    name: Annotated[str, typer.Option(help="The model's name: lower-case letters, digits, '.', '_' and '-'.")],
    version: Annotated[str, typer.Option(help="The model's version.")] = "1.0.0",
    description: Annotated[str, typer.Option(help="A sentence for people.")] = "",
    weights_licence: Annotated[str, typer.Option(help="Under which terms the weights may be used.")] = "not stated",
    data_licence: Annotated[
        str, typer.Option(help="Under which terms the training data were published.")
    ] = "not stated",
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
    from pydantic import TypeAdapter, ValidationError

    from model.export import Title
    from model.export import export as make
    from model.run import Run
    from service.inference.card import Licences
    from service.video.spec import Name

    try:
        TypeAdapter(Name).validate_python(name)
    except ValidationError as error:
        raise typer.BadParameter(f"{name!r} is no name: {error.errors()[0]['msg']}") from error
    title = Title(name, version, description, Licences(weights=weights_licence, data=data_licence))
    card = make(Run(run), output, golden, title, share or ())
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

    from model import study as study_of
    from model.work import progress

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
