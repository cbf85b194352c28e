"""What clients do, and what came of it."""

from __future__ import annotations

import itertools
import random
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple


@dataclass(frozen=True, slots=True)
class Clients:
    """So many clients, each of which posts its next clip when it has the answer to the one before.

    Attributes:
        name: of the group.
        clip: what they post.
        count: how many.
        leave_after_s: they hang up so long after a post and post again; None: they wait.
    """

    name: str
    clip: str
    count: int
    leave_after_s: float | None = None


Arrival = Literal["even", "poisson"]


@dataclass(frozen=True, slots=True)
class Arrivals:
    """Clients that come whether or not those before have been answered, each with one clip.

    Attributes:
        name: of the group.
        clip: what they post.
        rate: clips a second.
        arrival: evenly spaced, or as independent clients come.
        leave_after_s: how long one waits for its answer before it hangs up.
    """

    name: str
    clip: str
    rate: float
    arrival: Arrival
    leave_after_s: float

    def moments(self, seconds: float, seed: int = 1) -> Iterator[float]:
        """When each comes, in seconds from the start; the same at every call."""
        dice, at_s = random.Random(seed), 0.0
        for number in itertools.count(1):
            if at_s >= seconds:
                return
            yield at_s
            at_s = number / self.rate if self.arrival == "even" else at_s + dice.expovariate(self.rate)


Traffic = Sequence[Clients | Arrivals]

ANSWERED, REFUSED, LEFT = "answered", "refused", "left"
"""What became of a post; anything else is the name of what went wrong."""


class Post(NamedTuple):
    """One post: whose it was, when it was sent (seconds from the start), how long it took, and what became of it."""

    group: str
    sent_s: float
    took_s: float
    outcome: str


@dataclass(frozen=True, slots=True)
class Account:
    """What came of some posts.

    Attributes:
        times_s: of each answer, seconds from its post.
        refusals_s: of each refusal, likewise.
        left: how many hung up before their answer.
        errors: by what went wrong, a wrong answer included.
        last_s: when the last answer came, seconds from the start.
    """

    times_s: tuple[float, ...]
    refusals_s: tuple[float, ...]
    left: int
    errors: dict[str, int]
    last_s: float

    @classmethod
    def of(cls, posts: Iterable[Post]) -> Account:
        """Adds them up."""
        kept = list(posts)
        answered = [post for post in kept if post.outcome == ANSWERED]
        wrong = Counter(post.outcome for post in kept if post.outcome not in {ANSWERED, REFUSED, LEFT})
        return cls(
            times_s=tuple(post.took_s for post in answered),
            refusals_s=tuple(post.took_s for post in kept if post.outcome == REFUSED),
            left=sum(post.outcome == LEFT for post in kept),
            errors=dict(wrong),
            last_s=max((post.sent_s + post.took_s for post in answered), default=0.0),
        )
