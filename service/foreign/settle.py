"""What a graph says and what was given, put together: nothing may contradict and nothing may be missing."""

from __future__ import annotations

from dataclasses import dataclass
from textwrap import indent
from typing import Literal, TypeVar

from service.errors import ImportRefused
from service.foreign.given import RGB, Given
from service.foreign.signature import Signature
from service.inference.session import Tensor
from service.inference.whole import Layout, Steps, axes

_WINDOWS = 3
_T = TypeVar("_T")

Source = Literal["graph", "given", "default"]

NORMALISATIONS = """\
ImageNet                  --mean 0.485,0.456,0.406 --std 0.229,0.224,0.225
Kinetics, torchvision     --mean 0.43216,0.394666,0.37645 --std 0.22803,0.22145,0.216989
Kinetics, PyTorchVideo    --mean 0.45 --std 0.225
pixels of -1..1           --mean 0.5 --std 0.5
pixels of 0..1            --mean 0 --std 1
pixels of 0..255          --mean 0 --std 0.00392156862745098"""


@dataclass(frozen=True, slots=True)
class Told:
    """One thing that is settled: what it is, its value in words, and who said so."""

    what: str
    value: str
    source: Source


@dataclass(frozen=True, slots=True)
class Settled:
    """All that has to be known before the graph can be run.

    Attributes:
        labels: in the order of the outputs.
        layout: of the clip's axes.
        clip_len: frames in a window.
        size: their side in pixels.
        mean, std: as `Whole` has them.
        fps: frames a second.
        num_clips: the most windows of a clip.
        output: name of the answer.
        steps: which of its steps count, where it has a time axis.
        golden: the encoded golden clip.
        told: a line for each of these, for the caller to read.
    """

    labels: tuple[str, ...]
    layout: Layout
    clip_len: int
    size: int
    mean: RGB | None
    std: RGB | None
    fps: float
    num_clips: int
    output: str
    steps: Steps | None
    golden: bytes
    told: tuple[Told, ...]


class _Open:
    """Collects what contradicts and what is missing, so that one error can name all of it."""

    def __init__(self) -> None:
        self.contradictions: list[str] = []
        self.missing: list[str] = []
        self.told: list[Told] = []

    def agree(self, what: str, option: str, graph: _T | None, given: _T | None, lacking: str, instead: _T) -> _T:
        """What the graph says, or else what was given; `instead` where neither does, so that looking can go on."""
        if graph is not None and given is not None and graph != given:
            self.contradictions.append(f"{option} says {given}, but the graph's {what} is {graph}")
        if graph is not None:
            self.tell(what, graph, "graph")
            return graph
        if given is not None:
            self.tell(what, given, "given")
            return given
        self.missing.append(f"{option}: {lacking}")
        return instead

    def tell(self, what: str, found: object, source: Source) -> None:
        """Notes what was found, for the caller to read."""
        if isinstance(found, bytes):
            found = f"{len(found)} bytes"
        self.told.append(Told(what, f"{len(found)}" if isinstance(found, tuple) else f"{found}", source))

    def refuse(self) -> None:
        """Raises what was collected, if anything was."""
        if self.contradictions:
            raise ImportRefused(_listed("what was given contradicts the graph:", self.contradictions), "Correct it.")
        if self.missing:
            raise ImportRefused(
                _listed("the graph does not say all that has to be known; give", self.missing),
                "Who trained the model knows; wrong values give wrong answers without a sign.",
            )


def _listed(title: str, items: list[str]) -> str:
    return "\n".join((title, *(indent(item, "      ").replace("    ", "", 1) for item in items)))


def settle(signature: Signature, given: Given) -> Settled:
    """Puts both together.

    Raises:
        ImportRefused: something was given that contradicts the graph, or something is neither in it nor given; the
            detail lists all of it.
    """
    opened, clip = _Open(), signature.clip
    opened.tell("clip", clip, "graph")
    possible = _layouts(signature, given, opened)
    clip_len = opened.agree(
        "number of frames", "--clip-len", _side(clip, possible, "t"), given.clip_len, "frames in a clip", 1
    )
    size = opened.agree("side", "--size", _square(clip, possible), given.size, "pixels on a frame's side", 1)
    fps = opened.agree("frames a second", "--fps", None, given.fps, "frames a second in training, for example 10", 1.0)
    mean, std = _normalisation(signature, given, opened)
    lacking = "a file with a label a line, in the order of the outputs"
    labels = opened.agree("labels", "--labels", None, given.labels, lacking, ())
    output = _output(signature, given, opened)
    steps = _steps(output, given, opened)
    golden = _golden(given, opened)
    for state in signature.zeros:
        opened.tell("state", f"{state.name} {state.type} {list(state.shape)}, zeros for every window", "graph")
    for name in signature.lengths:
        opened.tell("lengths", f"{name}, the number of frames", "graph")
    num_clips = given.num_clips or _WINDOWS
    opened.tell("windows of a clip", f"at most {num_clips}", "given" if given.num_clips else "default")
    opened.refuse()
    return Settled(
        labels, possible[0], clip_len, size, mean, std, fps, num_clips, output.name, steps, golden, tuple(opened.told)
    )


