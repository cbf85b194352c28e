"""One unit of work: the seam between how load is put and what it consists of."""

from __future__ import annotations

from typing import Protocol

# What may come of a unit beside an HTTP status.
TIMEOUT = "timeout"
CONNECTION = "connection"
# A unit that was given up because its step could not reach the goal any more.
UNFINISHED = "unfinished"

ANSWERED = "200"
REFUSED = "429"


class Work(Protocol):
    """What load consists of; posting a clip, for example."""

    @property
    def noun(self) -> str:
        """What one counts, in the plural: `clips`."""

    async def do(self) -> str:
        """Does the next unit, side by side with others.

        Returns:
            What came of it: an HTTP status in digits, `timeout` or `connection`. A unit that fails raises nothing.
        """
