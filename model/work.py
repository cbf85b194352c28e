"""The work behind the commands: what `kinema train` and `kinema evaluate` do, step by step."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import replace
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
from model.data import Clip, DataError, Dataset
from model.encoders import share_encoder
from model.evaluate import calibration, confusion, fit_temperature
from model.explore import ExploreError
from model.explore import explore as look_inside
from model.export import load_head
from model.family import COLUMNS, Member, cells
from model.features import ClipFeatures, Extractor
from model.page import render
from model.quantize import Pictures, calibration_clips, calibration_pictures
from model.quantize import quantize as write_twin
from model.report import (
    Row,
    draw_confusion,
    draw_curve,
    out_of_fold,
    rows,
    write_confusion,
    write_log,
    write_table,
    write_twins,
)
from model.run import Final, Plan, Run, RunError, Twins
from model.train import Windows, fit, predict
from model.validate import compare, configure, trial
from service.alone import answer
from service.errors import ClipError
from service.inference.bundle import Bundle
from service.inference.card import Card, Strangers
from service.inference.postprocess import Prediction
from service.inference.session import Device
from service.video.spec import PictureSpec

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


def train(run: Run, plan: Plan, dataset: Dataset, cache: Path, jobs: int) -> None:
    """Carries out a run, or what is left of it.

    Raises:
        DataError: a clip cannot be decoded.
    """
    torch.set_num_threads(jobs)
    _share_encoders(run, plan, cache)
    windows = _windows(run, plan, dataset, cache, jobs, views=plan.views)
    folds = np.array([clip.fold for clip in dataset.clips])
    todo = list(itertools.product(plan.variants, range(plan.seeds), dataset.folds))
    with progress() as bar:
        for variant, seed, fold in bar.track(todo, description="cross-validating"):
            if run.trial(variant, seed, fold) is None:
                run.keep(trial(variant, plan.training, windows, folds, seed, fold))
    _finish(run, plan, windows, folds)


def _share_encoders(run: Run, plan: Plan, cache: Path) -> None:
    for kind in plan.recipe.evidence:
        share_encoder(cache / "encoders", kind.size, run.encoder(kind.name), with_map=kind.name == plan.mapped)


def _windows(run: Run, plan: Plan, dataset: Dataset, cache: Path, jobs: int, *, views: int) -> Windows:
    kinds = [kind.name for kind in plan.recipe.evidence]
    extractor = Extractor(plan.recipe, {kind: run.encoder(kind) for kind in kinds}, plan.augmentation, cache)
    paths = [clip.path for clip in dataset.clips]
    with progress() as bar:
        seen = dict(bar.track(extractor.extract(paths, views, jobs), total=len(paths), description="looking at clips"))
    return _gathered(plan, dataset, seen)


def _gathered(plan: Plan, dataset: Dataset, seen: Mapping[Path, Sequence[ClipFeatures]]) -> Windows:
    labels = [plan.labels.index(clip.label) for clip in dataset.clips]
    kinds = [kind.name for kind in plan.recipe.evidence]
    return Windows.of([seen[clip.path] for clip in dataset.clips], labels, kinds)


def quantize(run: Run, dataset: Dataset, cache: Path, jobs: int) -> Twins:
    """Makes the int8 twins of a finished run's encoders and measures what they cost.

    For each fold, twins calibrated on clips of the other folds look at its clips. The heads of the run's trials are
    trained anew on the encoders' own features and tested on both. The twins that are kept are calibrated on all folds,
    like the head that is kept.

    Raises:
        RunError: the run is not finished, or was trained on other clips.
        DataError: a clip cannot be decoded.
    """
    plan, _ = run.plan(), run.final()
    plan.check(dataset)
    torch.set_num_threads(jobs)
    windows = _windows(run, plan, dataset, cache, jobs, views=plan.views)
    pictures = _pictures(plan, dataset)
    seen: dict[Path, Sequence[ClipFeatures]] = {}
    with progress() as bar:
        for fold in bar.track(dataset.folds, description="looking in int8"):
            seen |= _seen_by_twins(run, plan, dataset, pictures, fold, cache, jobs)
    twins = _gathered(plan, dataset, seen)
    folds = np.array([clip.fold for clip in dataset.clips])
    done = [one for one in run.trials() if one.variant == plan.variants[0]]
    with progress() as bar:
        found = [compare(one, plan.training, windows, twins, folds) for one in bar.track(done, description="comparing")]
        for kind in bar.track(plan.recipe.evidence, description="writing twins"):
            write_twin(run.encoder(kind.name), _of(kind.name, pictures, dataset.clips), run.twin(kind.name))
    final, kinds = run.final(), familiar.kinds_read(_evidence(plan))
    if final.abstention is not None:
        clips, logits = out_of_fold(done)
        tested = np.concatenate([np.flatnonzero(folds == one.fold) for one in found])
        highest = np.concatenate([np.array(one.highest_int8) for one in found])
        share = familiar.false_alarms(
            familiar.clip_means(windows, kinds, plan.clips),
            folds,
            _by_clip(clips, logits.max(1), plan),
            (familiar.clip_means(twins, kinds, plan.clips), _by_clip(tested, highest, plan)),
            final.abstention.threshold,
        )
        run.finish(final.knowing(false_alarms_int8=round(share, 4)))
    measured = Twins(comparisons=tuple(found))
    write_twins(run.int8, measured)
    run.keep_twins(measured)
    return measured


def strangers(run: Run, dataset: Dataset, strange: Dataset, name: str, cache: Path, jobs: int) -> Strangers:
    """Measures how well a finished run tells clips of another kind from those that it was trained on.

    Args:
        run: the run.
        dataset: the clips that it was trained on.
        strange: the others; what they show does not matter.
        name: what to call them.
        cache: where features are kept.
        jobs: processes.

    Raises:
        RunError: the run is not finished, was trained on other clips, or cannot abstain.
        DataError: a clip cannot be decoded.
    """
    plan, final = run.plan(), run.final()
    plan.check(dataset)
    if final.abstention is None:
        raise RunError("the run's head does not say how familiar a clip is", "Train it anew.")
    folds = np.array([clip.fold for clip in dataset.clips])
    unlabelled = Dataset(tuple(replace(clip, label=plan.labels[0]) for clip in strange.clips))
    windows, others = (_windows(run, plan, one, cache, jobs, views=1) for one in (dataset, unlabelled))
    clips, logits = out_of_fold([one for one in run.trials() if one.variant == plan.variants[0]])
    means = familiar.clip_means(windows, familiar.kinds_read(_evidence(plan)), plan.clips)
    unseen = familiar.out_of_fold(means, folds, _by_clip(clips, logits.max(1), plan))
    scores = familiar.of_head(load_head(run, final), others, len(strange.clips))
    known = familiar.Scale(unseen).scores(unseen)
    found = familiar.told_apart(name, len(strange.clips), known, scores, final.abstention.threshold)
    kept = (one for one in final.abstention.strangers if one.name != name)
    run.finish(final.knowing(strangers=(*kept, found)))
    return found


_Calibration = Mapping[Clip, Mapping[str, Pictures]]
"""Pictures of some clips, by kind of evidence."""


def _pictures(plan: Plan, dataset: Dataset) -> _Calibration:
    """What the twins of each fold, and those of all, are calibrated on."""
    parts = [dataset.clips, *([clip for clip in dataset.clips if clip.fold != fold] for fold in dataset.folds)]
    chosen = dict.fromkeys(clip for part in parts for clip in calibration_clips(part))
    with progress() as bar:
        found = bar.track(chosen, description="calibrating")
        return {clip: calibration_pictures(plan.recipe, clip) for clip in found}


def _of(kind: str, pictures: _Calibration, clips: Sequence[Clip]) -> Pictures:
    return np.concatenate([pictures[clip][kind] for clip in calibration_clips(clips)])


def _seen_by_twins(
    run: Run, plan: Plan, dataset: Dataset, pictures: _Calibration, fold: int, cache: Path, jobs: int
) -> dict[Path, Sequence[ClipFeatures]]:
    """The features of a fold's clips, of twins that were calibrated without them."""
    others = [clip for clip in dataset.clips if clip.fold != fold]
    with TemporaryDirectory() as directory:
        twins = {kind.name: Path(directory) / f"{kind.name}.onnx" for kind in plan.recipe.evidence}
        for kind, twin in twins.items():
            write_twin(run.encoder(kind), _of(kind, pictures, others), twin)
        tested = [clip.path for clip in dataset.clips if clip.fold == fold]
        return dict(Extractor(plan.recipe, twins, plan.augmentation, cache).extract(tested, 1, jobs))


