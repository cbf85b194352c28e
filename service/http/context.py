"""What the routes need of the application, typed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, cast

from fastapi import Depends, Request, WebSocket

from service.http.upload import Bounds
from service.metrics import Metrics
from service.runtime import Runtime


@dataclass(frozen=True, slots=True)
class Context:
    """The parts that routes work with; `service.app` wires them."""

    runtime: Runtime
    metrics: Metrics
    bounds: Bounds


def _context(request: Request) -> Context:
    return cast("Context", request.app.state.context)


Wired = Annotated[Context, Depends(_context)]
"""Declares that a route works with the application's parts."""


def socket_context(socket: WebSocket) -> Context:
    """The same for a WebSocket."""
    return cast("Context", socket.app.state.context)
