"""What a clip will cost, estimated before it is decoded, and learned from those that were."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from service.video.work import Work

# Where to begin: H.264 on one core of a server. What this machine takes is learned from its first clips.
_S_A_PIXEL = 2e-9
_S_A_PICTURE = 2e-3
# How much the newest clip counts in what has been learned.
_NEWEST = 0.2
# One clip that is unlike all others must not spoil the estimate of the next.
_MOST_SURPRISE = 4.0


@dataclass(frozen=True, slots=True)
class Cost:
    """Seconds of one core.

    Attributes:
        decode_s: decoding, pictures included.
        encode_s: encoding.
    """

    decode_s: float
    encode_s: float

    @property
    def total_s(self) -> float:
        """Both together."""
        return self.decode_s + self.encode_s


class Costs:
    """Estimates what work costs on this machine.

    Args:
        encode_s: seconds of one core for an item of an encoder's batch, by kind of evidence, as measured.
        reads: pictures that an item is made of, by kind, where it is more than one.
    """

    def __init__(self, encode_s: Mapping[str, float], reads: Mapping[str, int] | None = None) -> None:
        self._encode_s = dict(encode_s)
        self._reads = dict(reads or {})
        self._decode_factor = 1.0

    def of(self, work: Work) -> Cost:
        """The cost of work."""
        encode_s = sum(self._items(kind, count) * self._encode_s[kind] for kind, count in work.pictures.items())
        return Cost(_prior_s(work) * self._decode_factor, encode_s)

    def _items(self, kind: str, pictures: int) -> int:
        # A short window is filled up.
        return math.ceil(pictures / self._reads.get(kind, 1))

    def learn(self, work: Work, decode_s: float) -> None:
        """Takes note of what decoding took, in CPU seconds."""
        expected_s = _prior_s(work)
        if expected_s > 0:
            seen = decode_s / expected_s
            bounded = min(max(seen, self._decode_factor / _MOST_SURPRISE), self._decode_factor * _MOST_SURPRISE)
            self._decode_factor += _NEWEST * (bounded - self._decode_factor)


def _prior_s(work: Work) -> float:
    return work.frames * work.pixels * _S_A_PIXEL + sum(work.pictures.values()) * _S_A_PICTURE
