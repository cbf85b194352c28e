"""The work of one clip, which every peer and the bound do alike: bytes to pictures, to features, to scores.

Decoding and arranging are the service's own functions; the graphs run in plain sessions of onnxruntime.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from service.inference.card import Card, Evidence
from service.inference.postprocess import rank, scores
from service.inference.sequence import Features, Sequence
from service.video.decode import DecodeTask, MadePicture, decode
from service.video.source import Limits

Precision = Literal["fp32", "int8"]

BUNDLE, PRECISION, PORT = "PEER_BUNDLE", "PEER_PRECISION", "PEER_PORT"
"""The environment variables that a peer is told by."""

# As the service's defaults.
_LIMITS = Limits(max_pixels=4096 * 2304, max_duration_s=600, max_frames=36_000)
_TOP = 5


@dataclass(frozen=True, slots=True)
class Pictures:
    """What decoding gives: the recurrent steps of each window, and the pictures of each kind with their places.

    Attributes:
        steps: recurrent steps of each window.
        places: window and step of each picture, by kind.
        pixels: uint8 [N, H, W, 3], by kind.
    """

    steps: tuple[int, ...]
    places: Mapping[str, list[tuple[int, int]]]
    pixels: Mapping[str, NDArray[np.uint8]]


class Work:
    """A bundle, loaded.

    Args:
        bundle: its directory.
        precision: of the encoders; a bundle without int8 twins has no int8.
        threads: of each graph; None leaves it to onnxruntime, which takes every core.

    Raises:
        FileNotFoundError: the bundle has no such twin.
    """

    def __init__(self, bundle: Path, precision: Precision = "fp32", threads: int | None = None) -> None:
        self.card = Card.read(bundle)
        self._encoders = {
            kind.name: _session(_encoder(bundle, self.card, kind, precision), threads) for kind in self.card.evidence
        }
        self._recurrent = _session(self.card.path(bundle, self.card.recurrent.file), threads)
        self._task = DecodeTask(self.card.plan, self.card.evidence, _LIMITS)

    def pictures(self, clip: bytes) -> Pictures:
        """Decodes a clip and makes the pictures that the model looks at."""
        made: list[MadePicture] = []
        decoded = decode(clip, self._task, made.append)
        kinds = {kind.name: [picture for picture in made if picture.kind == kind.name] for kind in self.card.evidence}
        return Pictures(
            decoded.steps,
            {name: [(picture.window, picture.step) for picture in own] for name, own in kinds.items()},
            {name: np.stack([picture.pixels for picture in own]) for name, own in kinds.items()},
        )

    def features(self, pictures: Pictures, batch: int | None = None) -> dict[str, Features]:
        """Encodes the pictures: all of a kind at once, or `batch` at a time.

        Returns:
            By the input of the recurrent graph that they are for: features, and maps where the head reads them.
        """
        encoded: dict[str, Features] = {}
        for kind in self.card.evidence:
            pixels = pictures.pixels[kind.name]
            encoded |= self._encode(kind, pixels, batch or len(pixels))
        return encoded

    def _encode(self, kind: Evidence, pixels: NDArray[np.uint8], batch: int) -> dict[str, Features]:
        outputs = ["features", "map"][: len(kind.inputs)]
        session = self._encoders[kind.name]
        starts = range(0, len(pixels), batch)
        parts = [session.run(outputs, {"pictures": pixels[start : start + batch]}) for start in starts]
        return {name: np.concatenate(own) for name, *own in zip(kind.inputs, *parts, strict=True)}

    def predictions(self, pictures: Pictures, features: Mapping[str, Features]) -> list[dict[str, Any]]:
        """Reads the features in order and ranks the labels, best first."""
        sequence = Sequence(self.card.evidence)
        for kind in self.card.evidence:
            for name in kind.inputs:
                for (window, step), row in zip(pictures.places[kind.name], features[name], strict=True):
                    sequence.put(name, window, step, row)
        inputs = sequence.inputs(pictures.steps)
        windows = len(pictures.steps)
        state = {part.name: np.zeros((windows, part.size), np.float32) for part in self.card.recurrent.state}
        (logits,) = self._recurrent.run(["logits"], {**inputs, **state})
        last = np.asarray(logits)[np.arange(windows), np.asarray(pictures.steps) - 1]
        best = rank(scores(last, self.card.temperature), self.card.labels, _TOP)
        return [{"label": one.label, "label_id": one.label_id, "score": one.score} for one in best]

    def answer(self, clip: bytes) -> dict[str, Any]:
        """All of it, in one go: the body of a peer's answer."""
        pictures = self.pictures(clip)
        return {"predictions": self.predictions(pictures, self.features(pictures))}


def _encoder(bundle: Path, card: Card, kind: Evidence, precision: Precision) -> Path:
    if precision == "fp32":
        return card.path(bundle, kind.file)
    if kind.int8 is None:
        raise FileNotFoundError(f"the bundle has no int8 twin of {kind.file}")
    return card.path(bundle, kind.int8)


def _session(path: Path, threads: int | None) -> ort.InferenceSession:
    if not path.is_file():
        raise FileNotFoundError(f"the bundle has no {path.name}: {path}")
    options = ort.SessionOptions()
    if threads is not None:
        options.intra_op_num_threads = options.inter_op_num_threads = threads
    return ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def from_environment(threads: int | None = None) -> Work:
    """The work that the environment variables describe."""
    precision: Precision = "int8" if os.environ.get(PRECISION) == "int8" else "fp32"
    return Work(Path(os.environ[BUNDLE]), precision, threads)


def port() -> int:
    """The port that the environment names, of the loopback address."""
    return int(os.environ[PORT])


def cores() -> int:
    """The cores that a peer may use, one worker each."""
    return len(os.sched_getaffinity(0))
