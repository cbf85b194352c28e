"""Which head is kept: the simplest of those that cross-validation cannot tell from the best."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from model.metrics.calibration import fit_temperature, softmax
from model.net.classifier import HeadName
from model.training.trial import Trial, out_of_fold
from model.training.variant import Variant

_DECAYS: tuple[float | None, ...] = (10.0, None)
"""Held back hard, and as usual: simplest first."""


class Contender(BaseModel):
    """One head of those to choose from.

    Attributes:
        nll: the mean negative log-likelihood of the right label over all clips, each answered by a head that was not
            trained on it, after a temperature was fitted; in nats.
        behind: how much more than the least that is.
        error: one standard error of that difference, over sources.
        accuracy: the share of the clips that it got right.
    """

    variant: Variant
    nll: float
    behind: float
    error: float
    accuracy: float


class Choice(BaseModel):
    """Which head was chosen, of which.

    Attributes:
        why: a sentence.
    """

    contenders: tuple[Contender, ...]
    chosen: Variant
    why: str


def contenders(head: HeadName | None, kinds: tuple[str, ...]) -> tuple[Variant, ...]:
    """The heads to choose from, the simplest first; one that was asked for is the only one."""
    if head is not None:
        return (Variant(head=head, kinds=kinds),)
    return tuple(Variant(head=one, kinds=kinds, decay=decay) for one in ("mean", "lstm") for decay in _DECAYS)


def choose(trials: Mapping[Variant, Sequence[Trial]], labels: NDArray[np.int64], sources: Sequence[str]) -> Choice:
    """Chooses by the likelihood of the right labels.

    The best is not taken at its word: of many heads one is always best by chance. Each head's loss is held against that
    of the best, clip by clip, and the simplest is taken whose loss is greater by no more than one standard error of the
    difference, over sources (Breiman et al., *Classification and Regression Trees*, 1984, §3.4.3, there over clips and
    not in pairs). A temperature is fitted to each first, since it will be to the one that is kept.

    Args:
        trials: of each head, those that test every clip equally often; the simplest head first.
        labels: int64 [N], of each clip.
        sources: of each clip.
    """
    losses, shares = {}, {}
    for variant, done in trials.items():
        clips, logits = out_of_fold(done)
        truth = labels[clips]
        scores = softmax(logits, fit_temperature(logits, truth))[np.arange(len(truth)), truth]
        repeats = np.bincount(clips, minlength=len(labels))
        losses[variant] = np.bincount(clips, weights=-np.log(scores + 1e-12), minlength=len(labels)) / repeats
        shares[variant] = float((logits.argmax(1) == truth).mean())
    best = min(losses, key=lambda one: float(losses[one].mean()))
    found = tuple(
        Contender(
            variant=variant,
            nll=float(loss.mean()),
            behind=float((loss - losses[best]).mean()),
            error=_error(loss - losses[best], sources),
            accuracy=shares[variant],
        )
        for variant, loss in losses.items()
    )
    chosen = next(one for one in found if one.behind <= one.error)
    return Choice(contenders=found, chosen=chosen.variant, why=_why(found, chosen, best))


def _error(differences: NDArray[np.float64], sources: Sequence[str]) -> float:
    """The standard error of the mean difference, where clips of one source count as one draw."""
    _, places = np.unique(np.asarray(sources), return_inverse=True)
    sums = np.bincount(places, weights=differences - differences.mean())
    groups = len(sums)
    return float(np.sqrt((sums**2).sum() * groups / max(1, groups - 1)) / len(differences))


def _why(found: Sequence[Contender], chosen: Contender, best: Variant) -> str:
    if len(found) == 1:
        return "It is the only head that was tried."
    kind = f"its accuracy is slightly kind, as that of the best of {len(found)}"
    first, kept = (one.called(one.kinds) for one in (best, chosen.variant))
    if chosen.variant == best:
        return (
            f"The {first} head has the least loss, by more than one standard error before any that is simpler; {kind}."
        )
    return (
        f"The {first} head has the least loss; the {kept} head is simpler and within one standard error of it "
        f"(behind by {chosen.behind:.3f}, standard error {chosen.error:.3f}); {kind}."
    )


def told_of_tuning(choice: Choice, untuned: Variant) -> Choice:
    """The choice with a sentence more: what tuned encoders did for the head that was chosen without them."""
    tuned = next((one for one in choice.contenders if one.variant.tuned), None)
    if tuned is None:
        return choice.model_copy(update={"why": f"{choice.why} There was no time to tune the encoders."})
    frozen = next(one for one in choice.contenders if one.variant == untuned)
    kinds, head = " and ".join(tuned.variant.tuned), untuned.called(untuned.kinds)
    end = "they are kept" if choice.chosen.tuned else "they are not kept"
    sentence = (
        f"With the encoders of {kinds} tuned, the {head} head has a loss of {tuned.nll:.3f} and gets "
        f"{100 * tuned.accuracy:.1f} % right, with those as published {frozen.nll:.3f} and "
        f"{100 * frozen.accuracy:.1f} %, on the same folds: {end}."
    )
    return choice.model_copy(update={"why": f"{choice.why} {sentence}"})
