"""The work behind the commands: what `kinema train` and others do, step by step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from numpy.typing import NDArray
from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from model import familiar
from model.data import Clip, Dataset
from model.evaluate import calibration, confusion, fit_temperature
from model.explore import ExploreError
from model.explore import explore as look_inside
from model.family import COLUMNS, Member, cells
from model.features import Extractor
from model.final import Final
from model.looks import Looks, extractor, look
from model.page import render
from model.plan import Plan
from model.quantize import Pictures, calibration_clips, calibration_pictures
from model.quantize import quantize as write_twin
from model.report import Row, draw_confusion, draw_curve, rows, write_confusion, write_log, write_table, write_twins
from model.run import Run
from model.train import Windows, fit
from model.trial import out_of_fold
from model.tunings import Tunings, means_apart
from model.twins import Comparison, Twins
from model.validate import compare, configure
from service.inference.postprocess import Prediction

console = Console(stderr=True)
"""Progress and tables are for people; standard output stays free for what programs read."""


def progress() -> Progress:
    """A bar with what is done, the time passed and the time left."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=console,
    )


def quantize(
    run: Run, dataset: Dataset, cache: Path, jobs: int, *, each_fold: bool = True, seeds: int | None = None
) -> Twins:
    """Makes the int8 twins of a finished run's encoders and measures what they cost.

    For each fold, twins calibrated on clips of the other folds look at its clips. The heads of the run's trials are
    trained anew on the encoders' own features and tested on both. The twins that are kept are calibrated on all folds,
    like the head that is kept.

    Args:
        run: the run.
        dataset: the clips that it was trained on.
        cache: where features are kept.
        jobs: processes.
        each_fold: whether there are twins of each fold; otherwise those that are kept look at all clips. Calibration
            reads pictures and no labels, and takes much longer than it tells.
        seeds: how many of the run's repetitions are measured; by default all.

    Raises:
        RunError: the run is not finished, or was trained on other clips.
        DataError: a clip cannot be decoded.
    """
    plan, _ = run.plan(), run.final()
    plan.check(dataset)
    torch.set_num_threads(1)
    files = _looked(run, plan, dataset, cache, jobs)
    looks = Looks.of(plan, dataset, files, run.directory)
    kept = plan.variants[0]
    tunings = Tunings(run, plan, dataset, looks, jobs, kept.tuned) if kept.tuned else None
    # Tuned encoders that are kept know all clips, so that only those of each fold can tell what twins cost.
    each_fold = each_fold or bool(kept.tuned)
    pictures = _pictures(plan, dataset, each_fold=each_fold)
    for kind in plan.recipe.evidence:
        write_twin(run.encoder(kind.name), _of(kind.name, pictures, dataset.clips), run.twin(kind.name))
    seen = _seen_by_twins(run, plan, dataset, pictures, cache, jobs, tunings, each_fold=each_fold)
    others = Looks.of(plan, dataset, seen, run.directory).read_by(kept)
    folds = np.array([clip.fold for clip in dataset.clips])
    found: list[Comparison] = []
    with progress() as bar:
        for fold in bar.track(dataset.folds, description="comparing"):
            own = (looks if tunings is None else tunings.looks(fold)).read_by(kept)
            done = [one for one in run.trials() if one.variant == kept and one.fold == fold][:seeds]
            found += [compare(one, plan.training, own, others, folds) for one in done]
    if tunings is not None:
        tunings.forget(all_of_it=False)
    found.sort(key=lambda one: (one.seed, one.fold))
    _hear_false_alarms(run, plan, folds, found, (looks.read_by(kept), others))
    how = "twins calibrated without the fold tested" if each_fold else "twins calibrated on pictures of all folds"
    measured = Twins(comparisons=tuple(found), calibrated=how)
    write_twins(run.int8, measured)
    run.keep_twins(measured)
    return measured


def _looked(run: Run, plan: Plan, dataset: Dataset, cache: Path, jobs: int) -> dict[Clip, list[Path]]:
    with progress() as bar:
        task = bar.add_task("looking at clips", total=len(dataset.clips))
        looker = extractor(run, plan, cache, frozen=True)
        return look(looker, dataset.clips, plan.views, jobs, lambda: bar.advance(task))


