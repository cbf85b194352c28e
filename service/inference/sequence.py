"""The features of one clip, put in the order that the recurrent head reads them in."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Sequence as Items

import numpy as np
from numpy.typing import NDArray

from service.inference.card import Evidence

Features = NDArray[np.float32]
LENGTHS = "lengths"
"""Name of the recurrent graph's input that says how many steps of each row count."""


class Sequence:
    """Collects feature vectors by kind, window and step, in whatever order they come.

    Writers of different steps need no lock: each `put` sets one key of its own.
    """

    def __init__(self, evidence: Items[Evidence]) -> None:
        self._evidence = tuple(evidence)
        self._features: dict[tuple[str, int, int], Features] = {}

    def __len__(self) -> int:
        return len(self._features)

    def put(self, kind: str, window: int, step: int, features: Features) -> None:
        """Takes the features, float32 [D], of one picture."""
        self._features[kind, window, step] = features

    def inputs(self, steps: Items[int]) -> Mapping[str, NDArray[np.float32] | NDArray[np.int64]]:
        """The inputs of the recurrent graph: one row a window, rows padded with zeros to the longest.

        A kind of evidence with a slower cadence is held: each of its feature vectors stands for every step until its
        next picture.

        Args:
            steps: the number of steps of each window.

        Returns:
            float32 [B, T, D] under each kind's name, and int64 [B] under `lengths`.

        Raises:
            KeyError: a picture that the steps call for has no features.
        """
        inputs: dict[str, NDArray[np.float32] | NDArray[np.int64]] = {LENGTHS: np.asarray(steps, dtype=np.int64)}
        for kind in self._evidence:
            rows = np.zeros((len(steps), max(steps), kind.features), dtype=np.float32)
            for window, count in enumerate(steps):
                for step in range(count):
                    rows[window, step] = self._features[kind.name, window, step - step % kind.cadence]
            inputs[kind.name] = rows
        return inputs
