"""How a run or a bundle is judged on labelled clips."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from model.data.dataset import Clip, DataError, Dataset
from model.data.features import ClipFeatures
from model.metrics.judgement import Judgement
from model.run.head import load_head
from model.run.looks import Advance, extractor
from model.run.run import PLAN, Run
from model.training.fit import predict
from model.training.windows import Windows
from service.alone import look
from service.errors import ClipError, KinemaError
from service.inference.bundle import Bundle
from service.inference.card import Card
from service.inference.session import Device

Logits = NDArray[np.float64]
Answer = Logits | str
"""The logits of a clip, float64 [C], or why it cannot be used."""

# Clips of a run that are answered together: their features need not all be in memory.
_CLIPS_IN_A_BATCH = 256


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
    return (where / PLAN).is_file()


def judge(where: Path, dataset: Dataset, cache: Path, jobs: int, advance: Advance = lambda: None) -> Judged:
    """Judges a run's head or a bundle on labelled clips.

    Clips of actions that the model does not know are strangers: answered, but not counted. Clips that cannot be used
    are skipped.

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
    answers = of(where, dict.fromkeys(dataset.clips), cache, jobs, advance)
    skipped = tuple((clip.path, answer) for clip, answer in answers.items() if isinstance(answer, str))
    usable = tuple(clip for clip in dataset.clips if not isinstance(answers[clip], str))
    if not any(clip.label in labels for clip in usable):
        raise DataError(f"no clip of an action that the model knows can be used: {skipped[0][1]}")
    logits = np.array([answers[clip] for clip in usable], dtype=np.float64)
    judgement = Judgement.of(labels, Dataset(usable), logits, temperature)
    return Judged(judgement, skipped, _trained_on(where, usable))


def _told(where: Path) -> tuple[tuple[str, ...], float]:
    """The labels and the temperature of a run or a bundle."""
    if is_run(where):
        run = Run(where)
        return run.plan().labels, run.final().calibrated.temperature
    card = Card.read(where)
    return card.labels, card.temperature


def _trained_on(where: Path, clips: Iterable[Clip]) -> int:
    own = Run(where).dataset() if is_run(where) else None
    known = {clip.path.resolve() for clip in own.clips} if own else set()
    return sum(clip.path.resolve() in known for clip in clips)


def _of_run(where: Path, clips: Iterable[Clip], cache: Path, jobs: int, advance: Advance) -> dict[Clip, Answer]:
    run = Run(where)
    plan, head = run.plan(), load_head(run, run.final())
    kinds = [kind.name for kind in plan.recipe.evidence]
    found: dict[Clip, Answer] = {}

    def skip(clip: Clip, error: KinemaError) -> None:
        found[clip] = error.detail
        advance()

    def answer(few: Mapping[Clip, Sequence[ClipFeatures]]) -> None:
        windows = Windows.of(few.values(), [0] * len(few), kinds, cache)
        logits = predict(head, windows, np.arange(len(few))).numpy().astype(np.float64)
        found.update(zip(few, logits, strict=True))

    waiting: dict[Clip, Sequence[ClipFeatures]] = {}
    for clip, views in extractor(run, plan, cache).extract(clips, 1, jobs, skip):
        waiting[clip] = views
        advance()
        if len(waiting) == _CLIPS_IN_A_BATCH:
            answer(waiting)
            waiting = {}
    if waiting:
        answer(waiting)
    return found


def _of_bundle(where: Path, clips: Iterable[Clip], _: Path, jobs: int, advance: Advance) -> dict[Clip, Answer]:
    found: dict[Clip, Answer] = {}
    for clip, answer in _answers(where, list(clips), jobs):
        found[clip] = answer
        advance()
    return found


def _answers(where: Path, clips: Sequence[Clip], jobs: int) -> Iterator[tuple[Clip, Answer]]:
    """A bundle's answer to each clip, in no particular order."""
    bundle = _load(where)  # also where others do the work: what is wrong with it is to be heard here
    if min(jobs, len(clips)) == 1:
        yield from ((clip, _answer(bundle, clip)) for clip in clips)
        return
    # Processes are spawned because a forked copy of onnxruntime's threads may hang.
    with ProcessPoolExecutor(min(jobs, len(clips)), get_context("spawn"), _start, (where,)) as pool:
        running = {pool.submit(_work, clip): clip for clip in clips}
        try:
            for done in as_completed(running):
                yield running[done], done.result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _load(where: Path) -> Bundle:
    cv2.setNumThreads(1)
    return Bundle.load(where, Device.choose("cpu", 1))


def _answer(bundle: Bundle, clip: Clip) -> Answer:
    try:
        inputs = look(bundle, clip.path.read_bytes(), clip.start_s, clip.end_s)
    except OSError as error:
        return f"the clip {clip.path} cannot be read: {error.strerror}"
    except ClipError as error:
        return f"the clip {clip.path} cannot be used: {error.detail}"
    logits, _ = bundle.recurrent.run(inputs)
    return np.asarray(logits.astype(np.float64).mean(axis=0), dtype=np.float64)


_bundle: Bundle


def _start(where: Path) -> None:
    global _bundle  # noqa: PLW0603 - a pool's process has nowhere else to keep what its initializer made
    _bundle = _load(where)


def _work(clip: Clip) -> Answer:
    return _answer(_bundle, clip)
