"""Cross-validation: how good a head is on clips of videos that it has never seen, and how long to train it.

For each fold to test, the number of epochs is chosen by early stopping on another of the folds left, then the head is
trained anew on all of those for as many epochs, then it is tested, once. Nothing is ever chosen on the fold tested.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from model.net.classifier import ClassifierConfig
from model.run import Trial, Variant
from model.train import Epoch, TrainConfig, Windows, fit, predict


def configure(variant: Variant, windows: Windows) -> ClassifierConfig:
    """The network of a variant, as wide as the features at hand."""
    widths = {kind: int(windows.features[kind].shape[2]) for kind in variant.kinds}
    return ClassifierConfig(widths, int(windows.labels.max()) + 1, variant.head)


def trial(
    variant: Variant,
    training: TrainConfig,
    windows: Windows,
    folds: NDArray[np.int64],
    seed: int,
    fold: int,
) -> Trial:
    """Tests one fold.

    Args:
        variant: the head.
        training: how it is trained.
        windows: the windows of all clips.
        folds: int64 [clips], the fold of each.
        seed: of this repetition.
        fold: the one to test.
    """
    config = configure(variant, windows)
    numbers = np.unique(folds)
    watched = numbers[(np.flatnonzero(numbers == fold)[0] + 1) % len(numbers)]
    chosen_by: tuple[Epoch, ...] = ()
    epochs = training.horizon
    if len(numbers) > 2:
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
