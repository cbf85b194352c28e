"""One system that runs, and the process that posts to it: traffic goes in, accounts come out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bench.post import Errand, Postman, Target
from bench.traffic import Account, Arrivals, Clients, Traffic
from bench.usage import Meter, Usage


@dataclass(frozen=True, slots=True)
class Taken:
    """What came of some traffic.

    Attributes:
        accounts: by group.
        usage: CPU and memory meanwhile.
        seconds: for how long clips were posted.
    """

    accounts: Mapping[str, Account]
    usage: Usage
    seconds: float

    def elapsed_s(self, group: str) -> float:
        """From the first post to the group's last answer."""
        return max(self.seconds, self.accounts[group].last_s)

    def clips_per_s(self, group: str = "") -> float:
        """Clips of a group answered in a second."""
        return len(self.accounts[group].times_s) / self.elapsed_s(group)


class Stand:
    """A system under test.

    Args:
        target: where it is and how it is posted to.
        pids: its processes.
        postman: the process that posts.
    """

    def __init__(self, target: Target, pids: Sequence[int], postman: Postman) -> None:
        self._target, self._pids, self._postman = target, pids, postman

    def put(self, traffic: Traffic, seconds: float) -> Taken:
        """Puts traffic on it and waits for its end.

        Raises:
            SystemFailed: the process that posts ended.
        """
        meter = Meter(self._pids, [self._postman.pid])
        posts = self._postman.run(Errand(self._target, traffic, seconds))
        usage = meter.read()
        accounts = {group.name: Account.of(post for post in posts if post.group == group.name) for group in traffic}
        return Taken(accounts, usage, seconds)

    def clients(self, clip: str, count: int, seconds: float) -> Taken:
        """Puts so many clients on it that wait for their answers."""
        return self.put([Clients("", clip, count)], seconds)

    def arrivals(self, group: Arrivals, seconds: float) -> Taken:
        """Puts clients on it that come by the clock."""
        return self.put([group], seconds)
