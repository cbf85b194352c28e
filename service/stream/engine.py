"""What all streams work with."""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass, field

from service.inference.bundle import Bundle
from service.inference.card import Card
from service.stream.attic import Attic
from service.stream.memory import Memory, Pictured, Relay, Sliding, period
from service.stream.stepper import Stepper
from service.stream.viewer import Viewer
from service.stream.wishes import Wishes
from service.video.pool import DecoderPool
from service.video.source import Limits

# Frames between decoder and answer, for each core. More would share the cores, so that all of them end late.
_AT_WORK = 3
_FLOAT_BYTES = 4
# Names and shapes, and what post-processors remember.
_ATTIC_OVERHEAD = 64 * 1024


@dataclass(frozen=True, slots=True)
class Engine:
    """The parts that look at frames, and read what was seen. Belongs to one event loop.

    Attributes:
        bundle: the model.
        decoders: where frames are decoded.
        viewer: where pictures are encoded.
        stepper: where steps are read.
        limits: what a frame may cost.
        gap_s: a longer pause makes a stream begin anew.
        turn: held by a frame from its decoding to its answer.
        attic: where the memories of streams lie that rest.
    """

    bundle: Bundle
    decoders: DecoderPool
    viewer: Viewer
    stepper: Stepper
    limits: Limits
    gap_s: float
    turn: asyncio.Semaphore = field(repr=False)
    attic: Attic = field(repr=False)

    @staticmethod
    def turns(cores: int) -> asyncio.Semaphore:
        """As many frames at work as so many cores take."""
        return asyncio.Semaphore(_AT_WORK * cores)

    def memory(self, wishes: Wishes) -> Memory:
        """An empty memory of the kind that the model's head needs."""
        card = self.bundle.card
        if card.whole is not None:
            return Pictured(self.viewer, card)
        return Relay(self.stepper, card, wishes.every(card)) if card.recurrent.streams else Sliding(self.stepper, card)

    @staticmethod
    def attic_for(bundle: Bundle) -> Attic:
        """An attic with room for states of a model."""
        return Attic(_state_bytes(bundle.card) + _ATTIC_OVERHEAD)

    @property
    def state_bytes(self) -> int:
        """The most bytes that one stream's state takes."""
        return _state_bytes(self.bundle.card)


def _state_bytes(card: Card) -> int:
    greys = sum(kind.flow.size**2 for kind in card.evidence if kind.flow is not None)
    step = sum(_FLOAT_BYTES * math.prod(shape) for kind in card.evidence for shape in kind.inputs.values())
    if card.whole is not None:
        # The one shown last is held beside.
        return (card.sampling.clip_len + 1) * 3 * card.evidence[0].size ** 2
    if card.recurrent.streams:
        return greys + step + 2 * _FLOAT_BYTES * sum(part.size for part in card.recurrent.state)
    return greys + step * (card.sampling.clip_len + period(card))
