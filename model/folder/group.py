"""Things that belong together."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable


class Groups:
    """Numbers that are joined to groups, pair by pair (a disjoint-set forest: Galler and Fischer, 1964).

    Args:
        size: how many numbers there are, from 0; each begins as a group of its own.
    """

    def __init__(self, size: int) -> None:
        self._parents = list(range(size))

    def of(self, one: int) -> int:
        """The least number of the group that a number is in."""
        root = one
        while self._parents[root] != root:
            root = self._parents[root]
        while self._parents[one] != root:
            self._parents[one], one = root, self._parents[one]
        return root

    def join(self, one: int, other: int) -> None:
        """Makes two groups one."""
        one, other = self.of(one), self.of(other)
        self._parents[max(one, other)] = min(one, other)

    def join_equal(self, keys: Iterable[Hashable]) -> None:
        """Joins all numbers that have the same key; there is a key for each number."""
        first: dict[Hashable, int] = {}
        for number, key in enumerate(keys):
            self.join(first.setdefault(key, number), number)

    def all(self) -> list[tuple[int, ...]]:
        """The groups, in the order of their least numbers."""
        found: defaultdict[int, list[int]] = defaultdict(list)
        for number in range(len(self._parents)):
            found[self.of(number)].append(number)
        return [tuple(group) for group in found.values()]
