"""What only this machine can say: which of two graphs is faster here, and how many pictures make the best batch.

Both cost some runs while the model is loaded, and nothing after.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping

from service.inference.card import Evidence
from service.inference.session import Encoder

_RUNS = 3
# A smaller batch answers sooner, so it is worth this share of the throughput.
_WORTH = 0.05

Clock = Callable[[], float]


def seconds_a_step(
    encoders: Mapping[str, Encoder], evidence: Iterable[Evidence], batch: int, clock: Clock = time.perf_counter
) -> float:
    """What the encoders take for one recurrent step of one clip, in seconds.

    Args:
        encoders: by kind of evidence.
        evidence: the kinds; one with a slow cadence has a picture in few steps.
        batch: pictures encoded at once.
        clock: tells the time in seconds.
    """
    return sum(_seconds(encoders[kind.name], kind.size, batch, clock) / batch / kind.cadence for kind in evidence)


def _seconds(encoder: Encoder, size: int, batch: int, clock: Clock) -> float:
    pictures = [encoder.blank(size)] * batch
    encoder.encode(pictures)  # the first run with a shape allocates
    taken: list[float] = []
    for _ in range(_RUNS):
        started_s = clock()
        encoder.encode(pictures)
        taken.append(clock() - started_s)
    # The least: whatever else the machine does only adds.
    return min(taken)


def best_batch(cost: Callable[[int], float], batches: Iterable[int]) -> int:
    """The smallest batch whose throughput is within 5 % of the best.

    Args:
        cost: seconds a picture in batches of so many; raises where a batch does not fit the device.
        batches: the sizes to try, ascending. One alone is taken without trying.
    """
    sizes = list(batches)
    if len(sizes) == 1:
        return sizes[0]
    costs: dict[int, float] = {}
    for size in sizes:
        try:
            costs[size] = cost(size)
        except Exception:
            if not costs:
                raise
            break  # too large for the device's memory; onnxruntime has no error of its own for that
    return next(size for size, seconds in costs.items() if seconds <= min(costs.values()) * (1 + _WORTH))
