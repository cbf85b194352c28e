"""Starting in the background: what is told of a model that cannot be served, and of one that can."""

import io
import json
from collections.abc import Iterator
from typing import Any

import pytest

from service import logs
from service.app import _start
from service.errors import BundleError, EngineDead
from service.metrics import Metrics
from service.runtime import Runtime
from service.settings import Settings


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    stream = io.StringIO()
    logs.configure("json", "info", stream)
    yield stream
    logs.configure("json", "error")


def entries(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


class Failing(Runtime):
    """A runtime whose start fails."""

    def __init__(self, failure: Exception) -> None:
        super().__init__(Settings().options())
        self._failure = failure

    async def start(self) -> None:
        raise self._failure


async def test_a_bundle_that_can_never_be_served_is_told_and_ends_the_start(log: io.StringIO) -> None:
    with pytest.raises(BundleError):
        await _start(Failing(BundleError("no card", "Name another.")), Metrics())
    (told,) = entries(log)
    assert (told["level"], told["detail"], told["advice"]) == ("error", "no card", "Name another.")


async def test_a_golden_clip_that_disagrees_is_told_and_the_process_stays(log: io.StringIO) -> None:
    await _start(Failing(EngineDead("far away", "Export it here.")), Metrics())
    assert [(one["level"], one["detail"]) for one in entries(log)] == [("error", "far away")]


async def test_a_bug_is_told_with_where_it_was_but_without_the_values_of_variables(log: io.StringIO) -> None:
    secret = "nobody else's"  # noqa: F841 - a variable of a frame of the traceback
    await _start(Failing(MemoryError("no memory")), Metrics())
    (told,) = entries(log)
    (exception,) = told["exception"]
    assert (exception["exc_type"], exception["exc_value"]) == ("MemoryError", "no memory")
    assert exception["frames"][-1]["name"] == "start"
    assert "locals" not in exception["frames"][-1]


async def test_a_model_that_is_served_is_told_by_name_and_is_in_the_metrics(log: io.StringIO) -> None:
    runtime, metrics = Runtime(Settings().options()), Metrics()
    try:
        await _start(runtime, metrics)
    finally:
        await runtime.stop()
    (told,) = entries(log)
    assert runtime.card is not None
    assert (told["event"], told["model"], told["version"]) == ("ready", runtime.card.name, runtime.card.version)
    assert f'kinema_model_info{{device="cpu",model="{runtime.card.name}"' in metrics.exposition()[0].decode()
