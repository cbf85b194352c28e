"""The scenarios: what is asked of a system."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from bench.clip import LONG, SHORT
from bench.measurement import percentile
from bench.stand import Stand, Taken
from bench.traffic import Arrival, Arrivals, Clients

# Clients that keep any of the systems busy, as for its capacity.
CROWD = 8
# Of the clients of a mix, one in so many posts long clips; of a crowd, one more for each so many hangs up.
_ONE_LONG_IN = 4
_LEAVING = CROWD // 2
LOAD, OVERLOAD = 0.8, 4.0
# After so many seconds whoever comes by the clock has had enough.
PATIENCE_S = 10.0
# By the clock, waiting comes and goes slowly, and must outlast the clients' patience: it is watched for longer.
_WATCH = 3


@dataclass(frozen=True, slots=True)
class Wish:
    """How much of a scenario is wanted.

    Attributes:
        clips: the clips to post, by name; a mix has its own.
        clients: how many at a time, where a scenario leaves that open.
        seconds: for how long.
    """

    clips: tuple[str, ...]
    clients: tuple[int, ...]
    seconds: float


class Part(NamedTuple):
    """One figure of a scenario: of which clip, clients and part; the group of the traffic that it is about."""

    clip: str
    clients: int
    part: str
    group: str
    taken: Taken
    rate: float = 0.0


Scenario = Callable[[Stand, Wish], Iterator[Part]]


def throughput(stand: Stand, wish: Wish) -> Iterator[Part]:
    """Clients that post again when they have their answer."""
    for clip in wish.clips:
        for clients in wish.clients:
            yield Part(clip, clients, "", "", stand.clients(clip, clients, wish.seconds))


def mixed(stand: Stand, wish: Wish) -> Iterator[Part]:
    """Short clips beside long ones: one client in four posts long ones."""
    for clients in wish.clients:
        long = clients // _ONE_LONG_IN
        if long:
            groups = [Clients("short", SHORT, clients - long), Clients("long", LONG, long)]
            taken = stand.put(groups, wish.seconds)
            yield Part("mix", clients, "short", "short", taken)
            yield Part("mix", clients, "long", "long", taken)


def load(stand: Stand, wish: Wish) -> Iterator[Part]:
    """Clients that come by the clock, at 80 % of what the system has just shown that it can."""
    for clip in wish.clips:
        capacity = stand.clients(clip, CROWD, wish.seconds)
        yield Part(clip, CROWD, "capacity", "", capacity)
        yield Part(clip, 1, "unloaded", "", stand.clients(clip, 1, wish.seconds))
        rate = LOAD * capacity.clips_per_s()
        arrivals: tuple[Arrival, ...] = ("even", "poisson") if rate else ()
        for arrival in arrivals:
            group = Arrivals("", clip, rate, arrival, leave_after_s=_WATCH * PATIENCE_S)
            yield Part(clip, 0, arrival, "", stand.arrivals(group, _WATCH * wish.seconds), rate)


def overload(stand: Stand, wish: Wish) -> Iterator[Part]:
    """Clients that come by the clock, four times as many as the system can answer; they leave after ten seconds."""
    for clip in wish.clips:
        capacity = stand.clients(clip, CROWD, wish.seconds)
        yield Part(clip, CROWD, "capacity", "", capacity)
        rate = OVERLOAD * capacity.clips_per_s()
        if rate:
            group = Arrivals("", clip, rate, "poisson", PATIENCE_S)
            yield Part(clip, 0, "overload", "", stand.arrivals(group, _WATCH * wish.seconds), rate)


def hangups(stand: Stand, wish: Wish) -> Iterator[Part]:
    """Eight clients that wait; then with four more that wait too; then with four more that hang up midway."""
    for clip in wish.clips:
        waiting = Clients("", clip, CROWD)
        alone = stand.put([waiting], wish.seconds)
        yield Part(clip, CROWD, "alone", "", alone)
        midway_s = percentile(alone.accounts[""].times_s, 50) / 2
        if midway_s > 0:
            for part, leave_after_s in (("beside others", None), ("beside leavers", midway_s)):
                others = Clients("others", clip, _LEAVING, leave_after_s)
                yield Part(clip, CROWD + _LEAVING, part, "", stand.put([waiting, others], wish.seconds))


SCENARIOS: dict[str, Scenario] = {
    "throughput": throughput,
    "mixed": mixed,
    "load": load,
    "overload": overload,
    "hangups": hangups,
}
"""By name."""

BY_THE_CLOCK = frozenset({"load", "overload"})
"""Scenarios whose clients come whether or not there is room: a system's own way of refusing is what they ask for."""