def _hear_false_alarms(
    run: Run, plan: Plan, folds: NDArray[np.int64], found: Sequence[Comparison], seen: tuple[Windows, Windows]
) -> None:
    """Finds out how many known clips are abstained from with the twins, where the head abstains at all."""
    final, kinds = run.final(), familiar.kinds_read(plan.recipe, plan.variants[0].kinds)
    if final.abstention is None:
        return
    clips, logits = out_of_fold([one for one in run.trials() if one.variant == plan.variants[0]])
    tested = np.concatenate([np.flatnonzero(folds == one.fold) for one in found])
    highest = np.concatenate([np.array(one.highest_int8) for one in found])
    own, others = (familiar.clip_means(windows, kinds, plan.clips) for windows in seen)
    share = familiar.false_alarms(
        own,
        folds,
        by_clip(clips, logits.max(1), plan),
        (others, by_clip(tested, highest, plan)),
        final.abstention.threshold,
        means_apart(run, plan),
    )
    run.finish(final.knowing(false_alarms_int8=round(share, 4)))


# With more columns the names of heads would have no room on a terminal of 80 characters.
_MOST_FOLDS = 6

_Calibration = Mapping[Clip, Mapping[str, Pictures]]
"""Pictures of some clips, by kind of evidence."""


def _pictures(plan: Plan, dataset: Dataset, *, each_fold: bool) -> _Calibration:
    """What the twins that are kept, and where wanted those of each fold, are calibrated on."""
    without = ([clip for clip in dataset.clips if clip.fold != fold] for fold in dataset.folds if each_fold)
    chosen = dict.fromkeys(clip for part in (dataset.clips, *without) for clip in calibration_clips(part))
    with progress() as bar:
        found = bar.track(chosen, description="calibrating")
        return {clip: calibration_pictures(plan.recipe, clip) for clip in found}


def _of(kind: str, pictures: _Calibration, clips: Sequence[Clip]) -> Pictures:
    return np.concatenate([pictures[clip][kind] for clip in calibration_clips(clips)])


def _seen_by_twins(
    run: Run,
    plan: Plan,
    dataset: Dataset,
    pictures: _Calibration,
    cache: Path,
    jobs: int,
    tunings: Tunings | None,
    *,
    each_fold: bool,
) -> dict[Clip, list[Path]]:
    """Where the features are that the twins see, those of each fold or those that are kept."""
    kinds = [kind.name for kind in plan.recipe.evidence]
    found: dict[Clip, list[Path]] = {}
    with progress() as bar, TemporaryDirectory() as directory:
        task = bar.add_task("looking in int8", total=len(dataset.clips))
        for fold in dataset.folds if each_fold else (None,):
            others = [clip for clip in dataset.clips if clip.fold != fold]
            tested = [clip for clip in dataset.clips if fold in {None, clip.fold}]
            twins = {kind: run.twin(kind) for kind in kinds}
            if each_fold:
                twins = {kind: Path(directory) / f"{kind}.onnx" for kind in kinds}
                for kind, twin in twins.items():
                    encoder = run.encoder(kind) if tunings is None else tunings.encoder(kind, fold)
                    write_twin(encoder, _of(kind, pictures, others), twin)
            looker = Extractor(plan.recipe, twins, plan.augmentation, cache)
            found |= look(looker, tested, 1, jobs, lambda: bar.advance(task))
    return found


def by_clip(clips: NDArray[np.int64], values: NDArray[np.generic], plan: Plan) -> NDArray[np.float64]:
    """The mean over repetitions of what was found of each clip: float64 [clips]."""
    counts = np.maximum(np.bincount(clips, minlength=plan.clips), 1)
    return np.bincount(clips, values.astype(np.float64), plan.clips) / counts


