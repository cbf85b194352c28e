"""Logs: JSON for programs, lines for people, one configuration for all libraries."""

import io
import json
import logging
from collections.abc import Iterator

import pytest

from service import logs
from service.events import BatchEncoded, ClipFailed, Event, PicturesDropped


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    yield
    logs.configure("json", "error")


@pytest.mark.parametrize(
    ("form", "stream", "is_json"),
    [
        ("auto", io.StringIO(), True),
        ("auto", Terminal(), False),
        ("json", Terminal(), True),
        ("console", io.StringIO(), False),
    ],
    ids=["auto, no terminal", "auto, terminal", "json", "console"],
)
def test_the_form_follows_the_setting_and_the_stream(form: str, stream: io.StringIO, is_json: bool) -> None:
    logs.configure(form, "info", stream)  # type: ignore[arg-type]
    logs.logger("test").info("hello", number=3)
    line = stream.getvalue()
    assert line.startswith("{") == is_json
    assert "hello" in line
    assert ("\x1b[" in line) == (not is_json and stream.isatty()), "colours are for terminals"
    if is_json:
        entry = json.loads(line)
        assert (entry["event"], entry["number"], entry["level"]) == ("hello", 3, "info")
        assert entry["timestamp"].endswith("Z")


def test_libraries_log_in_the_same_form() -> None:
    stream = io.StringIO()
    logs.configure("json", "info", stream)
    logging.getLogger("some.library").warning("careful: %s", "now")
    assert json.loads(stream.getvalue())["event"] == "careful: now"


def test_what_is_below_the_level_is_not_logged() -> None:
    stream = io.StringIO()
    logs.configure("json", "warning", stream)
    logs.logger("test").info("hello")
    assert stream.getvalue() == ""


def test_uvicorn_does_not_tell_what_the_service_tells_itself() -> None:
    stream = io.StringIO()
    logs.configure("json", "info", stream)
    logging.getLogger("uvicorn.access").info("GET /")
    logging.getLogger("uvicorn.error").error("in use")
    assert [json.loads(line)["event"] for line in stream.getvalue().splitlines()] == ["in use"]


@pytest.mark.parametrize(
    ("event", "level"),
    [
        (ClipFailed("m", "media", "no video"), "info"),
        (ClipFailed("m", "other", "a bug"), "error"),
        (PicturesDropped(3), "info"),
        (BatchEncoded("motion", 2, 0.1), None),
    ],
)
def test_of_events_only_those_are_logged_that_an_operator_looks_for(event: Event, level: str | None) -> None:
    stream = io.StringIO()
    logs.configure("json", "info", stream)
    logs.observe(event)
    assert [json.loads(line)["level"] for line in stream.getvalue().splitlines()] == ([level] if level else [])
