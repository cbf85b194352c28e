"""What can go wrong on purpose with a run; what is wrong with clips or recipes is told where they are."""

from __future__ import annotations

from service.errors import KinemaError


class RunError(KinemaError):
    """A run directory that does not fit what is asked of it."""
