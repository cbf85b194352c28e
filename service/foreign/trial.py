"""What only running a graph can tell: which batches it takes, what its answers are, whether they can be relied on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.errors import ImportRefused
from service.foreign.settle import Settled
from service.foreign.signature import Signature
from service.inference.session import Session
from service.inference.whole import Whole
from service.inference.window import Window, WindowGraph

# How far apart two answers to the same window may be, as a share of the largest number: kernels for other batches add
# in another order.
_APART = {"float16": 2e-2, "float32": 1e-3, "float64": 1e-3}
# How far from one probabilities may sum.
_SUM = {"float16": 1e-2, "float32": 1e-4, "float64": 1e-4}


@dataclass(frozen=True, slots=True)
class Tried:
    """What the runs told.

    Attributes:
        whole: what the card will say of the graph.
        tolerance: how far from the golden clip's scores another machine may be.
        warning: what the caller should think about, or nothing.
    """

    whole: Whole
    tolerance: float
    warning: str = ""


def trial(session: Session, signature: Signature, settled: Settled, *, half: bool) -> Tried:
    """Runs a graph on random windows.

    Args:
        session: the graph.
        signature: what it says of itself.
        settled: what else is known.
        half: whether anything in it is float16.

    Raises:
        ImportRefused: it does not run, its answer does not fit the labels, or is not the same each time.
    """
    windows = _random(settled)
    whole = _with_batch(session, signature, settled, windows).model_copy(update={"half": half})
    graph = WindowGraph(session, whole, settled.clip_len)
    answer = _rows(graph, whole, windows)
    _check_shape(answer, windows, settled)
    _check_values(graph, whole, windows, answer)
    gives, warning = _meaning(answer)
    return Tried(whole.model_copy(update={"gives": gives}), 1e-2 if half else 1e-3, warning)


def _random(settled: Settled) -> list[Window]:
    generator = np.random.default_rng(0)
    shape = (settled.clip_len, settled.size, settled.size, 3)
    return [generator.integers(0, 256, shape, dtype=np.uint8) for _ in range(2)]


def _with_batch(session: Session, signature: Signature, settled: Settled, windows: list[Window]) -> Whole:
    """The graph with the batch that it takes.

    An exporter may write that a batch is free and yet have fixed it inside.
    """
    whole = Whole(
        input=signature.clip.name,
        type=signature.type,
        layout=settled.layout,
        mean=settled.mean,
        std=settled.std,
        batch=signature.clip.shape[0],
        zeros=signature.zeros,
        lengths=signature.lengths,
        output=settled.output,
        gives="logits",
        steps=settled.steps,
    )
    if whole.batch is not None:
        _run(session, whole, settled, [windows[0]] * whole.batch)
        return whole
    working: list[int] = []
    fault: ImportRefused | None = None
    for batch in (1, 2):
        try:
            answer = _run(session, whole, settled, windows[:batch])
        except ImportRefused as refused:
            fault = fault or refused
            continue
        if len(answer) == batch:
            working.append(batch)
    if not working:
        raise fault or ImportRefused("the graph's answer has no row for each clip of a batch", "Export it batch first.")
    alike = len(working) == 2 and _rows_stand_alone(session, whole, settled, windows)
    return whole if alike else whole.model_copy(update={"batch": working[0]})


def _rows_stand_alone(session: Session, whole: Whole, settled: Settled, windows: list[Window]) -> bool:
    together = _run(session, whole, settled, windows)
    alone = np.concatenate([_run(session, whole, settled, [window]) for window in windows])
    return _alike(together, alone)


def _run(session: Session, whole: Whole, settled: Settled, windows: list[Window]) -> NDArray[Any]:
    try:
        return WindowGraph(session, whole, settled.clip_len).answer(windows)
    except Exception as error:
        many = "a window" if len(windows) == 1 else f"{len(windows)} windows"
        raise ImportRefused(
            f"the graph does not run on {many} of {settled.clip_len} frames of {settled.size} pixels: {error}",
            "Check --layout, --clip-len and --size; run the graph where it was exported.",
        ) from error


def _rows(graph: WindowGraph, whole: Whole, windows: list[Window]) -> NDArray[Any]:
    """The graph's own answer to each window, beside as few others as can be."""
    others = (whole.batch or 1) - 1
    return np.concatenate([graph.answer([window, *[window] * others])[:1] for window in windows])


def _check_shape(answer: NDArray[Any], windows: list[Window], settled: Settled) -> None:
    axes = 2 if settled.steps is None else 3
    shape = " x ".join(map(str, answer.shape[1:]))
    if len(answer) != len(windows) or answer.ndim != axes:
        raise ImportRefused(
            f"the graph's answer to a window is {shape} numbers, not "
            + ("one for each label" if axes == 2 else "one for each step and label"),
            "Export it batch first.",
        )
    if answer.shape[-1] != len(settled.labels):
        raise ImportRefused(
            f"--labels has {len(settled.labels)} labels, but the graph's answer to a window is {shape} numbers",
            "Give as many labels as the graph tells apart.",
        )


def _check_values(graph: WindowGraph, whole: Whole, windows: list[Window], answer: NDArray[Any]) -> None:
    if not np.isfinite(answer).all():
        raise ImportRefused(
            "the graph's answer to a random clip has numbers that are not finite",
            "Check --mean and --std; export in float32 what overflows in float16.",
        )
    if not _alike(_rows(graph, whole, windows), answer):
        raise ImportRefused(
            "the graph's answer to the same clip is another one each time",
            "Export it in evaluation mode, without dropout: `model.eval()` in torch.",
        )
    if whole.batch is not None and whole.batch > 1:
        mixed = graph.answer([windows[0], *[windows[1]] * (whole.batch - 1)])[:1]
        if not _alike(mixed, answer[:1]):
            raise ImportRefused(
                "the graph's answer to a clip depends on the others in its batch",
                "Export it in evaluation mode (batch normalisation), or with a batch of 1.",
            )


def _alike(one: NDArray[Any], other: NDArray[Any]) -> bool:
    if one.shape != other.shape:
        return False
    apart = np.abs(one.astype(np.float64) - other.astype(np.float64)).max()
    largest = np.abs(other.astype(np.float64)).max()
    return bool(apart <= _APART[str(other.dtype)] * largest)


def _meaning(answer: NDArray[Any]) -> tuple[str, str]:
    """Whether these are logits or probabilities, and what to think about."""
    values = answer.astype(np.float64)
    if (values < 0).any():
        return "logits", ""
    if np.abs(values.sum(axis=-1) - 1).max() <= _SUM[str(answer.dtype)]:
        return "probabilities", ""
    if (values <= 1).all():
        return "logits", (
            "all numbers of the answer lie between 0 and 1 and do not sum to 1: if they are probabilities of labels "
            "that do not exclude each other, Kinema's scores, which sum to 1, are not they"
        )
    return "logits", ""
