"""What the steps of a clip are to post-processors, and what these make of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.inference.card import Card
from service.inference.postprocess import scores
from service.post.chain import Chain
from service.post.event import Event
from service.post.observation import Observation
from service.post.spec import Spec
from service.video.decode import Decoded


def events(
    spec: Spec, card: Card, decoded: Decoded, inputs: Mapping[str, NDArray[Any]], steps: NDArray[np.float32]
) -> tuple[Event, ...]:
    """What a chain finds in a clip, every event from its beginning to its end, in order of beginning.

    Args:
        spec: the chain.
        card: the model's.
        decoded: the receipt.
        inputs: what the head was given, by name.
        steps: the logits after each step, float32 [W, T, C].
    """
    chain = Chain(spec, card.labels)
    told = [event for seen in observations(card, decoded, inputs, steps) for event in chain.see(seen)] + chain.end()
    ended = (event for event in told if event.end_s is not None)
    return tuple(sorted(ended, key=lambda event: (event.start_s, event.label_id, event.processor)))


def observations(
    card: Card, decoded: Decoded, inputs: Mapping[str, NDArray[Any]], steps: NDArray[np.float32]
) -> Iterator[Observation]:
    """The steps of a clip in order of time, those of all its windows one after another.

    The head begins each window anew. What it says after the first steps of one rests on those alone.

    Args:
        card: the model's.
        decoded: the receipt.
        inputs: what the head was given: float32 [W, T, D] by kind of evidence, among others.
        steps: the logits after each step, float32 [W, T, C].
    """
    motion = next((kind for kind in card.evidence if kind.picture == "flow"), None)
    for window, times_s in enumerate(_times(card, decoded)):
        for step, time_s in enumerate(times_s):
            yield Observation(
                time_s,
                scores(steps[window, step : step + 1], card.temperature),
                None if motion is None else inputs[motion.name][window, step],
                fresh=motion is None or step % motion.cadence == 0,
            )


def _times(card: Card, decoded: Decoded) -> tuple[tuple[float, ...], ...]:
    """The timestamps of the steps of each window, in seconds."""
    if card.whole is None:
        return card.plan.times_of_steps(decoded.times_s, decoded.steps)
    # A graph that reads whole windows speaks once, after the window's last frame. All windows but the last are full.
    length, frames = card.sampling.clip_len, len(decoded.times_s)
    return tuple((decoded.times_s[min(start + length, frames) - 1],) for start in range(0, frames, length))
