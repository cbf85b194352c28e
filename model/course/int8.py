"""The int8 twins of a run's encoders, made and measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from numpy.typing import NDArray

from model.console import progress
from model.data.dataset import Clip, Dataset
from model.data.features import Extractor
from model.onnx.quantization import Pictures, calibration_clips, calibration_pictures
from model.onnx.quantization import quantize as write_twin
from model.report.files import write_twins
from model.run.looks import Looks, extractor, look
from model.run.plan import Plan
from model.run.run import Run
from model.run.tunings import Tunings, means_apart
from model.training import familiarity
from model.training.cross_validation import compare
from model.training.trial import by_clip, out_of_fold
from model.training.twins import Comparison, Twins
from model.training.windows import Windows


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
    final, kinds = run.final(), familiarity.kinds_read(plan.recipe, plan.variants[0].kinds)
    if final.abstention is None:
        return
    clips, logits = out_of_fold([one for one in run.trials() if one.variant == plan.variants[0]])
    tested = np.concatenate([np.flatnonzero(folds == one.fold) for one in found])
    highest = np.concatenate([np.array(one.highest_int8) for one in found])
    own, others = (familiarity.clip_means(windows, kinds, plan.clips) for windows in seen)
    share = familiarity.false_alarms(
        own,
        folds,
        by_clip(clips, logits.max(1), plan.clips),
        (others, by_clip(tested, highest, plan.clips)),
        final.abstention.threshold,
        means_apart(run, plan),
    )
    run.finish(final.knowing(false_alarms_int8=round(share, 4)))


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
