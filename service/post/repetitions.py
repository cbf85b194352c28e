"""`repetitions`: cycles of a periodic action, counted."""

from __future__ import annotations

import base64
import math
from collections import deque
from collections.abc import Mapping
from dataclasses import asdict, replace
from functools import cache
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from service.post.event import Event
from service.post.observation import Observation
from service.post.processor import Parameters, Processor, State

# Motion features are kept as so many numbers: inner products, of which all is made, survive that within an eighth.
_WIDTH = 64
# However fast steps come, so many are remembered in a window, and about so many in the shortest cycle.
_MOST_STEPS = 256
_STEPS_A_CYCLE = 8
_WINDOW_CYCLES = 64
# Of lags at which motion repeats nearly as well as at the best, the shortest is the period: multiples repeat, too.
# This is how near; after it, what a count may lack, and by what factor the pace of a count changes from step to step.
_AS_WELL = 0.8
_NEARLY = 0.1
_PACE = 1.5
_LEAST_STEPS = 4
_NO_MOTION = 1e-9
_EPSILON_S = 1e-6

Row = NDArray[np.float32]
"""What is kept of one step: float32 [64]."""
Rows = NDArray[np.float32]
"""Those of T steps: float32 [T, 64]."""


class RepetitionsParameters(Parameters):
    """What counts as a repetition."""

    min_period_s: float = Field(0.4, ge=0.05, le=10, description="seconds that a cycle takes at least")
    max_period_s: float = Field(3.0, ge=0.1, le=20, description="seconds that it takes at most")
    window_s: float = Field(8.0, ge=0.5, le=60, description="seconds that are looked back; two cycles have to fit")
    on: float = Field(0.3, ge=0, le=1, description="counting begins when motion repeats itself this well")
    off: float = Field(0.15, ge=0, le=1, description="what repeats less well is not counted, and ends it after a cycle")
    gap_s: float = Field(0.35, ge=0.05, le=10, description="seconds without motion that end it")

    def contradiction(self) -> str | None:
        if self.min_period_s > self.max_period_s:
            return f"min_period_s is {self.min_period_s:g}, which is above max_period_s, {self.max_period_s:g}"
        if self.window_s < 2 * self.max_period_s:
            return (
                f"window_s is {self.window_s:g}, in which two cycles of max_period_s, {self.max_period_s:g}, do not fit"
            )
        if self.window_s > _WINDOW_CYCLES * self.min_period_s:
            return f"window_s is {self.window_s:g}, which is more than {_WINDOW_CYCLES} cycles of min_period_s"
        if self.off > self.on:
            return f"off is {self.off:g}, which is above on, {self.on:g}"
        return None


class _Rhythm(NamedTuple):
    """What the last seconds say: the period, how well all of them repeat after it, and since when."""

    period_s: float
    strength: float
    recent: float
    since_s: float


