"""Pictures of streams, encoded in the queue that those of clips wait in, too."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.errors import EngineDead
from service.inference.batcher import Batcher
from service.inference.session import Reading
from service.video.decode import MadePicture
from service.video.preprocess import Picture

Pictures = Mapping[tuple[str, int], Picture]
"""Pictures of one frame, by kind and by how the frame comes: 0 as new, 1 as seen again."""


class Viewer:
    """Has the pictures of one frame encoded at a time.

    Args:
        batcher: the queue of the encoders.
    """

    def __init__(self, batcher: Batcher) -> None:
        self._batcher = batcher
        # A frame seen again shows that nothing has moved, whatever it shows: one picture for all, encoded once.
        self._still: dict[str, Mapping[str, NDArray[Any]]] = {}

    async def encode(self, pictures: Pictures) -> tuple[Mapping[str, NDArray[Any]], Mapping[str, NDArray[Any]]]:
        """What encoders make of pictures, each uint8 [size, size, 3].

        Returns:
            Of the pictures of the new frame, and of those of the frame seen again: by input of the recurrent graph,
            features, float32 [D], or a map, float32 [rows, columns, channels].

        Raises:
            EngineDead: the engine stopped.
        """
        again = [kind for kind, number in pictures if number]
        for kind in again:
            if kind not in self._still:
                self._still[kind] = await self._encode({kind: pictures[kind, 1]})
        fresh = await self._encode({kind: pixels for (kind, number), pixels in pictures.items() if not number})
        return fresh, {name: encoded for kind in again for name, encoded in self._still[kind].items()}

    async def _encode(self, pictures: Mapping[str, Picture]) -> Mapping[str, NDArray[Any]]:
        if not pictures:
            return {}
        order = self._batcher.order()
        try:
            for kind, pixels in pictures.items():
                order.put(MadePicture(kind, 0, 0, pixels))
            order.close()
            # Shielded: cancelling the wait must not settle the order behind the batcher's back; `abandon` does that.
            await asyncio.shield(asyncio.wrap_future(order.done))
        finally:
            order.abandon()
        if not self._batcher.alive:
            raise EngineDead("the engine stopped before the frame was encoded", "Begin the stream again.")
        return order.sequence.of(0, 0)

    async def answer(self, kind: str, pictures: Sequence[Picture], clip_len: int) -> Reading:
        """What a graph that reads windows whole says of one, which ends with its last picture repeated.

        Args:
            kind: of the pictures.
            pictures: at least one, each uint8 [size, size, 3].
            clip_len: pictures in a full window.
        """
        filled = [*pictures, *[pictures[-1]] * (clip_len - len(pictures))]
        encoded, _ = await self.encode({(kind, 0): np.stack(filled)})
        logits = encoded[kind][np.newaxis]
        return Reading(logits, {}, {}, logits[:, np.newaxis])
