"""What a model says of the pictures that it reads: the part of its card that concerns video."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt, model_validator

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_.-]*$", max_length=64)]


class Part(BaseModel):
    """What all parts of a card share: frozen, and no field that the code does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Flow(Part):
    """How a motion picture is made of two frames; see `service.video.preprocess`."""

    size: PositiveInt = Field(description="side in pixels of the square frames that flow is computed on")
    preset: Literal["ultrafast", "fast", "medium"] = Field(description="preset of OpenCV's DIS optical flow")
    scale: PositiveFloat = Field(description="grey levels for one pixel of displacement, around 128")
    magnitude_scale: PositiveFloat = Field(description="grey levels for one pixel of magnitude, from 0")


class PictureSpec(Part):
    """The pictures of one kind of evidence: what they show, their size, and how often one is made."""

    name: Name
    picture: Literal["rgb", "flow"] = Field(description="what the pictures show: the frame, or its optical flow")
    size: PositiveInt = Field(description="side in pixels of the square picture that the encoder reads")
    cadence: PositiveInt = Field(description="a picture every so many steps, held until the next")
    flow: Flow | None = Field(default=None, description="present for, and only for, pictures of flow")

    @model_validator(mode="after")
    def _flow_fits_picture(self) -> Self:
        if (self.picture == "flow") != (self.flow is not None):
            raise ValueError(f"evidence {self.name!r}: 'flow' belongs to pictures of flow, and only to them")
        return self