class Repetitions(Processor[RepetitionsParameters]):
    """Counts by how motion features resemble those of one period ago. The label is that of the best score meanwhile.

    The period is the lag at which the features of the last seconds, their mean taken off, correlate best with
    themselves; all of their dimensions count. Period from self-similarity: R. Cutler and L. Davis, *Robust Real-Time
    Periodic Motion Detection, Analysis, and Applications*, IEEE TPAMI 22(8), 2000. So that the window stays small,
    features are folded into 64 numbers by a count sketch, which keeps inner products: M. Charikar, K. Chen and M.
    Farach-Colton, *Finding Frequent Items in Data Streams*, ICALP 2002.

    An event is told when the second cycle is complete, at each cycle after, and at its end.
    """

    name: ClassVar[str] = "repetitions"
    summary: ClassVar[str] = "counts the cycles of what is done again and again"
    makes_events: ClassVar[bool] = True
    needs_motion: ClassVar[bool] = True

    def reset(self) -> None:
        self._times: deque[float] = deque(maxlen=_MOST_STEPS + 1)
        self._rows: deque[Row] = deque(maxlen=_MOST_STEPS + 1)
        self._event: Event | None = None
        self._cycles = 0.0
        self._period_s = 0.0
        self._good_s = -math.inf

    def see(self, observation: Observation, events: list[Event]) -> tuple[Observation, list[Event]]:
        if observation.motion is None or not observation.fresh:
            return observation, events
        told, time_s = list(events), observation.time_s
        since_s = time_s - self._times[-1] if self._times else 0.0
        if self._times and since_s < self._apart_s:
            return observation, events
        if since_s > self.parameters.gap_s:
            told += self._close()
            self._times.clear()
            self._rows.clear()
        self._times.append(time_s)
        self._rows.append(_sketch(observation.motion))
        while time_s - self._times[0] > self.parameters.window_s:
            self._times.popleft()
            self._rows.popleft()
        rhythm = self._rhythm()
        told += self._begin(observation, rhythm) if self._event is None else self._go_on(observation, rhythm)
        return observation, told

    def _begin(self, observation: Observation, rhythm: _Rhythm | None) -> list[Event]:
        if rhythm is None or min(rhythm.strength, rhythm.recent) < self.parameters.on:
            return []
        start_s = max(rhythm.since_s, self._good_s)  # what has been counted once does not count again
        cycles = (observation.time_s - start_s) / rhythm.period_s
        if cycles < 2 - _NEARLY:
            return []
        self._cycles, self._good_s, self._period_s = cycles, observation.time_s, rhythm.period_s
        label = int(observation.scores.argmax())
        peak = float(observation.scores[label])
        self._event = Event(self.name, self.labels[label], label, start_s, None, peak, self._whole)
        return [self._event]

    def _go_on(self, observation: Observation, rhythm: _Rhythm | None) -> list[Event]:
        assert self._event is not None
        if rhythm is not None and rhythm.recent >= self.parameters.off:
            self._period_s = rhythm.period_s
            self._cycles += (observation.time_s - self._good_s) / rhythm.period_s
            self._good_s = observation.time_s
        elif observation.time_s - self._good_s > self._period_s:
            return self._close()
        before = self._event
        peak = max(before.peak, float(observation.scores[before.label_id]))
        self._event = replace(before, peak=peak, count=self._whole)
        return [self._event] if self._event.count != before.count else []

    @property
    def _apart_s(self) -> float:
        """Steps that come sooner after one another than this are passed by."""
        return max(self.parameters.min_period_s / _STEPS_A_CYCLE, self.parameters.window_s / _MOST_STEPS) - _EPSILON_S

    @property
    def _whole(self) -> int:
        # Periods are measured to a few percent: what lacks so little is a cycle.
        return math.floor(self._cycles + _NEARLY)

    def _close(self) -> list[Event]:
        """Ends the event, where motion last repeated itself."""
        if self._event is None:
            return []
        ended, self._event = replace(self._event, end_s=self._good_s), None
        return [ended]

    def end(self, events: list[Event]) -> list[Event]:
        return [*events, *self._close()]

    def _rhythm(self) -> _Rhythm | None:
        """What the last seconds say; None where they are too few or nothing in them repeats."""
        times = np.asarray(self._times)
        if len(times) < _LEAST_STEPS:
            return None
        # The mean: of 25 frames a second, ten are 0.08 and 0.12 s apart in turn.
        step_s = float(times[-1] - times[0]) / (len(times) - 1)
        rows = _evenly(times, np.asarray(self._rows), step_s)
        least_s, most_s = self.parameters.min_period_s, self.parameters.max_period_s
        if self._event is not None:  # what is done at one pace is not at once done at half of it
            least_s, most_s = max(least_s, self._period_s / _PACE), min(most_s, self._period_s * _PACE)
        shortest, longest = max(2, math.ceil(least_s / step_s)), math.floor(most_s / step_s)
        found = _period(rows, shortest, min(longest, len(rows) // 2))
        if found is None:
            return None
        lag, strength = found
        if len(rows) < 2 * math.ceil(lag):
            return None
        well = _resemblance(rows, lag)
        weak = np.flatnonzero(well < self.parameters.off)
        first = int(weak[-1]) + 1 if len(weak) else 0
        # `well` begins after two periods, so this is where the first of the cycles that resemble each other begins.
        since_s = float(times[-1]) - (len(rows) - 1 - first) * step_s
        return _Rhythm(lag * step_s, strength, float(well[-1]), since_s)

    def dump(self) -> State:
        rows = np.asarray(self._rows, dtype="<f4").tobytes()
        return {
            "times_s": list(self._times),
            "rows": base64.b64encode(rows).decode(),
            "event": None if self._event is None else asdict(self._event),
            "cycles": self._cycles,
            "period_s": self._period_s,
            "good_s": None if self._good_s == -math.inf else self._good_s,
        }

    def load(self, state: Mapping[str, Any]) -> None:
        self.reset()
        rows = np.frombuffer(base64.b64decode(str(state["rows"]), validate=True), dtype="<f4").reshape(-1, _WIDTH)
        self._rows.extend(rows.astype(np.float32))
        self._times.extend(float(one) for one in state["times_s"])
        if len(self._times) != len(self._rows):
            raise ValueError(f"{len(self._times)} times for {len(self._rows)} steps")
        self._event = Event(**state["event"]) if state["event"] else None
        self._cycles, self._period_s = float(state["cycles"]), float(state["period_s"])
        self._good_s = -math.inf if state["good_s"] is None else float(state["good_s"])


def _sketch(motion: Row) -> Row:
    """The count sketch of features: each is added to one of the places, or taken from it."""
    places, signs = _folding(len(motion))
    return np.bincount(places, signs * motion, _WIDTH).astype(np.float32)


@cache
def _folding(features: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """For each feature the place that it goes to, and its sign: the same in every process."""
    mixed = np.arange(1, features + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)  # Knuth's multiplicative hash
    return (mixed >> np.uint64(58)).astype(np.int64), np.where(mixed & np.uint64(1 << 40), 1.0, -1.0)


def _evenly(times: NDArray[np.float64], rows: Rows, step_s: float) -> Rows:
    """The rows at even steps back from the last, interpolated, their mean taken off."""
    count = 1 + math.floor((times[-1] - times[0]) / step_s + 1e-6)
    wanted = np.maximum(times[-1] - step_s * np.arange(count - 1, -1, -1), times[0])
    after = np.clip(np.searchsorted(times, wanted), 1, len(times) - 1)
    share = (wanted - times[after - 1]) / (times[after] - times[after - 1])
    even = rows[after - 1] + share[:, None] * (rows[after] - rows[after - 1])
    return np.asarray(even - even.mean(axis=0), dtype=np.float32)


def _period(rows: Rows, shortest: int, longest: int) -> tuple[float, float] | None:
    """The lag at which the rows correlate best with themselves, in steps, and how well, at most 1."""
    if longest < shortest:
        return None
    spectrum = np.fft.rfft(rows, 2 * len(rows), axis=0)
    products = np.fft.irfft((np.abs(spectrum) ** 2).sum(axis=1))
    energy = np.concatenate(([0.0], np.cumsum((rows.astype(np.float64) ** 2).sum(axis=1))))
    lags = np.arange(shortest - 1, longest + 2)
    norms = np.sqrt(energy[len(rows) - lags] * (energy[-1] - energy[lags]))
    well = products[lags] / np.maximum(norms, _NO_MOTION)
    inner = well[1:-1]
    peaks = np.flatnonzero((inner >= well[:-2]) & (inner >= well[2:]) & (inner > 0)) + 1
    if not len(peaks):
        return None
    at = peaks[well[peaks] >= _AS_WELL * well[peaks].max()][0]
    # The parabola through the peak and its neighbours: steps are coarse beside periods.
    bend = well[at - 1] - 2 * well[at] + well[at + 1]
    shift = 0.0 if bend == 0 else (well[at - 1] - well[at + 1]) / (2 * bend)
    return float(lags[at] + shift), float(well[at] - (well[at - 1] - well[at + 1]) * shift / 4)


def _resemblance(rows: Rows, lag: float) -> NDArray[np.float64]:
    """How well the period up to each step resembles the one before it, at most 1, float64 [N].

    The last is that of the last step; the first belongs to the first step before which two periods fit.
    """
    whole, part = divmod(lag, 1)
    back = math.ceil(lag)
    before = rows[: len(rows) - back]
    if part:
        before = np.float32(part) * before + np.float32(1 - part) * rows[1 : len(rows) - int(whole)]
    now = rows[back:]
    # The mean of each period is taken off: what stands still resembles itself, and does not repeat.
    total_now, total_before = (_over(one, back) for one in (now, before))
    products = _over((now * before).sum(axis=1), back) - (total_now * total_before).sum(axis=1) / back
    energy_now, energy_before = (
        _over((one**2).sum(axis=1), back) - (total**2).sum(axis=1) / back
        for one, total in ((now, total_now), (before, total_before))
    )
    norms = np.sqrt(np.maximum(energy_now * energy_before, 0))
    return np.asarray(products / np.maximum(norms, _NO_MOTION), dtype=np.float64)


def _over(values: NDArray[np.float32], steps: int) -> NDArray[np.float64]:
    """The sums of each `steps` values, or rows, that follow one another."""
    sums = np.cumsum(values, axis=0, dtype=np.float64)
    return np.concatenate((sums[steps - 1 : steps], sums[steps:] - sums[:-steps]))