def finish(run: Run, plan: Plan, windows: Windows, folds: NDArray[np.int64]) -> None:
    """Trains the head that is kept, on all folds, and writes what the run has found."""
    trials = run.trials()
    kept = [one for one in trials if one.variant == plan.variants[0]]
    clips, logits = out_of_fold(kept)
    labels = windows.labels.numpy()[clips]
    epochs = max(1, round(float(np.mean([one.epochs for one in kept]))))
    config = configure(plan.variants[0], windows)
    training = plan.variants[0].training(plan.training)
    fitted = fit(config, training, windows, np.arange(plan.clips), seed=0, epochs=epochs)
    means = familiar.clip_means(windows, familiar.kinds_read(plan.recipe, plan.variants[0].kinds), plan.clips)
    right = by_clip(clips, logits.argmax(1) == labels, plan)
    score, abstention = familiar.judge(means, folds, by_clip(clips, logits.max(1), plan), right, means_apart(run, plan))
    head = familiar.attach(fitted.head, score)
    torch.save(head.state_dict(), run.head)
    write_table(run.table, trials)
    write_log(run, trials, fitted.history)
    matrix = confusion(logits.argmax(1), labels, len(plan.labels))
    write_confusion(run.confusion, matrix, plan.labels)
    row, kinds = rows(plan, trials)[0], [kind.name for kind in plan.recipe.evidence]
    of = f"{plan.clips} clips, {plan.folds} folds, {plan.seeds} repetition(s)"
    draw_confusion(
        run.directory / "confusion-matrix.png",
        matrix,
        plan.labels,
        f"Answers in % of each action's clips: {100 * row.accuracy:.1f} % right ({of})",
    )
    draw_curve(
        run.directory / "training-curve.png",
        kept,
        f"One line a training, a point at the epoch chosen ({row.variant.called(kinds)})",
    )
    run.finish(
        Final(
            config=head.config,
            epochs=epochs,
            uncalibrated=calibration(logits, labels),
            calibrated=calibration(logits, labels, fit_temperature(logits, labels)),
            trained=fitted.history,
            abstention=abstention,
        )
    )
    show(run)


def show(run: Run) -> None:
    """Prints a run's table and calibration."""
    plan, final, trials = run.plan(), run.final(), run.trials()
    folds = sorted({one.fold for one in trials})
    if len(folds) > _MOST_FOLDS:  # `table.csv` has them all
        folds = []
    table = _table(f"Accuracy in %, {plan.clips} clips, mean of {plan.seeds} repetition(s)")
    table.add_column("head / fold" if folds else "head")
    columns = (*map(str, folds), "all", "spread", "epochs")
    for column in columns:
        table.add_column(column, justify="right", no_wrap=True)
    kinds = [kind.name for kind in plan.recipe.evidence]
    for row in rows(plan, trials):
        table.add_row(row.variant.called(kinds), *_cells(row)[-len(columns) :])
    console.print(table)
    for name, found in (("before", final.uncalibrated), ("after", final.calibrated)):
        console.print(
            f"{name} calibration: temperature {found.temperature:.3f}, NLL {found.nll:.3f}, ECE {found.ece:.3f}"
        )


def _table(title: str) -> Table:
    return Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 0, 0, 1), pad_edge=False)


def show_family(members: Sequence[Member]) -> None:
    """Prints heads side by side."""
    table = _table("Accuracy in %; times on one core, encoders excluded")
    for column in COLUMNS:
        table.add_column(column, justify="left" if column == COLUMNS[0] else "right", no_wrap=True)
    for member in members:
        table.add_row(*cells(member)[: len(COLUMNS)])
    console.print(table)


def _cells(row: Row) -> list[str]:
    shares = [f"{100 * share:.1f}" for share in (*row.folds, row.accuracy)]
    return [*shares, f"±{100 * row.spread:.1f}", f"{row.epochs:.1f}"]


def explore(model: Path, clip: Path, page: Path) -> Prediction:
    """Writes a page that shows what a bundle saw in a clip, and returns the best answer.

    Raises:
        ExploreError: the clip cannot be read, or the page cannot be written.
        BundleError: no bundle, or one whose head cannot be read back.
        ClipError: the clip cannot be decoded.
    """
    if page.exists() and page.samefile(clip):
        raise ExploreError(f"{page} is the clip itself", "Name another file with -o.")
    try:
        data = clip.read_bytes()
    except OSError as error:
        raise ExploreError(f"{clip} cannot be read: {error.strerror}", "Name a clip.") from error
    with console.status("") as status:
        found = look_inside(model, data, status.update)
        html = render(found, clip.name, status.update)
    try:
        page.write_text(html, encoding="utf-8", errors="replace")
    except OSError as error:
        raise ExploreError(f"{page} cannot be written: {error.strerror}", "Name another file with -o.") from error
    return found.predictions[0]
