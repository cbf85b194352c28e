"""Logs: coloured lines for a person at a terminal, JSON for everything else; one configuration for all libraries."""

from __future__ import annotations

import logging
import sys
from typing import Literal, TextIO

import structlog
from structlog.typing import FilteringBoundLogger, Processor

from service.events import ClipFailed, Event, PicturesDropped, StreamEnded

# These tell of every request and of their own start; the service does both itself, in its own words.
_QUIET = ("uvicorn", "uvicorn.error", "uvicorn.access")

# Without the values of variables: they hold clips, headers and whatever else callers send.
_TRACEBACK = structlog.tracebacks.ExceptionDictTransformer(show_locals=False)


def configure(form: Literal["auto", "json", "console"], level: str, stream: TextIO = sys.stderr) -> None:
    """Sends the logs of this process, its libraries' included, to `stream`."""
    coloured = form == "console" or (form == "auto" and stream.isatty())
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    renderer: list[Processor] = (
        [structlog.dev.ConsoleRenderer(colors=stream.isatty())]
        if coloured
        else [structlog.processors.ExceptionRenderer(_TRACEBACK), structlog.processors.JSONRenderer()]
    )
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderer],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    for name in _QUIET:
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [], True
        logger.setLevel(logging.WARNING)


def logger(name: str) -> FilteringBoundLogger:
    """A logger; call it with an event in words and with fields."""
    bound: FilteringBoundLogger = structlog.get_logger(name)
    return bound


def observe(event: Event) -> None:
    """Logs what the pipeline reports and an operator would look for."""
    match event:
        case ClipFailed(model, reason, detail):
            level = logging.ERROR if reason == "other" else logging.INFO
            logger("kinema.pipeline").log(level, "clip failed", model=model, reason=reason, detail=detail)
        case PicturesDropped(pictures):
            logger("kinema.pipeline").info("pictures dropped", pictures=pictures)
        case StreamEnded(model, reason):
            logger("kinema.stream").info("stream ended", model=model, reason=reason)
        case _:
            pass
