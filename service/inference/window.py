"""How a window of a clip is put before a graph that reads it whole, and its answer taken.

The pictures of a window become one item of the queue that pictures of other bundles wait in one by one, so windows of
all clips in flight are read together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from service.inference.card import Evidence
from service.inference.session import Encoder, Reading, Recurrent, Session, State
from service.inference.whole import Whole, axes
from service.video.decode import Decoded, Emit, MadePicture
from service.video.preprocess import Picture

Window = NDArray[np.uint8]
"""The pictures of one window: uint8 [T, H, W, 3], RGB."""

_GATHERED = "bthwc"


class Intake(Protocol):
    """What a clip's pictures go through between decoder and queue."""

    def put(self, picture: MadePicture) -> None:
        """Takes a picture; those of a clip come in order of time."""

    def close(self, decoded: Decoded) -> Decoded:
        """Says that no picture follows; returns the receipt with what has been done to them."""


class Passing:
    """Hands on every picture as it is."""

    def __init__(self, emit: Emit) -> None:
        self.put = emit

    def close(self, decoded: Decoded) -> Decoded:
        return decoded


class Gathering:
    """Gathers the pictures of each window and hands on full ones; a short window ends with its last picture repeated.

    Args:
        clip_len: pictures in a full window.
        emit: receives windows as step 0 of theirs.
    """

    def __init__(self, clip_len: int, emit: Emit) -> None:
        self._clip_len = clip_len
        self._emit = emit
        self._made: MadePicture | None = None
        self._window: Window | None = None
        self._windows = 0
        self._repeated = 0

    def put(self, picture: MadePicture) -> None:
        if self._made is not None and self._made.window != picture.window:
            self._hand_on()
        if self._window is None:
            self._window = np.empty((self._clip_len, *picture.pixels.shape), dtype=np.uint8)
        self._window[picture.step] = picture.pixels  # copied: a picture is memory that its decoder shares
        self._made = picture
        if picture.step == self._clip_len - 1:
            self._hand_on()

    def _hand_on(self) -> None:
        made, window = self._made, self._window
        assert made is not None
        assert window is not None
        self._made = self._window = None
        window[made.step + 1 :] = made.pixels
        self._windows += 1
        self._repeated += self._clip_len - 1 - made.step
        self._emit(MadePicture(made.kind, made.window, 0, window))

    def close(self, decoded: Decoded) -> Decoded:
        if self._made is not None:
            self._hand_on()
        steps = (1,) * self._windows
        if not self._repeated:
            return replace(decoded, steps=steps)
        warning = f"last frame repeated {self._repeated} times, since the model reads {self._clip_len} frames at once"
        return replace(
            decoded,
            steps=steps,
            pictures={kind: made + self._repeated for kind, made in decoded.pictures.items()},
            padded=decoded.padded + self._repeated,
            warnings=(*decoded.warnings, warning),
        )


class WindowGraph:
    """A graph that reads whole windows, fed as the card says.

    Args:
        session: the graph.
        whole: what the card says of it.
        clip_len: pictures in a window.
    """

    def __init__(self, session: Session, whole: Whole, clip_len: int) -> None:
        self.whole = whole
        self.clip_len = clip_len
        self._session = session
        self._order = tuple(_GATHERED.index(axis) for axis in axes(whole.layout))
        self._scale, self._offset = _normalisation(whole)

    def answer(self, windows: Sequence[Window]) -> NDArray[Any]:
        """What the graph says of as many windows as it takes: [B, C], or [B, T, C] where it has a time axis."""
        inputs: dict[str, NDArray[Any]] = {self.whole.input: self._clip(windows)}
        for state in self.whole.zeros:
            shape = [len(windows) if side == "batch" else side for side in state.shape]
            inputs[state.name] = np.zeros(shape, dtype=state.type)
        for name in self.whole.lengths:
            inputs[name] = np.full(len(windows), self.clip_len, dtype=np.int64)
        (answer,) = self._session.run([self.whole.output], inputs)
        return np.asarray(answer)

    def _clip(self, windows: Sequence[Window]) -> NDArray[Any]:
        # Moved while they are bytes: that is a quarter of what moving floats would be.
        laid = np.ascontiguousarray(np.stack(windows).transpose(self._order))
        if self.whole.type == "uint8":
            return laid
        floats = laid * self._scale
        floats += self._offset
        return floats.astype(self.whole.type, copy=False)


def _normalisation(whole: Whole) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """By what bytes are multiplied and what is added then, each float32, to be broadcast over a clip."""
    mean, std = np.asarray(whole.mean or (0.0,) * 3), np.asarray(whole.std or (1.0,) * 3)
    shape = tuple(3 if axis == "c" else 1 for axis in axes(whole.layout))
    scale, offset = 1 / (255 * std), -mean / std
    return scale.reshape(shape).astype(np.float32), offset.reshape(shape).astype(np.float32)


class WindowReader(Encoder):
    """A graph that reads whole windows, in the place of an encoder: what it makes of a window are logits.

    Args:
        session: the graph.
        kind: the evidence that it reads.
        whole: how it is fed.
        clip_len: pictures in a window.
    """

    def __init__(self, session: Session, kind: Evidence, whole: Whole, clip_len: int) -> None:
        super().__init__(session, kind)
        self.reads = clip_len
        self._name = kind.name
        self._graph = WindowGraph(session, whole, clip_len)

    def blank(self, size: int) -> Window:
        return np.zeros((self.reads, size, size, 3), dtype=np.uint8)

    def encode(self, pictures: Sequence[Picture]) -> Mapping[str, NDArray[np.float32]]:
        """Reads windows, each uint8 [T, H, W, 3].

        Returns:
            By the name of the evidence: logits, float32 [N, C]; of probabilities their logarithms.
        """
        rows = self._graph.whole.batch or len(pictures)
        parts = [self._read(pictures[start : start + rows], rows) for start in range(0, len(pictures), rows)]
        return {self._name: np.concatenate(parts)}

    def _read(self, windows: Sequence[Window], rows: int) -> NDArray[np.float32]:
        filled = [*windows, *[windows[-1]] * (rows - len(windows))]
        return logits(self._graph.answer(filled), self._graph.whole)[: len(windows)]


def logits(answer: NDArray[Any], whole: Whole) -> NDArray[np.float32]:
    """The logits in a graph's answer, float32 [B, C].

    Args:
        answer: as `WindowGraph.answer` returns it.
        whole: says what it means.
    """
    values = answer.astype(np.float64)
    if whole.gives == "probabilities":
        # The least number of the graph's type stands for a zero, which has no logarithm.
        values = np.log(np.maximum(values, float(np.finfo(answer.dtype).smallest_subnormal)))
    if whole.steps is not None:
        values = values[:, -1] if whole.steps == "last" else values.mean(axis=1)
    return values.astype(np.float32)


class Answered(Recurrent):
    """In the place of a recurrent head where the graph has answered its windows: hands their logits on, with no state.

    Args:
        session: the graph.
        kind: the name under which the logits come.
    """

    def __init__(self, session: Session, kind: str) -> None:
        super().__init__(session, {})
        self._kind = kind

    def read(
        self, inputs: Mapping[str, NDArray[Any]], state: State | None = None, outputs: Sequence[str] = ()
    ) -> Reading:
        """The logits of each window, float32 [W, C]; there is nothing to carry, and nothing beside."""
        windows = np.asarray(inputs[self._kind], dtype=np.float32)  # each is one step, float32 [W, 1, C]
        return Reading(windows[:, 0], {}, {}, windows)
