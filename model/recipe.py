"""What a model looks at: kinds of evidence and the sampling plan, decided before anything is trained."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from pydantic import Field, ValidationError

from service.errors import KinemaError
from service.inference.card import Sampling
from service.video.sample import SamplingPlan
from service.video.spec import Flow, Part, PictureSpec


class RecipeError(KinemaError):
    """A recipe that cannot be read or is not valid."""


class Recipe(Part):
    """The part of a card that is decided before training; `kinema train --recipe` reads one from JSON."""

    evidence: tuple[PictureSpec, ...] = Field(min_length=1)
    sampling: Sampling

    @property
    def plan(self) -> SamplingPlan:
        """The sampling plan of this evidence."""
        return self.sampling.plan(self.evidence)

    @classmethod
    def read(cls, path: Path) -> Self:
        """Reads a recipe from a JSON file.

        Raises:
            RecipeError: the file cannot be read, or a field of it is not valid.
        """
        try:
            return cls.model_validate_json(path.read_bytes())
        except OSError as error:
            raise RecipeError(f"the recipe {path} cannot be read: {error.strerror}") from error
        except ValidationError as error:
            faults = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'recipe'}: {e['msg']}" for e in error.errors())
            raise RecipeError(f"{path} is not a valid recipe: {faults}", "docs/training.md shows one.") from error


EVERYDAY = Recipe(
    evidence=(
        PictureSpec(name="appearance", picture="rgb", size=224, cadence=4),
        PictureSpec(
            name="motion",
            picture="flow",
            size=112,
            cadence=1,
            flow=Flow(size=224, preset="fast", scale=10, magnitude_scale=16),
        ),
    ),
    sampling=Sampling(num_clips=3, clip_len=16, fps=10),
)
"""The recipe of the shipped model: sparse, large frames and dense, small pictures of motion."""
