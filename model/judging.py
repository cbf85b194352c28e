"""How a model is judged: a run or a bundle on labelled clips, or a run by the folds of its own cross-validation."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from model import diagrams
from model.data import Clip, DataError, Dataset
from model.evaluate import softmax
from model.export import load_head
from model.features import ClipFeatures, Extractor
from model.judgement import Judgement
from model.report import draw_confusion, write_confusion
from model.report_facts import judged
from model.run import Run
from model.train import Windows, predict
from service.alone import look
from service.errors import ClipError, KinemaError
from service.inference.bundle import Bundle
from service.inference.card import Card
from service.inference.session import Device

Logits = NDArray[np.float64]
Answer = Logits | str
"""The logits of a clip, float64 [C], or why it cannot be used."""

Advance = Callable[[], None]
"""Hears of every clip that is done."""


@dataclass(frozen=True)
class Judged:
    """What came of judging a model on clips.

    Attributes:
        judgement: the answers.
        skipped: the clips that cannot be used, each with the reason.
        trained_on: how many of the clips the model was trained on, as far as that is known.
    """

    judgement: Judgement
    skipped: tuple[tuple[Path, str], ...] = ()
    trained_on: int = 0


def is_run(where: Path) -> bool:
    """Whether a directory is that of a run, finished or not."""
    return (where / "plan.json").is_file()


def judge(where: Path, dataset: Dataset, cache: Path, jobs: int, advance: Advance = lambda: None) -> Judged:
    """Judges a run's head or a bundle on labelled clips.

    Clips of actions that the model does not know are strangers: answered, but not counted. Clips that cannot be used are
    skipped.

    Args:
        where: the run or the bundle.
        dataset: the clips.
        cache: where features are kept; bundles keep none.
        jobs: processes.
        advance: hears of every clip that is done.

    Raises:
        RunError, BundleError: the run is not finished, or the bundle cannot be loaded.
        DataError: the model knows none of the actions, or no clip of one that it knows can be used.
    """
    labels, temperature = _told(where)
    if not set(labels) & set(dataset.labels):
        unknown = ", ".join(dataset.labels[:20])
        raise DataError(f"the model knows no action {unknown}", f"It knows {', '.join(labels)}.")
    of = _of_run if is_run(where) else _of_bundle
    answers = of(where, [clip.path for clip in dataset.clips], cache, jobs, advance)
    skipped = tuple((path, answer) for path, answer in answers.items() if isinstance(answer, str))
    usable = tuple(clip for clip in dataset.clips if not isinstance(answers[clip.path], str))
    if not any(clip.label in labels for clip in usable):
        path, reason = skipped[0]
        raise DataError(f"no clip of an action that the model knows can be used; {path}: {reason}")
    logits = np.array([answers[clip.path] for clip in usable], dtype=np.float64)
    judgement = Judgement.of(labels, Dataset(usable), logits, temperature)
    return Judged(judgement, skipped, _trained_on(where, usable))


def judge_folds(run: Run, dataset: Dataset) -> Judgement:
    """The answers of a run's cross-validation: of each clip by heads that were trained on the other folds.

    Raises:
        RunError: the run is not finished, or was trained on other clips.
    """
    plan, final = run.plan(), run.final()
    plan.check(dataset)
    kept = [one for one in run.trials() if one.variant == plan.variants[0]]
    return judged(kept, dataset, final.calibrated.temperature)


def _told(where: Path) -> tuple[tuple[str, ...], float]:
    """The labels and the temperature of a run or a bundle."""
    if is_run(where):
        run = Run(where)
        return run.plan().labels, run.final().calibrated.temperature
    card = Card.read(where)
    return card.labels, card.temperature


def _trained_on(where: Path, clips: Iterable[Clip]) -> int:
    if not is_run(where) or not (run := Run(where)).clips.is_file():
        return 0
    known = {clip.path.resolve() for clip in run.dataset().clips}
    return sum(clip.path.resolve() in known for clip in clips)


def _of_run(where: Path, paths: Sequence[Path], cache: Path, jobs: int, advance: Advance) -> dict[Path, Answer]:
    run = Run(where)
    plan, head = run.plan(), load_head(run, run.final())
    kinds = [kind.name for kind in plan.recipe.evidence]
    extractor = Extractor(plan.recipe, {kind: run.encoder(kind) for kind in kinds}, plan.augmentation, cache)
    found: dict[Path, Answer] = {}

    def skip(path: Path, error: KinemaError) -> None:
        found[path] = error.detail.removeprefix(f"the clip {path} ")
        advance()

    seen: dict[Path, Sequence[ClipFeatures]] = {}
    for path, views in extractor.extract(dict.fromkeys(paths), 1, jobs, skip):
        seen[path] = views
        advance()
    if seen:
        windows = Windows.of(list(seen.values()), [0] * len(seen), kinds)
        logits = predict(head, windows, np.arange(len(seen))).numpy().astype(np.float64)
        found |= dict(zip(seen, logits, strict=True))
    return found


def _of_bundle(where: Path, paths: Sequence[Path], _: Path, jobs: int, advance: Advance) -> dict[Path, Answer]:
    found: dict[Path, Answer] = {}
    for path, answer in _answers(where, list(dict.fromkeys(paths)), jobs):
        found[path] = answer
        advance()
    return found


def _answers(where: Path, paths: Sequence[Path], jobs: int) -> Iterator[tuple[Path, Answer]]:
    """A bundle's answer to each clip, in no particular order."""
    bundle = _load(where)  # also where others do the work: what is wrong with it is to be heard here
    if min(jobs, len(paths)) == 1:
        yield from ((path, _answer(bundle, path)) for path in paths)
        return
    # Processes are spawned because a forked copy of onnxruntime's threads may hang.
    with ProcessPoolExecutor(min(jobs, len(paths)), get_context("spawn"), _start, (where,)) as pool:
        running = {pool.submit(_work, path): path for path in paths}
        try:
            for done in as_completed(running):
                yield running[done], done.result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _load(where: Path) -> Bundle:
    return Bundle.load(where, Device.choose("cpu", 1))


