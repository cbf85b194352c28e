"""What a test needs of the machine: without it the test is skipped, or fails where it must not be missing."""

import os

import pytest


def need(what: str, available: bool, reason: str) -> None:
    """Skips the test when what it needs is not available; fails it when KINEMA_TEST_REQUIRE lists it."""
    if available:
        return
    if what in os.environ.get("KINEMA_TEST_REQUIRE", "").split(","):
        pytest.fail(f"{what} is required: {reason}", pytrace=False)
    pytest.skip(f"no {what}: {reason}")
