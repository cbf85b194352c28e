"""Fits the score of how familiar a clip is, and the threshold below which a model abstains.

All of it is computed from mean features of clips in closed form: it takes seconds, whatever the head, and the same
clips give the same. The threshold is chosen on the scores of each fold's clips by what was fitted on the other folds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from model.data.recipe import Recipe
from model.metrics.auroc import auroc
from model.net.classifier import Classifier
from model.net.familiar import FAMILIARITY, TINY, Distances, Familiar, FamiliarConfig
from model.training.windows import Windows, mean_of_steps
from service.inference.card import Abstention, Strangers

# A direction takes 4 bytes for each of a kind's features, twice.
_COMPONENTS = 64
# Directions are found in a few hundred clips: shrinking their covariance keeps the least of them from deciding all.
_SHRINK = 0.1
# Windows that are looked at together.
_WINDOWS_IN_A_BATCH = 128
_SCORE = (
    "the head's highest logit, less two distances of the window's mean features: Mahalanobis to those trained on, and "
    "what principal components leave unexplained at length one; each standardised by clips that were not trained on"
)

Means = Mapping[str, NDArray[np.float64]]
"""Mean features by kind of evidence, float64 [clips, D]."""
Highest = NDArray[np.float64]
"""The highest logit of each clip by heads that were not trained on it, [clips]."""
Unseen = tuple[Means, Highest]
Apart = Mapping[int, Means]
"""Mean features of all clips by fold, as encoders that were tuned without that fold see them."""


def kinds_read(recipe: Recipe, kinds: Sequence[str]) -> tuple[str, ...]:
    """The kinds that the score reads, of those that a head reads: frames seen by the encoder of things and scenes.

    Strangers move and stand like everybody: optical flow and pose tell them less, or not at all, and dilute what frames
    tell (decision 17). Where there is no such kind, all are read.
    """
    scenes = (kind.name for kind in recipe.evidence if kind.picture == "rgb" and recipe.network(kind.name) != "movenet")
    return tuple(name for name in scenes if name in kinds) or tuple(kinds)


def clip_means(windows: Windows, kinds: Sequence[str], count: int) -> Means:
    """What each of `count` clips shows on average, as serving sees it: the mean over its windows' mean features."""
    own = np.flatnonzero(windows.views == 0)
    found: dict[str, NDArray[np.float64]] = {}
    for kind in kinds:
        held = windows.inputs[kind]
        sums = np.zeros((count, *held.shape))
        for rows in torch.split(torch.from_numpy(own), _WINDOWS_IN_A_BATCH):
            means = mean_of_steps(held.of(rows), windows.lengths[rows])
            np.add.at(sums, windows.clips[rows.numpy()], means.double().numpy())
        found[kind] = sums / np.bincount(windows.clips[own], minlength=count)[:, None]
    return found


