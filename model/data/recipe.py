"""What a model looks at: kinds of evidence and the sampling plan, decided before anything is trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, ValidationError, model_validator

from service.errors import KinemaError, faults
from service.inference.card import Sampling
from service.video.sample import SamplingPlan
from service.video.spec import Flow, Part, PictureSpec

Network = Literal["efficientnet-lite0", "movenet"]
"""The pretrained encoders: one of things and scenes (ImageNet), one of people and their joints (COCO)."""


class RecipeError(KinemaError):
    """A recipe that cannot be read or is not valid."""


class Recipe(Part):
    """The part of a card that is decided before training; `kinema train --recipe` reads one from JSON."""

    evidence: tuple[PictureSpec, ...] = Field(min_length=1)
    sampling: Sampling
    networks: Mapping[str, Network] = Field(
        default_factory=dict, description="the encoder of a kind of evidence, where it is not efficientnet-lite0"
    )

    @model_validator(mode="after")
    def _names_only_its_kinds(self) -> Self:
        others = sorted(set(self.networks) - {kind.name for kind in self.evidence})
        if others:
            raise ValueError(f"'networks' names {', '.join(others)}, of which there is no evidence")
        return self

    def network(self, kind: str) -> Network:
        """The encoder of a kind of evidence."""
        return self.networks.get(kind, "efficientnet-lite0")

    def tuned(self, only: Sequence[str] = ()) -> tuple[str, ...]:
        """The kinds whose encoders are tuned where that is asked for; the pose encoder knows people, and stays.

        Args:
            only: these alone; by default all that can be.

        Raises:
            RecipeError: there is none that can be, or one of `only` cannot.
        """
        can = tuple(kind.name for kind in self.evidence if self.network(kind.name) == "efficientnet-lite0")
        others = [kind for kind in only if kind not in can]
        advice = f"Those of {' and '.join(can)} can be." if can else "Leave --finetune out."
        if others:
            raise RecipeError(f"there is no encoder of {' or '.join(others)} that can be tuned", advice)
        if not can:
            raise RecipeError("the recipe has no kind of evidence whose encoder can be tuned", advice)
        return tuple(kind for kind in can if kind in only or not only)

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
            raise RecipeError(
                f"{path} is not a valid recipe: {faults(error, 'recipe')}", "docs/training.md shows one."
            ) from error


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
        PictureSpec(name="pose", picture="rgb", size=192, cadence=3),
    ),
    sampling=Sampling(num_clips=3, clip_len=16, fps=10),
    networks={"pose": "movenet"},
)
"""The recipe of the shipped model: sparse, large frames, dense, small pictures of motion, and people's poses."""