def _evidence(plan: Plan) -> list[PictureSpec]:
    """What the head that is kept reads."""
    return [kind for kind in plan.recipe.evidence if kind.name in plan.variants[0].kinds]


def _by_clip(clips: NDArray[np.int64], values: NDArray[np.generic], plan: Plan) -> NDArray[np.float64]:
    """The mean over repetitions of what was found of each clip: float64 [clips]."""
    counts = np.maximum(np.bincount(clips, minlength=plan.clips), 1)
    return np.bincount(clips, values.astype(np.float64), plan.clips) / counts


def _finish(run: Run, plan: Plan, windows: Windows, folds: NDArray[np.int64]) -> None:
    """Trains the head that is kept, on all folds, and writes what the run has found."""
    trials = run.trials()
    kept = [one for one in trials if one.variant == plan.variants[0]]
    clips, logits = out_of_fold(kept)
    labels = windows.labels.numpy()[clips]
    epochs = max(1, round(float(np.mean([one.epochs for one in kept]))))
    config = configure(plan.variants[0], windows)
    fitted = fit(config, plan.training, windows, np.arange(plan.clips), seed=0, epochs=epochs)
    means = familiar.clip_means(windows, familiar.kinds_read(_evidence(plan)), plan.clips)
    right = _by_clip(clips, logits.argmax(1) == labels, plan)
    score, abstention = familiar.judge(means, folds, _by_clip(clips, logits.max(1), plan), right)
    head = familiar.attach(fitted.head, score)
    torch.save(head.state_dict(), run.head)
    write_table(run.table, trials)
    write_log(run, trials, fitted.history)
    matrix = confusion(logits.argmax(1), labels, len(plan.labels))
    write_confusion(run.confusion, matrix, plan.labels)
    row = rows(plan, trials)[0]
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
        f"One line a training, a point at the epoch chosen ({row.variant.name})",
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
    table = _table(f"Accuracy in %, {plan.clips} clips, mean of {plan.seeds} repetition(s)")
    table.add_column("head / fold", no_wrap=True)
    for column in (*map(str, folds), "all", "spread", "epochs"):
        table.add_column(column, justify="right")
    for row in rows(plan, trials):
        table.add_row(*_cells(row))
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
    return [row.variant.name, *shares, f"±{100 * row.spread:.1f}", f"{row.epochs:.1f}"]


