"""How well a model tells clips of another kind from those that it was trained on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from model.console import progress
from model.data.dataset import Clip, Dataset
from model.run.errors import RunError
from model.run.head import load_head
from model.run.looks import Looks, extractor, look
from model.run.plan import Plan
from model.run.run import Run
from model.run.tunings import means_apart
from model.training import familiarity
from model.training.trial import by_clip, out_of_fold
from model.training.windows import Windows
from service.inference.card import Strangers


def strangers(run: Run, strange: Sequence[Clip], name: str, cache: Path, jobs: int) -> Strangers:
    """Measures how well a finished run tells clips of another kind from those that it was trained on.

    Args:
        run: the run.
        strange: the others; what they show does not matter.
        name: what to call them.
        cache: where features are kept.
        jobs: processes.

    Raises:
        RunError: the run is not finished, does not say which clips it is made of, or cannot abstain.
        DataError: a clip cannot be decoded.
    """
    plan, final, dataset = run.plan(), run.final(), run.dataset()
    if final.abstention is None or dataset is None:
        raise RunError("the run's head does not say how familiar a clip is", "Train it anew.")
    folds = np.array([clip.fold for clip in dataset.clips])
    unlabelled = Dataset(tuple(replace(clip, label=plan.labels[0]) for clip in strange))
    windows, others = (_looked_at(run, plan, one, cache, jobs) for one in (dataset, unlabelled))
    clips, logits = out_of_fold([one for one in run.trials() if one.variant == plan.variants[0]])
    means = familiarity.clip_means(windows, familiarity.kinds_read(plan.recipe, plan.variants[0].kinds), plan.clips)
    highest = by_clip(clips, logits.max(1), plan.clips)
    unseen = familiarity.out_of_fold(means, folds, highest, apart=means_apart(run, plan))
    scores = familiarity.of_head(load_head(run, final), others, len(strange))
    known = familiarity.Scale(unseen).scores(unseen)
    found = familiarity.told_apart(name, len(strange), known, scores, final.abstention.threshold)
    kept = (one for one in final.abstention.strangers if one.name != name)
    run.finish(final.knowing(strangers=(*kept, found)))
    return found


def _looked_at(run: Run, plan: Plan, dataset: Dataset, cache: Path, jobs: int) -> Windows:
    with progress() as bar:
        task = bar.add_task("looking at clips", total=len(dataset.clips))
        files = look(extractor(run, plan, cache), dataset.clips, 1, jobs, lambda: bar.advance(task))
    return Looks.of(plan, dataset, files, run.directory).steps
