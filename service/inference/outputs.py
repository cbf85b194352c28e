"""What a head gives beside its logits, window by window."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.inference.card import Output


@dataclass(frozen=True, slots=True)
class WindowOutputs:
    """The further outputs for one window.

    Attributes:
        window: its index.
        times_s: the timestamps of the frames that its steps looked at, in seconds.
        values: by the output's name, float32 with the sides that the card gives; where these are steps, one for each
            of `times_s`.
    """

    window: int
    times_s: tuple[float, ...]
    values: Mapping[str, NDArray[np.float32]]


def by_window(
    values: Mapping[str, NDArray[np.float32]], outputs: Iterable[Output], times_s: Sequence[tuple[float, ...]]
) -> tuple[WindowOutputs, ...]:
    """Takes a batch of windows apart and cuts off the steps that were padding.

    Args:
        values: by name, float32 [B, *axes], as `Recurrent.read` gives them.
        outputs: what the card says of those outputs.
        times_s: for each of the B windows, the timestamps of its steps.
    """
    known = {output.name: output for output in outputs}
    return tuple(
        WindowOutputs(
            window, times, {name: rows[(window, *_sides(known[name], len(times)))] for name, rows in values.items()}
        )
        for window, times in enumerate(times_s)
    )


def _sides(output: Output, steps: int) -> tuple[Any, ...]:
    return tuple(slice(steps if side == "steps" else None) for side in output.axes)
