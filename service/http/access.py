"""What every request gets: an id, a log line, and a count where it asked for a prediction."""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Callable

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.logs import logger

_USABLE_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")
# Whoever has a stream's id has the stream; a few letters of it tell two of them apart.
_STREAM_ID = re.compile(r"(?<=^/streams/)([^/]{6})[^/]+")
# Probes come every few seconds and say nothing new.
_QUIET_PATHS = frozenset({"/livez", "/readyz", "/health", "/metrics"})

Answered = Callable[[str, int, float], None]
"""Told of every answer: path, status, seconds."""


class AccessMiddleware:
    """Wraps the application, outermost but for the handler of bugs.

    Args:
        app: what is wrapped.
        answered: told of every answer.
    """

    def __init__(self, app: ASGIApp, answered: Answered) -> None:
        self._app = app
        self._answered = answered

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope).get("x-request-id", "")
        request_id = given if _USABLE_ID.fullmatch(given) else secrets.token_hex(8)
        scope.setdefault("state", {})["request_id"] = request_id
        if scope["type"] == "websocket":
            with structlog.contextvars.bound_contextvars(request_id=request_id):
                await self._app(scope, receive, send)
            return
        started_s = time.perf_counter()
        status = 500  # what the client is told if nothing was sent before an exception

        async def tagged(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)["X-Request-ID"] = request_id
            await send(message)

        with structlog.contextvars.bound_contextvars(request_id=request_id):
            try:
                await self._app(scope, receive, tagged)
            finally:
                seconds = time.perf_counter() - started_s
                self._answered(scope["path"], status, seconds)
                log = logger("kinema.http")
                path = _STREAM_ID.sub(r"\1...", scope["path"])
                say = log.debug if scope["path"] in _QUIET_PATHS else log.info
                say("answered", method=scope["method"], path=path, status=status, ms=round(seconds * 1e3, 1))