def _golden(given: Given, opened: _Open) -> bytes:
    if given.golden is None and given.shipped_golden is not None:
        opened.tell("golden clip", given.shipped_golden, "default")
        return given.shipped_golden
    return opened.agree("golden clip", "--golden", None, given.golden, "a small clip, answered at each start", b"")


def _layouts(signature: Signature, given: Given, opened: _Open) -> tuple[Layout, ...]:
    """The one layout that the clip has; those that it may have where that is open still."""
    possible, clip = signature.layouts, signature.clip
    if given.layout is not None and given.layout not in possible:
        opened.contradictions.append(f"--layout says {given.layout}, but {clip} can only be {' or '.join(possible)}")
        return possible
    sure = possible[0] if len(possible) == 1 else None
    lacking = f"the order of the axes of {clip}: {' or '.join(possible)} (n and b are the batch)"
    settled = opened.agree("layout", "--layout", sure, given.layout, lacking, None)
    return possible if settled is None else (settled,)


def _side(clip: Tensor, possible: tuple[Layout, ...], axis: str) -> int | None:
    """The side of an axis, where all possible layouts give it the same."""
    sides = {clip.shape[axes(layout).index(axis)] for layout in possible}
    return sides.pop() if len(sides) == 1 else None


def _square(clip: Tensor, possible: tuple[Layout, ...]) -> int | None:
    height, width = (_side(clip, possible, axis) for axis in "hw")
    if height is not None and width is not None and height != width:
        raise ImportRefused(
            f"{clip} reads frames of {width} x {height} pixels, and Kinema makes square ones",
            "Export it for square frames; Kinema squeezes what a clip shows into them.",
        )
    return height if height is not None else width


def _normalisation(signature: Signature, given: Given, opened: _Open) -> tuple[RGB | None, RGB | None]:
    options = {"--mean": given.mean, "--std": given.std}
    if signature.type == "uint8":
        opened.contradictions += [
            f"{option} says {_numbers(values)}, but {signature.clip} reads bytes and normalises them itself"
            for option, values in options.items()
            if values is not None
        ]
        return None, None
    lacking = [option for option, values in options.items() if values is None]
    if lacking:
        opened.missing.append(f"{' and '.join(lacking)}: how pixels are normalised, often one of\n{NORMALISATIONS}")
    if given.mean and given.std:
        opened.tell("normalisation", f"(pixel / 255 - {_numbers(given.mean)}) / {_numbers(given.std)}", "given")
    return given.mean, given.std


def _numbers(values: RGB) -> str:
    return f"{values[0]:g}" if len(set(values)) == 1 else ",".join(f"{value:g}" for value in values)


def _output(signature: Signature, given: Given, opened: _Open) -> Tensor:
    """The output that is the answer; any of them where that is open still."""
    outputs, count = signature.outputs, len(given.labels or ())
    if given.output is not None:
        chosen = [one for one in outputs if one.name == given.output]
        fault = f"--output says {given.output}"
    else:
        fitting = [one for one in outputs if one.shape[-1] == count]
        chosen = fitting or [one for one in outputs if one.shape[-1] is None or given.labels is None]
        fault = f"--labels has {count} labels"
    if len(chosen) > 1:
        if given.labels is not None:  # else their number may tell
            opened.missing.append(f"--output: which one is the answer, of {'; '.join(map(str, chosen))}")
    elif not chosen:
        opened.contradictions.append(f"{fault}, but the graph's outputs are {'; '.join(map(str, outputs))}")
    elif given.labels is not None and chosen[0].shape[-1] not in {None, count}:
        opened.contradictions.append(f"--labels has {count} labels, but the graph's answer is {chosen[0]}")
    else:
        opened.tell("answer", chosen[0], "graph")
    return (chosen or outputs)[0]


def _steps(output: Tensor, given: Given, opened: _Open) -> Steps | None:
    if len(output.shape) == 2:
        if given.steps is not None:
            opened.contradictions.append(f"--steps says {given.steps}, but the answer {output} has no time axis")
        return None
    only: Steps | None = "last" if output.shape[1] == 1 and given.steps is None else None
    lacking = f"which steps of the answer {output} count: last or mean"
    return opened.agree("steps that count", "--steps", only, given.steps, lacking, "last")
