"""The plan of a run: all that decides what comes of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pydantic import BaseModel, ConfigDict

from model.data.dataset import Dataset
from model.data.recipe import Recipe
from model.data.views import Augmentation
from model.net.classifier import MAP_HEADS
from model.run.errors import RunError
from model.training.fit import TrainConfig
from model.training.trial import Trial
from model.training.variant import Variant


class Plan(BaseModel):
    """All that a run was asked to do; two runs with one plan do the same.

    Attributes:
        dataset: the digest of the labelled clips.
        labels: the actions, in the order of their ids.
        clips: how many clips.
        folds: how many folds.
        views: views of each clip that training draws from.
        seeds: how many times cross-validation is repeated.
        variants: the heads to cross-validate; the first is the one to keep.
    """

    model_config = ConfigDict(frozen=True)

    dataset: str
    labels: tuple[str, ...]
    clips: int
    folds: int
    recipe: Recipe
    augmentation: Augmentation
    training: TrainConfig
    views: int
    seeds: int
    variants: tuple[Variant, ...]

    def keeping(self, chosen: Variant, tried: Mapping[Variant, Sequence[Trial]]) -> Plan:
        """The same plan with the head that is kept first, and without heads that were not tried."""
        others = [one for one in self.variants if one in tried and one != chosen]
        return self.model_copy(update={"variants": (chosen, *others)})

    @property
    def mapped(self) -> str | None:
        """The kind of evidence whose encoder has a map: the first that shows frames, where a head reads a map.

        Raises:
            RunError: none shows frames.
        """
        if not any(one.head in MAP_HEADS for one in self.variants):
            return None
        frames = [kind.name for kind in self.recipe.evidence if kind.picture == "rgb"]
        if not frames:
            raise RunError("the head reads the positions of a frame, and the recipe has no rgb", "Choose another head.")
        return frames[0]

    def check(self, dataset: Dataset) -> None:
        """Holds a data set against the one that was planned for.

        Raises:
            RunError: it is another.
        """
        if dataset.digest != self.dataset:
            raise RunError("the run was trained on other clips than these", "Name the CSV that it was started with.")
