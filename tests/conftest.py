"""What several kinds of tests share."""

import os
from collections.abc import Iterator

import pytest

from tests.server import Server

# A caller's settings must not decide what the tests see.
for variable in [name for name in os.environ if name.startswith("KINEMA_") and name != "KINEMA_TEST_REQUIRE"]:
    del os.environ[variable]


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """The event loop of asynchronous tests."""
    return "asyncio"


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """A server with the shipped model and default settings, for tests that leave it as it was."""
    with Server(decoders=0) as running:
        yield running.wait_ready()
