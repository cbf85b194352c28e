"""Clips put before a batcher, each alone and then all together."""

from collections.abc import Iterator

import numpy as np

from service.inference.batcher import Batcher, Order
from service.inference.bundle import Bundle
from service.video.decode import MadePicture

PATIENCE_S = 30.0


def pictures(bundle: Bundle, steps: int, seed: int) -> Iterator[MadePicture]:
    """The pictures of a window of so many steps, all noise."""
    random = np.random.default_rng(seed)
    for step in range(steps):
        for kind in bundle.card.evidence:
            if step % kind.cadence == 0:
                pixels = random.integers(0, 256, (kind.size, kind.size, 3), dtype=np.uint8)
                yield MadePicture(kind.name, 0, step, pixels)


def alone_and_together(bundle: Bundle, batcher: Batcher, steps: int, clips: int) -> list[tuple[Order, Order]]:
    """The orders of some clips, done: each encoded alone, and encoded while the others were, picture by picture."""
    alone = []
    for seed in range(clips):
        order = batcher.order()
        for picture in pictures(bundle, steps, seed):
            order.put(picture)
        order.close()
        order.done.result(PATIENCE_S)
        alone.append(order)
    together = [batcher.order() for _ in range(clips)]
    for made in zip(*(pictures(bundle, steps, seed) for seed in range(clips)), strict=True):
        for order, picture in zip(together, made, strict=True):
            order.put(picture)
    for order in together:
        order.close()
    for order in together:
        order.done.result(PATIENCE_S)
    return list(zip(alone, together, strict=True))
