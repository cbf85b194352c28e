"""What a bundle sees in a clip and what happens inside its head, to be shown to people."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from model.explore.witness import Trace, Values, Witnessed, witness
from model.net.classifier import Classifier, HeadName
from model.net.mapreader import MapReader
from model.onnx.graph import read_recurrent
from service.alone import look
from service.errors import BundleError, KinemaError
from service.inference.bundle import Bundle
from service.inference.card import LENGTHS, Card
from service.inference.postprocess import Prediction, rank, scores
from service.inference.session import Device
from service.video.decode import Decoded, DecodeTask, MadePicture, decode
from service.video.preprocess import Picture
from service.video.source import NO_LIMITS

Progress = Callable[[str], None]
"""Hears what is done next, in a few words."""


class ExploreError(KinemaError):
    """A clip or a page that cannot be read or written."""


@dataclass(frozen=True)
class Head:
    """What a head is.

    Attributes:
        name: the family that it belongs to.
        parameters: how many numbers were learned, all of them, and those of the reader alone.
        streams: whether a clip in chunks, with the state handed on, gets the answer of the whole clip.
        state: the length of each part of the state, by name.
        mapped: the kind of evidence whose map it reads, if it reads one.
    """

    name: HeadName
    parameters: int
    reader_parameters: int
    streams: bool
    state: Mapping[str, int]
    mapped: str | None

    @classmethod
    def of(cls, head: Classifier) -> Head:
        """Tells of a network."""
        reader = head.reader
        return cls(
            head.config.head,
            _learned(head),
            0 if reader is None else _learned(reader) + _learned(head.read),
            head.streams,
            head.state_sizes,
            reader.kind if isinstance(reader, MapReader) else None,
        )


def _learned(network: torch.nn.Module) -> int:
    return sum(one.numel() for one in network.parameters() if one.requires_grad)


@dataclass(frozen=True)
class Window:
    """One window of a clip.

    Attributes:
        times_s: the timestamps of the frames that its T steps looked at.
        pictures: by kind of evidence and step, uint8 [H, W, 3]; a kind with a slower cadence has none for some steps.
        seen: what the head said of it, and what happened inside.
        scores: the softmax of the logits after each step, divided by the temperature: float64 [T, C].
        opinions: the same of each expert alone.
    """

    times_s: tuple[float, ...]
    pictures: Mapping[str, Mapping[int, Picture]]
    seen: Witnessed
    scores: NDArray[np.float64]
    opinions: Mapping[str, NDArray[np.float64]]

    @property
    def steps(self) -> int:
        """T."""
        return len(self.times_s)

    @property
    def traces(self) -> tuple[Trace, ...]:
        """Of each recurrent network."""
        return self.seen.traces

    def held(self, kind: str, step: int) -> Picture:
        """The picture that a kind's evidence rests on at a step: the last that was made."""
        pictures = self.pictures[kind]
        return pictures[max(one for one in pictures if one <= step)]


@dataclass(frozen=True)
class Exploration:
    """All that the page shows.

    Attributes:
        card: the bundle's.
        head: what its head is.
        receipt: what was looked at.
        predictions: the clip's best answers, best first, over all windows.
        windows: in order of time.
    """

    card: Card
    head: Head
    receipt: Decoded
    predictions: tuple[Prediction, ...]
    windows: tuple[Window, ...]


def explore(directory: Path, clip: bytes, progress: Progress = lambda _: None, top_k: int = 5) -> Exploration:
    """Lets a bundle answer a clip and watches it.

    Args:
        directory: the bundle's.
        clip: encoded.
        progress: hears what is done next.
        top_k: how many answers to keep.

    Raises:
        BundleError: no bundle, or one whose head cannot be read back: an imported one, or an older one.
        ClipError: the clip cannot be decoded.
    """
    progress("reading the bundle")
    card = Card.read(directory)
    if card.whole is not None:
        raise BundleError(
            f"{card.name} {card.version} is one graph that was exported elsewhere: what happens inside is not known",
            "`kinema explore` shows bundles that `kinema export` wrote.",
        )
    bundle = Bundle.load(directory, Device.choose("cpu", 1))
    head = read_recurrent(card.path(directory, card.recurrent.file))
    progress("looking at the clip")
    made: list[MadePicture] = []
    receipt = decode(clip, DecodeTask(card.plan, card.evidence, NO_LIMITS), made.append)
    inputs = look(bundle, clip)
    progress("watching the head")
    windows = tuple(
        Window(times_s, _pictures(made, number), seen, _over_steps(seen.logits, card), _opinions(seen, card))
        for number, times_s in enumerate(card.plan.times_of_steps(receipt.times_s, receipt.steps))
        for seen in [witness(head, _window(inputs, number))]
    )
    answer = scores(np.stack([window.seen.logits[-1] for window in windows]), card.temperature)
    return Exploration(card, Head.of(head), receipt, rank(answer, card.labels, top_k), windows)


def _window(inputs: Mapping[str, NDArray[Any]], number: int) -> dict[str, torch.Tensor]:
    """One row of a batch without its padding, as a batch of 1."""
    steps = int(inputs[LENGTHS][number])
    return {
        name: torch.from_numpy(rows[number : number + 1, :steps]) for name, rows in inputs.items() if name != LENGTHS
    }


def _pictures(made: list[MadePicture], window: int) -> dict[str, dict[int, Picture]]:
    found: defaultdict[str, dict[int, Picture]] = defaultdict(dict)
    for picture in made:
        if picture.window == window:
            found[picture.kind][picture.step] = picture.pixels
    return dict(found)


def _over_steps(logits: Values, card: Card) -> NDArray[np.float64]:
    return np.stack([scores(row[np.newaxis], card.temperature) for row in logits])


def _opinions(seen: Witnessed, card: Card) -> dict[str, NDArray[np.float64]]:
    return {name: _over_steps(logits, card) for name, logits in seen.experts.items()}