def answers(where: Path, dataset: Dataset, cache: Path, jobs: int) -> NDArray[np.int64]:
    """What a run's head, or a bundle's graphs, answer to every clip: int64 [clips].

    Raises:
        DataError: a clip cannot be decoded.
        RunError, BundleError: the run is not finished, or the bundle cannot be loaded.
    """
    if (where / "plan.json").is_file():
        run = Run(where)
        plan, head = run.plan(), load_head(run, run.final())
        windows = _windows(run, plan, dataset, cache, jobs, views=1)
        return np.asarray(predict(head, windows, np.arange(len(dataset.clips))).argmax(1), dtype=np.int64)
    bundle = Bundle.load(where, Device.choose("cpu", 1))
    found = []
    with progress() as bar:
        for clip in bar.track(dataset.clips, description="answering clips"):
            try:
                found.append(int(answer(bundle, clip.path.read_bytes()).argmax()))
            except ClipError as error:
                raise DataError(f"the clip {clip.path} cannot be used: {error.detail}", error.advice) from error
    return np.array(found, dtype=np.int64)


def labels_of(where: Path) -> tuple[str, ...]:
    """The actions that a run or a bundle knows, in order.

    Raises:
        RunError, BundleError: it is neither.
    """
    return Run(where).plan().labels if (where / "plan.json").is_file() else Card.read(where).labels


def evaluate(where: Path, dataset: Dataset, output: Path | None, cache: Path, jobs: int) -> float:
    """The accuracy of a run's head or of a bundle over labelled clips.

    Args:
        where: the run or the bundle.
        dataset: the clips.
        output: a directory for the confusion matrix, as CSV and picture; None writes nothing.
        cache: where features are kept; bundles keep none.
        jobs: processes; bundles use one.

    Raises:
        DataError: a clip shows an action that the model does not know, or cannot be decoded.
    """
    labels = labels_of(where)
    unknown = sorted(set(dataset.labels) - set(labels))
    if unknown:
        raise DataError(f"the model knows no action {', '.join(unknown)}", f"It knows {', '.join(labels)}.")
    truth = np.array([labels.index(clip.label) for clip in dataset.clips])
    matrix = confusion(answers(where, dataset, cache, jobs), truth, len(labels))
    accuracy = float(np.trace(matrix) / matrix.sum())
    if output is not None:
        output.mkdir(parents=True, exist_ok=True)
        write_confusion(output / "confusion.csv", matrix, labels)
        title = f"Answers in % of each action's clips: {100 * accuracy:.1f} % of {len(truth)} clips right"
        draw_confusion(output / "confusion-matrix.png", matrix, labels, title)
    return accuracy


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
