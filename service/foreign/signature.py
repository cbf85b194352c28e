"""What a graph says of itself: which input is the clip, what else goes in, and what may be the answer."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, get_args

from service.errors import ImportRefused
from service.inference.session import Tensor
from service.inference.whole import TYPES, Layout, PixelType, StateType, Zeros, axes

LAYOUTS: tuple[Layout, ...] = get_args(Layout)
_INT64 = "tensor(int64)"
_PIXELS: Mapping[str, PixelType] = {TYPES[one]: one for one in get_args(PixelType)}
_STATES: Mapping[str, StateType] = {TYPES[one]: one for one in get_args(StateType)}
_FLOATS = frozenset({"tensor(float)", "tensor(float16)", "tensor(double)"})


# h0, c_0, hx, rnn.hidden, initial_state: what states are called.
_STATE_NAME = re.compile(r"(^|[^a-z])[hc](\d|x|_|$)|hidden|state|cell|memory", re.IGNORECASE)


class Ends(Protocol):
    """What a graph takes and gives; a `Session` has it."""

    @property
    def inputs(self) -> tuple[Tensor, ...]:
        """Its inputs."""

    @property
    def outputs(self) -> tuple[Tensor, ...]:
        """Its outputs."""


@dataclass(frozen=True, slots=True)
class Signature:
    """A graph's inputs and outputs, told apart.

    Attributes:
        clip: the input of five axes that the frames go into.
        type: of its numbers.
        layouts: the orders of its axes that its sides allow, at least one.
        zeros: inputs that carry state.
        lengths: inputs that are told how many frames a window has.
        outputs: those that may be the answer: floats with two axes, [B, C], or three, [B, T, C].
    """

    clip: Tensor
    type: PixelType
    layouts: tuple[Layout, ...]
    zeros: tuple[Zeros, ...]
    lengths: tuple[str, ...]
    outputs: tuple[Tensor, ...]

    @classmethod
    def read(cls, graph: Ends) -> Signature:
        """Tells the inputs and outputs of a loaded graph apart.

        Raises:
            ImportRefused: it is no graph of one clip, or has an input that nothing is known to feed.
        """
        clip = _clip(graph.inputs)
        if clip.type not in _PIXELS:
            raise ImportRefused(
                f"the clip goes in as {clip}, and not as float32, float16 or uint8",
                "Export it with one of them.",
            )
        others = [one for one in graph.inputs if one is not clip]
        lengths = [one for one in others if _is_length(one)]
        states = [one for one in others if one not in lengths]
        strange = [one for one in states if not _is_state(one, graph.outputs)]
        if strange:
            raise ImportRefused(
                f"nothing is known to feed the input {'; '.join(map(str, strange))}: beside the clip, a graph may have "
                "states (float32 or float16, which begin with zeros; named like one, as h0, or given out again in the "
                "same shape) and lengths (int64 [B], with 'len' in the name)",
                "Export it with that input fixed.",
            )
        outputs = tuple(one for one in graph.outputs if one.type in _FLOATS and len(one.shape) in {2, 3})
        if not outputs:
            raise ImportRefused(
                f"no output is [B, labels] or [B, T, labels] of floats: {'; '.join(map(str, graph.outputs))}",
                "Export the network with its classifier.",
            )
        zeros = tuple(_zeros(one) for one in states)
        return cls(clip, _PIXELS[clip.type], layouts(clip), zeros, tuple(one.name for one in lengths), outputs)


def layouts(clip: Tensor) -> tuple[Layout, ...]:
    """The layouts whose channel axis has the side 3; where there are none, those whose channel axis may have it."""
    sides: dict[Layout, int | None] = {layout: clip.shape[axes(layout).index("c")] for layout in LAYOUTS}
    return _with(sides, 3) or _with(sides, None)


def _with(sides: Mapping[Layout, int | None], wanted: int | None) -> tuple[Layout, ...]:
    return tuple(layout for layout, side in sides.items() if side == wanted)


def _clip(inputs: Sequence[Tensor]) -> Tensor:
    listed = "; ".join(map(str, inputs))
    five = [one for one in inputs if len(one.shape) == 5]
    if not five:
        if any(len(one.shape) == 4 for one in inputs):
            raise ImportRefused(
                f"no input has a time axis, so this looks like a classifier of single frames: {listed}",
                "Export the network that reads a whole clip, [B, T, 3, H, W] or the like.",
            )
        raise ImportRefused(
            f"no input has the five axes of a clip (batch, time, channels, height, width): {listed}",
            "Export the network that reads frames, not features of them.",
        )
    # A state of a convolutional LSTM has five axes, too, but not the three channels of a picture.
    sure = [one for one in five if 3 in {one.shape[axes(layout).index("c")] for layout in layouts(one)}]
    clips = sure or [one for one in five if layouts(one)]
    if not clips:
        raise ImportRefused(
            f"no axis of the clip can have three channels: {'; '.join(map(str, five))}",
            "Export it for frames of red, green and blue, in the order btchw, bthwc or ncthw.",
        )
    if len(clips) > 1:
        raise ImportRefused(
            f"the graph reads several clips at once, as SlowFast does: {'; '.join(map(str, clips))}",
            "Export a graph that takes one clip and makes the others of it.",
        )
    return clips[0]


def _is_length(tensor: Tensor) -> bool:
    # Any other number, of a speaker or a camera, would be answered with a length and nobody would see it.
    return tensor.type == _INT64 and len(tensor.shape) == 1 and "len" in tensor.name.lower()


def _is_state(tensor: Tensor, outputs: Sequence[Tensor]) -> bool:
    # A mask of zeros would hide the clip.
    known = (
        tensor.type in _STATES
        and "mask" not in tensor.name.lower()
        and len(tensor.shape) > 1
        and tensor.shape.count(None) <= 1
    )
    given_out = any((one.shape, one.type) == (tensor.shape, tensor.type) for one in outputs)
    return known and (given_out or _STATE_NAME.search(tensor.name) is not None)


def _zeros(tensor: Tensor) -> Zeros:
    sides = tuple("batch" if side is None else side for side in tensor.shape)
    return Zeros(name=tensor.name, type=_STATES[tensor.type], shape=sides)
