"""The windows of clips as heads read them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model.data.features import ClipFeatures
from model.training.shelf import Shelf
from service.inference.card import MAP

# Windows that are looked at together where nothing is learned: maps are large.
WINDOWS_IN_A_BATCH = 128


@dataclass(frozen=True)
class Held:
    """What an encoder gave of many pictures, and which of them each step of each window sees.

    Attributes:
        values: float16 [P, ...].
        places: int64 [W, T], places among the pictures.
    """

    values: Shelf
    places: NDArray[np.int64]

    @property
    def shape(self) -> tuple[int, ...]:
        """Of what one step sees."""
        return self.values.shape

    def of(self, rows: Tensor) -> Tensor:
        """What some windows see, float32 [B, T, ...]."""
        return torch.from_numpy(self.values.take(self.places[rows.numpy()])).float()


@dataclass(frozen=True)
class Windows:
    """The windows of many clips, padded to one length by repeating each one's last step.

    Attributes:
        inputs: by name of the head's input: the features of each kind of evidence, and its map where there is one.
        lengths: int64 [W].
        clips: int64 [W], the clip that each window belongs to.
        views: int64 [W], which view of it; 0 is what serving sees.
        labels: int64 [clips], the action of each clip.
    """

    inputs: Mapping[str, Held]
    lengths: Tensor
    clips: NDArray[np.int64]
    views: NDArray[np.int64]
    labels: Tensor

    @classmethod
    def of(
        cls,
        seen: Iterable[Iterable[ClipFeatures]],
        labels: Sequence[int],
        kinds: Sequence[str],
        directory: Path,
    ) -> Windows:
        """Gathers the windows of clips.

        Args:
            seen: of each clip, each of its views; read once, in order, so that they need not be in memory together.
            labels: of each clip.
            kinds: the kinds of evidence wanted.
            directory: where what is too large for memory is kept as long as the windows are.
        """
        gathering = {kind: _Gathering(kind, directory) for kind in kinds}
        clips: list[int] = []
        numbers: list[int] = []
        lengths: list[int] = []
        for clip, views in enumerate(seen):
            for view, features in enumerate(views):
                for one in gathering.values():
                    one.add(features)
                clips += [clip] * len(features.lengths)
                numbers += [view] * len(features.lengths)
                lengths += features.lengths
        inputs = {name: held for one in gathering.values() for name, held in one.held(max(lengths)).items()}
        return cls(inputs, torch.tensor(lengths), np.array(clips), np.array(numbers), torch.tensor(labels))

    def pooled(self, directory: Path) -> Windows:
        """The same windows with two steps each, of the same mean and deviation as all steps; maps are left out.

        A head that has no reader answers to them what it answers to all steps, many times faster.
        """
        names = [name for name in self.inputs if not name.endswith(MAP)]
        shelves = {name: Shelf(directory) for name in names}
        for rows in torch.split(torch.arange(len(self.lengths)), WINDOWS_IN_A_BATCH):
            for name, shelf in shelves.items():
                values, lengths = self.inputs[name].of(rows), self.lengths[rows]
                mean = mean_of_steps(values, lengths)
                deviation = mean_of_steps((values - mean.unsqueeze(1)).square(), lengths).sqrt()
                pair = torch.stack([mean - deviation, mean + deviation], 1).flatten(0, 1)
                shelf.put(pair.numpy().astype(np.float16))
        places = np.arange(2 * len(self.lengths)).reshape(-1, 2)
        inputs = {name: Held(shelf, places) for name, shelf in shelves.items()}
        return replace(self, inputs=inputs, lengths=torch.full_like(self.lengths, 2))

    def only(self, names: Iterable[str]) -> Windows:
        """The same windows with these inputs alone."""
        return replace(self, inputs={name: self.inputs[name] for name in names})

    def batch(self, rows: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        """The inputs, float32, and the lengths of some windows."""
        return {name: held.of(rows) for name, held in self.inputs.items()}, self.lengths[rows]


class _Gathering:
    """What one kind's encoder gave, on its way to what the head reads of it."""

    def __init__(self, kind: str, directory: Path) -> None:
        self._kind = kind
        self._features, self._maps = Shelf(directory), Shelf(directory)
        self._rows: list[NDArray[np.int64]] = []

    def add(self, look: ClipFeatures) -> None:
        """Adds one view of a clip."""
        seen, first = look.kinds[self._kind], len(self._features)
        self._rows += [first + look.held(self._kind, window) for window in range(len(look.lengths))]
        self._features.put(seen.features)
        if seen.maps is not None:
            self._maps.put(seen.maps)

    def held(self, steps: int) -> dict[str, Held]:
        """The head's inputs by name, each window padded to so many steps."""
        places = np.stack([np.pad(row, (0, steps - len(row)), mode="edge") for row in self._rows])
        maps = {self._kind + MAP: Held(self._maps, places)} if len(self._maps) else {}
        return {self._kind: Held(self._features, places)} | maps


def mean_of_steps(values: Tensor, lengths: Tensor) -> Tensor:
    """The mean over each row's steps: [B, T, ..., D] → [B * ..., D]."""
    live = torch.arange(values.shape[1]) < lengths.unsqueeze(1)
    sums = (values * live.view(*live.shape, *[1] * (values.dim() - 2))).sum(1)
    return (sums / lengths.view(-1, *[1] * (sums.dim() - 1))).flatten(0, -2)