def _answer(bundle: Bundle, path: Path) -> Answer:
    try:
        logits, _ = bundle.recurrent.run(look(bundle, path.read_bytes()))
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    except ClipError as error:
        return f"cannot be used: {error.detail}"
    return np.asarray(logits.astype(np.float64).mean(axis=0), dtype=np.float64)


_bundle: Bundle


def _start(where: Path) -> None:
    global _bundle  # noqa: PLW0603 - a pool's process has nowhere else to keep what its initializer made
    _bundle = _load(where)


def _work(path: Path) -> Answer:
    return _answer(_bundle, path)


def write_files(directory: Path, told: Judgement) -> None:
    """Writes the judgement's tables and pictures.

    They are `confusion.csv` and `confusion-matrix.png`, `reliability.png`, `per-class.csv`, and `predictions.csv` with a
    line for each answer, strangers' included.

    Raises:
        OSError: they cannot be written.
    """
    directory.mkdir(parents=True, exist_ok=True)
    write_confusion(directory / "confusion.csv", told.matrix, told.labels)
    title = f"Answers in % of each action's clips: {100 * told.accuracy:.1f} % of {len(told.clips)} clips right"
    draw_confusion(directory / "confusion-matrix.png", told.matrix, told.labels, title)
    panels = [(f"temperature 1: ECE {told.raw_ece:.3f}", told.raw_bins)]
    panels.append((f"temperature {told.temperature:.3f}: ECE {told.ece:.3f}", told.bins))
    diagrams.reliability(panels).savefig(directory / "reliability.png", dpi=100)
    _write_classes(directory / "per-class.csv", told)
    _write_predictions(directory / "predictions.csv", told)


def _write_classes(path: Path, told: Judgement) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(("action", "clips", "answers", "given", "right", "recall", "precision", "f1"))
        for place, (label, one) in enumerate(zip(told.labels, told.classes, strict=True)):
            shares = ("" if share is None else f"{share:.4f}" for share in (one.recall, one.precision, one.f1))
            clips = int((told.truth == place).sum()) // told.repetitions
            table.writerow((label, clips, one.answers, one.given, one.right, *shares))


def _write_predictions(path: Path, told: Judgement) -> None:
    rows = [(told.clips[place], scores) for place, scores in zip(told.places.tolist(), told.scores, strict=True)]
    if told.strangers is not None:
        rows += zip(told.strangers.clips, softmax(told.strangers.logits, told.temperature), strict=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(("path", "label", "answer", "score"))
        for clip, scores in rows:
            best = int(scores.argmax())
            table.writerow((clip.path, clip.label, told.labels[best], f"{scores[best]:.6f}"))
