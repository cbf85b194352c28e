"""What a client may wish of its stream."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from service.inference.card import Card
from service.post.chain import DEFAULT, Chain
from service.post.spec import Spec
from service.stream.inbox import Drop
from service.stream.memory import period

MemoryWish = float | Literal["auto", "endless"]


@dataclass(frozen=True, slots=True)
class Wishes:
    """What is wanted of a stream.

    Attributes:
        top_k: at most so many predictions in an answer.
        every_s: seconds of the stream between two answers; 0 for one at every frame that is looked at.
        drop: what happens to frames that come too fast.
        memory_s: on about how many seconds an answer rests at least; it is at most twice as many. `auto` for what the
            model was trained on, `endless` for all that came.
        post: what smooths scores and finds events.
    """

    top_k: int = 5
    every_s: float = 0.5
    drop: Drop = Drop.OLDEST
    memory_s: MemoryWish = "auto"
    post: Spec = DEFAULT

    def chain(self, card: Card) -> Chain:
        """A chain of post-processors that has seen nothing yet."""
        return Chain(self.post, card.labels)

    def every(self, card: Card) -> int | None:
        """The steps between the beginnings of two states; None where one lives on."""
        if self.memory_s == "endless":
            return None
        beat = period(card)
        wanted = card.sampling.clip_len if self.memory_s == "auto" else self.memory_s * card.sampling.fps
        return beat * max(1, round(wanted / beat))
