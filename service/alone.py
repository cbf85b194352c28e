"""A bundle's answer to one clip, step by step as the service computes it, without its queues."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from service.inference.bundle import Bundle
from service.inference.postprocess import scores
from service.inference.sequence import Sequence
from service.video.decode import DecodeTask, MadePicture, decode
from service.video.source import NO_LIMITS

# A long clip has many windows; its pictures are encoded a few at a time, so that they need not all be kept.
_BATCH = 16


def look(
    bundle: Bundle, data: bytes, start_s: float = 0.0, end_s: float | None = None
) -> Mapping[str, NDArray[np.float32] | NDArray[np.int64]]:
    """What the recurrent head is given of a clip, as `Sequence.inputs` orders it: a row for each window.

    Args:
        bundle: the model.
        data: the encoded clip.
        start_s: where the span to look at begins, in seconds.
        end_s: where it ends, end-exclusive; None means at the end.

    Raises:
        ClipError: the clip cannot be decoded.
    """
    card = bundle.card
    sequence = Sequence(card.evidence)
    waiting: defaultdict[str, list[MadePicture]] = defaultdict(list)

    def encode(kind: str) -> None:
        made = waiting.pop(kind)
        encoded = bundle.encoders[kind].encode([picture.pixels for picture in made])
        for name, rows in encoded.items():
            for picture, row in zip(made, rows, strict=True):
                sequence.put(name, picture.window, picture.step, row)

    def take(made: MadePicture) -> None:
        waiting[made.kind].append(made)
        if len(waiting[made.kind]) * bundle.encoders[made.kind].reads >= _BATCH:
            encode(made.kind)

    intake = bundle.intake(take)
    task = DecodeTask(card.plan, card.evidence, NO_LIMITS, start_s, end_s)
    receipt = intake.close(decode(data, task, intake.put))
    for kind in list(waiting):
        encode(kind)
    return sequence.inputs(receipt.steps)


def answer(bundle: Bundle, data: bytes, start_s: float = 0.0, end_s: float | None = None) -> NDArray[np.float64]:
    """The scores of a clip, or of a span of it, float64 [C], in the order of the card's labels.

    Raises:
        ClipError: the clip cannot be decoded.
    """
    logits, _ = bundle.recurrent.run(look(bundle, data, start_s, end_s))
    return scores(logits, bundle.card.temperature)
