"""What training sees of clips: all steps for heads that read them in order, mean and deviation for the others."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from model.data.dataset import Clip, DataError, Dataset
from model.data.features import ClipFeatures, Extractor
from model.run.plan import Plan
from model.run.run import Run
from model.training.variant import Variant
from model.training.windows import Windows

Advance = Callable[[], None]
"""Hears of every clip that is done."""


@dataclass(frozen=True)
class Looks:
    """The windows of the clips of a data set.

    Attributes:
        steps: with all steps.
        means: with two steps for each window, of the same mean and deviation as all of its steps.
    """

    steps: Windows
    means: Windows

    @classmethod
    def of(cls, plan: Plan, dataset: Dataset, files: Mapping[Clip, Sequence[Path]], directory: Path) -> Looks:
        """Gathers what was kept of each clip's views.

        Args:
            plan: which labels and kinds of evidence there are.
            dataset: the clips.
            files: where the features of each clip's views are kept.
            directory: where what is too large for memory goes.
        """
        labels = [plan.labels.index(clip.label) for clip in dataset.clips]
        kinds = [kind.name for kind in plan.recipe.evidence]
        seen = (map(ClipFeatures.load, files[clip]) for clip in dataset.clips)
        steps = Windows.of(seen, labels, kinds, directory)
        return cls(steps, steps.pooled(directory))

    def read_by(self, variant: Variant) -> Windows:
        """What a head is trained on: without a reader it makes the same of two steps as of all, and quicker."""
        return self.means if variant.head == "mean" else self.steps


def extractor(run: Run, plan: Plan, cache: Path, *, frozen: bool = False) -> Extractor:
    """Looks at clips as a run does, or as it did before its encoders were tuned."""
    encoder = run.frozen if frozen else run.encoder
    encoders = {kind.name: encoder(kind.name) for kind in plan.recipe.evidence}
    return Extractor(plan.recipe, encoders, plan.augmentation, cache)


def look(
    looker: Extractor,
    clips: Iterable[Clip],
    views: int,
    jobs: int,
    advance: Advance,
    broken: dict[Clip, DataError] | None = None,
) -> dict[Clip, list[Path]]:
    """Looks at clips.

    Args:
        looker: how.
        clips: at which.
        views: how many views of each.
        jobs: processes.
        advance: hears of every clip that is done.
        broken: where clips go that cannot be looked at; by default they end it.

    Raises:
        DataError: a clip cannot be looked at, and there is no place for it.
    """

    def skip(clip: Clip, error: DataError) -> None:
        assert broken is not None
        broken[clip] = error
        advance()

    def done() -> Iterator[tuple[Clip, list[Path]]]:
        for clip, files in looker.look(clips, views, jobs, None if broken is None else skip):
            advance()
            yield clip, files

    return dict(done())