def fit(seen: Means) -> Familiar:
    """Fits the distances to the mean features of clips; they are not standardised yet."""
    count = len(next(iter(seen.values())))
    components = {kind: max(1, min(_COMPONENTS, rows.shape[1] // 2, count - 1)) for kind, rows in seen.items()}
    fitted = Familiar({kind: rows.shape[1] for kind, rows in seen.items()}, FamiliarConfig(components))
    for kind, rows in seen.items():
        centre, directions = _principal(rows, components[kind])
        unit_centre, unit_directions = _principal(_unit(rows), components[kind])
        within = fitted.get_submodule(f"kinds.{kind}")
        assert isinstance(within, Distances)
        _set(within.centre, centre)
        _set(within.whitening, directions @ _whitening((rows - centre) @ directions))
        _set(within.unit_centre, unit_centre)
        _set(within.directions, unit_directions)
    return fitted.eval()


def _principal(rows: NDArray[np.float64], components: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The mean of rows, [D], and the directions in which they vary most, [D, components]."""
    centre = rows.mean(0)
    apart = rows - centre
    # Clips are mostly fewer than features, and their products with each other are the smaller matrix.
    variances, shares = np.linalg.eigh(apart @ apart.T)
    best = slice(-1, -components - 1, -1)
    return centre, apart.T @ shares[:, best] / np.sqrt(np.maximum(variances[best], TINY**2))


def _whitening(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """What makes the shrunk covariance of rows, [N, K], the identity: [K, K]."""
    variance = rows.var(0)  # rows along principal directions do not covary
    shrunk = (1 - _SHRINK) * variance + _SHRINK * variance.mean()
    return np.diag(1 / np.sqrt(shrunk + TINY**2))


def _unit(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(rows / (np.linalg.norm(rows, axis=1, keepdims=True) + TINY), dtype=np.float64)


def _set(parameter: torch.nn.Parameter, value: NDArray[np.float64]) -> None:
    with torch.no_grad():
        parameter.copy_(torch.from_numpy(np.ascontiguousarray(value)))


def distances(fitted: Familiar, means: Means, clips: NDArray[np.int64]) -> NDArray[np.float64]:
    """The distances of some clips: float64 [clips, 2 for each kind]."""
    with torch.no_grad():
        given = {kind: torch.from_numpy(rows[clips]).float() for kind, rows in means.items()}
        return np.asarray(fitted.distances(given).double().numpy(), dtype=np.float64)


def out_of_fold(
    means: Means,
    folds: NDArray[np.int64],
    highest: Highest,
    seen: Means | None = None,
    apart: Apart | None = None,
) -> NDArray[np.float64]:
    """How strange every clip is to what was fitted without its fold: float64 [clips, 2 for each kind + 1].

    Args:
        means: of all clips, to fit to.
        folds: int64 [clips].
        highest: of all clips.
        seen: the same clips as other encoders see them, to measure; by default those that are fitted to.
        apart: what to fit to instead, fold by fold, where encoders were tuned: `means` know all clips then.
    """
    found = np.zeros((len(folds), 2 * len(means) + 1))
    found[:, -1] = -highest
    for fold in np.unique(folds):
        tested = np.flatnonzero(folds == fold)
        own = means if apart is None else apart[fold]
        fitted = fit({kind: rows[folds != fold] for kind, rows in own.items()})
        found[tested, :-1] = distances(fitted, seen or own, tested)
    return found


class Scale:
    """Distances of clips that nothing was fitted to, and what distances are standardised by for their sake."""

    def __init__(self, unseen: NDArray[np.float64]) -> None:
        self.usual = unseen.mean(0)
        # What hardly varies would otherwise be scaled up to nothing but rounding.
        self.spread = np.maximum(unseen.std(0), 1e-3)

    def scores(self, distances: NDArray[np.float64]) -> NDArray[np.float64]:
        """The familiarity of clips, float64 [clips]."""
        return np.asarray(-((distances - self.usual) / self.spread).sum(1), dtype=np.float64)


def threshold(
    scores: NDArray[np.float64], right: NDArray[np.float64], false_alarms: float = 0.05, cost: float = 3.0
) -> float:
    """The highest threshold that rejects few enough of known clips and costs little enough.

    Args:
        scores: float64 [clips], of clips that nothing was fitted to.
        right: how often each was recognised, from 0 to 1.
        false_alarms: the largest share of them that may be rejected.
        cost: the most points of accuracy that may be lost where an answer rejected counts as wrong.
    """
    order = np.argsort(scores, kind="stable")
    lost = 100 * np.cumsum(right[order]) / len(order)
    most = int(min(np.floor(false_alarms * len(order)), np.searchsorted(lost, cost, side="right")))
    # A clip is rejected that scores less: half-way between two, so that rounding moves neither.
    most = min(most, len(order) - 1)
    return float((scores[order[most]] + scores[order[max(most - 1, 0)]]) / 2)


def judge(
    means: Means,
    folds: NDArray[np.int64],
    highest: Highest,
    right: NDArray[np.float64],
    apart: Apart | None = None,
) -> tuple[Familiar, Abstention]:
    """The score fitted to all clips, with the threshold that clips chose when nothing was fitted to them.

    Args:
        means: of all clips.
        folds: int64 [clips].
        highest: of all clips.
        right: how often each clip was recognised by heads that were not trained on it, from 0 to 1.
        apart: as of `out_of_fold`.
    """
    unseen = out_of_fold(means, folds, highest, apart=apart)
    scale = Scale(unseen)
    known = scale.scores(unseen)
    chosen = round(threshold(known, right), 6)
    fitted = fit(means)
    _set(fitted.usual, scale.usual)
    _set(fitted.spread, scale.spread)
    rejected = known < chosen
    return fitted, Abstention(
        output=FAMILIARITY,
        score=f"{_SCORE}; features of {', '.join(means)}",
        threshold=chosen,
        false_alarms=round(float(rejected.mean()), 4),
        accuracy_cost=round(100 * float(right[rejected].sum() / len(right)), 2),
        clips=len(folds),
        split=f"{len(np.unique(folds))}-fold cross-validation, no source in two folds",
    )


def told_apart(
    name: str, clips: int, known: NDArray[np.float64], strange: NDArray[np.float64], least: float
) -> Strangers:
    """Says how well strangers are told from known clips.

    Args:
        name: what strangers they are.
        clips: how many different ones there are.
        known: scores of known clips.
        strange: the strangers' scores.
        least: the threshold.
    """
    return Strangers(
        name=name,
        clips=clips,
        auroc=round(auroc(known, strange), 4),
        rejected=round(float((strange < least).mean()), 4),
    )


def false_alarms(
    means: Means,
    folds: NDArray[np.int64],
    highest: Highest,
    twins: Unseen,
    least: float,
    apart: Apart | None = None,
) -> float:
    """The share of known clips that the threshold rejects as the encoders' int8 twins see them.

    Args:
        means: of the clips as the encoders see them, which the score is fitted to.
        folds: int64 [clips].
        highest: of the same.
        twins: the means and highest logits of the same clips as twins that were calibrated without their fold see them.
        least: the threshold.
        apart: as of `out_of_fold`.
    """
    scale = Scale(out_of_fold(means, folds, highest, apart=apart))
    return float((scale.scores(out_of_fold(means, folds, twins[1], twins[0], apart)) < least).mean())


def of_head(head: Classifier, windows: Windows, count: int) -> NDArray[np.float64]:
    """The familiarity of each of `count` clips by a head that says it, the mean over its windows: float64 [clips]."""
    own = np.flatnonzero(windows.views == 0)
    found = []
    with torch.no_grad():
        for rows in torch.split(torch.from_numpy(own), _WINDOWS_IN_A_BATCH):
            inputs, lengths = windows.only(head.config.shape.inputs).batch(rows)
            found.append(head(inputs, lengths, head.start(len(rows))).outputs[FAMILIARITY][:, 0].double().numpy())
    of_clip = windows.clips[own]
    return np.bincount(of_clip, np.concatenate(found), count) / np.bincount(of_clip, minlength=count)


def attach(head: Classifier, familiar: Familiar) -> Classifier:
    """The same head, which says how familiar a clip is as well."""
    config = replace(head.config, familiar=familiar.config)
    both = Classifier(config)
    both.load_state_dict(head.state_dict() | {f"familiar.{name}": one for name, one in familiar.state_dict().items()})
    return both.eval()
