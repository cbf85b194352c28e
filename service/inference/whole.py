"""What a card says of a graph that reads a whole window and answers it: one that somebody else exported."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from service.video.spec import Part

Layout = Literal["btchw", "bthwc", "ncthw"]
"""The order of a clip's axes: batch (b, n), time, channels, height, width."""

PixelType = Literal["float32", "float16", "uint8"]
StateType = Literal["float32", "float16"]
Steps = Literal["last", "mean"]
"""Which steps of an answer with a time axis count."""

TYPES = {"float32": "tensor(float)", "float16": "tensor(float16)", "uint8": "tensor(uint8)"}
"""The name that onnxruntime has for each type of pixels and states."""

Channels = tuple[float, float, float]
Spread = tuple[PositiveFloat, PositiveFloat, PositiveFloat]
GraphName = Annotated[str, Field(min_length=1, max_length=1024)]


def axes(layout: Layout) -> str:
    """A letter for each axis of a layout, in order, the batch's being `b`."""
    return layout.replace("n", "b")


class Zeros(Part):
    """A state that goes into the graph; every window begins with zeros."""

    name: GraphName
    type: StateType
    shape: tuple[PositiveInt | Literal["batch"], ...]


class Whole(Part):
    """A graph that reads whole windows: which input is the clip, how it is laid out, and what its output says."""

    input: GraphName
    type: PixelType
    half: bool = Field(False, description="whether anything in the graph is float16")
    layout: Layout
    mean: Channels | None = Field(None, description="of red, green, blue, for pixels of 0 to 1; none for uint8")
    std: Spread | None = Field(None, description="the same for what differences from the mean are divided by")
    batch: PositiveInt | None = Field(None, description="windows in a run, where only so many will do")
    zeros: tuple[Zeros, ...] = ()
    lengths: tuple[GraphName, ...] = Field(
        (), description="inputs int64 [B]: the frames of a window, a short one being filled"
    )
    output: GraphName
    gives: Literal["logits", "probabilities"]
    steps: Steps | None = Field(None, description="present where the output has a time axis, [B, T, C]")

    @model_validator(mode="after")
    def _normalises_floats_alone(self) -> Self:
        floats = self.type != "uint8"
        if (self.mean is not None) != floats or (self.std is not None) != floats:
            raise ValueError("'mean' and 'std' belong to graphs that read floats, and only to them")
        return self
