"""What one clip is to the recurrent head, put in the order that it is read in."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Sequence as Items

import numpy as np
from numpy.typing import NDArray

from service.inference.card import LENGTHS, Evidence

Features = NDArray[np.float32]


class Sequence:
    """Collects what encoders make of pictures, by input of the recurrent graph, window and step, in whatever order.

    Writers of different steps need no lock: each `put` sets one key of its own.
    """

    def __init__(self, evidence: Items[Evidence]) -> None:
        self._evidence = tuple(evidence)
        self._encoded: dict[tuple[str, int, int], Features] = {}

    def __len__(self) -> int:
        return len(self._encoded)

    def put(self, name: str, window: int, step: int, encoded: Features) -> None:
        """Takes what one picture is for one input: its features, float32 [D], or its map, float32 [H, W, D].

        It is copied: a row of a batch would keep the whole batch.
        """
        self._encoded[name, window, step] = encoded.copy()

    def of(self, window: int, step: int) -> Mapping[str, Features]:
        """What there is of one step, by input of the recurrent graph."""
        return {name: encoded for (name, *place), encoded in self._encoded.items() if place == [window, step]}

    def inputs(self, steps: Items[int]) -> Mapping[str, NDArray[np.float32] | NDArray[np.int64]]:
        """The inputs of the recurrent graph: one row a window, rows padded with zeros to the longest.

        A kind of evidence with a slower cadence is held: what each of its pictures is stands for every step until the
        next picture.

        Args:
            steps: the number of steps of each window.

        Returns:
            float32 [B, T, D] under each kind's name, float32 [B, T, rows, columns, channels] under the name of its map
            where the head reads it, and int64 [B] under `lengths`.

        Raises:
            KeyError: a picture that the steps call for has not been encoded.
        """
        inputs: dict[str, NDArray[np.float32] | NDArray[np.int64]] = {LENGTHS: np.asarray(steps, dtype=np.int64)}
        for kind in self._evidence:
            for name, shape in kind.inputs.items():
                rows = np.zeros((len(steps), max(steps), *shape), dtype=np.float32)
                for window, count in enumerate(steps):
                    for step in range(0, count, kind.cadence):
                        rows[window, step : min(step + kind.cadence, count)] = self._encoded[name, window, step]
                inputs[name] = rows
        return inputs
