"""Cross-validation: how good a head is on clips of videos that it has never seen, and how long to train it.

For each fold to test, the number of epochs is chosen by early stopping on another of the folds left, then the head is
trained anew on all of those for as many epochs, then it is tested, once. Nothing is ever chosen on the fold tested.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from model.net.classifier import MAP_HEADS, ClassifierConfig
from model.net.reader import Grid
from model.training.fit import Epoch, TrainConfig, fit, predict
from model.training.trial import Trial
from model.training.twins import Comparison
from model.training.variant import Variant
from model.training.windows import Windows
from service.inference.card import MAP


def configure(variant: Variant, windows: Windows) -> ClassifierConfig:
    """The network of a variant, as wide as the features at hand."""
    widths = {kind: windows.inputs[kind].shape[0] for kind in variant.kinds}
    mapped = [kind for kind in variant.kinds if kind + MAP in windows.inputs] if variant.head in MAP_HEADS else []
    maps = {kind: Grid(*windows.inputs[kind + MAP].shape) for kind in mapped}
    return ClassifierConfig(widths, int(windows.labels.max()) + 1, variant.head, maps=maps, spread=True)


def trial(
    variant: Variant,
    training: TrainConfig,
    windows: Windows,
    folds: NDArray[np.int64],
    seed: int,
    fold: int,
    epochs: int | None = None,
) -> Trial:
    """Tests one fold.

    Args:
        variant: the head.
        training: how it is trained.
        windows: the windows of all clips.
        folds: int64 [clips], the fold of each.
        seed: of this repetition.
        fold: the one to test.
        epochs: how many, where that is known.
    """
    config, training = configure(variant, windows), variant.training(training)
    numbers = np.unique(folds)
    watched = numbers[(np.flatnonzero(numbers == fold)[0] + 1) % len(numbers)]
    chosen_by: tuple[Epoch, ...] = ()
    choosing = epochs is None and training.patience > 0 and len(numbers) > 2
    epochs = epochs or training.horizon
    if choosing:
        smaller = np.flatnonzero((folds != fold) & (folds != watched))
        choice = fit(config, training, windows, smaller, seed=seed, watch=np.flatnonzero(folds == watched))
        chosen_by, epochs = choice.history, choice.best
    tested = np.flatnonzero(folds == fold)
    trained = fit(config, training, windows, np.flatnonzero(folds != fold), seed=seed, epochs=epochs)
    logits = predict(trained.head, windows, tested)
    return Trial(
        variant=variant,
        seed=seed,
        fold=fold,
        epochs=epochs,
        clips=tuple(tested.tolist()),
        logits=tuple(map(tuple, logits.tolist())),
        right=int((logits.argmax(1) == windows.labels[tested]).sum()),
        chosen_by=chosen_by,
        trained=trained.history,
    )


def compare(
    done: Trial,
    training: TrainConfig,
    windows: Windows,
    twins: Windows,
    folds: NDArray[np.int64],
) -> Comparison:
    """Trains the head of a trial anew, as long as it was, and tests it on the features of the int8 twins as well.

    Args:
        done: the trial.
        training: how its head is trained.
        windows: the windows of all clips.
        twins: the same windows as the twins see them; those of view 0 are enough.
        folds: int64 [clips], the fold of each.
    """
    tested = np.flatnonzero(folds == done.fold)
    config, training = configure(done.variant, windows), done.variant.training(training)
    head = fit(config, training, windows, np.flatnonzero(folds != done.fold), seed=done.seed, epochs=done.epochs).head
    logits, logits_int8 = (predict(head, seen, tested) for seen in (windows, twins))
    answers, answers_int8 = logits.argmax(1), logits_int8.argmax(1)
    labels = windows.labels[tested]
    return Comparison(
        seed=done.seed,
        fold=done.fold,
        clips=len(tested),
        right=int((answers == labels).sum()),
        right_int8=int((answers_int8 == labels).sum()),
        changed=int((answers != answers_int8).sum()),
        highest_int8=tuple(logits_int8.max(1).values.tolist()),
    )
