"""Builds the FastAPI application: the only place where the parts are wired together."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from importlib.metadata import version

from fastapi import FastAPI
from fastapi.responses import RedirectResponse
from fastapi_offline import FastAPIOffline

from service import logs
from service.errors import BundleError, KinemaError
from service.events import Event
from service.http import health, models, predict, problems, stream, streams
from service.http.access import AccessMiddleware
from service.http.context import Context
from service.http.upload import Bounds
from service.metrics import Metrics
from service.runtime import Runtime
from service.settings import Settings

_DESCRIPTION = """\
Send a clip to `/predict` and get back what is being done in it, how sure that is, and which moments of it were looked
at to say so.

Every error is an RFC 9457 problem (`application/problem+json`) that says what to do about it.
"""


def build(settings: Settings) -> FastAPI:
    """The application, not yet started.

    Its `state.runtime` is the service behind it; once it runs, `state.starting` is the task that loads the model, which
    fails with a BundleError if the bundle can never be served.

    Raises:
        BundleError: the device asked for is not there.
    """
    metrics = Metrics()

    def observe(event: Event) -> None:
        metrics.observe(event)
        logs.observe(event)

    runtime = Runtime(settings.options(), observe)
    metrics.watch(
        depth=lambda: runtime.depth,
        in_progress=lambda: runtime.admission.in_flight,
        ready=lambda: runtime.ready,
        streams=lambda: runtime.stream_load,
    )

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        # In the background, so that probes are answered while the model loads.
        app.state.starting = starting = asyncio.create_task(_start(runtime, metrics))
        yield
        starting.cancel()
        with suppress(asyncio.CancelledError, BundleError):
            await starting
        await runtime.stop()

    app = FastAPIOffline(
        title="Kinema",
        summary="Recognises actions in video.",
        description=_DESCRIPTION,
        version=version("kinema"),
        lifespan=lifespan,
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
    )
    app.state.runtime = runtime
    app.state.context = Context(
        runtime,
        metrics,
        Bounds(
            max_bytes=settings.max_upload_bytes,
            memory_bytes=int(settings.upload_memory_mb * 1_000_000),
            stall_s=settings.upload_stall_s,
            timeout_s=settings.upload_timeout_s,
        ),
    )
    problems.install(app)
    for part in (predict, stream, streams, models, health):
        app.include_router(part.router)
    app.add_api_route("/", _home, include_in_schema=False)

    def answered(path: str, status: int, seconds: float) -> None:
        if path == "/predict":
            metrics.answered("" if runtime.card is None else runtime.card.name, status, seconds)

    app.add_middleware(AccessMiddleware, answered=answered)
    return app


async def _home() -> RedirectResponse:
    return RedirectResponse("/docs")


async def _start(runtime: Runtime, metrics: Metrics) -> None:
    log = logs.logger("kinema.app")
    try:
        await runtime.start()
    except KinemaError as error:
        log.error("the model cannot be served", detail=error.detail, advice=error.advice)
        if isinstance(error, BundleError):
            raise
    except Exception:
        log.exception("the model cannot be served")
    card, device, precision = runtime.card, runtime.options.device.name, runtime.precision
    if card is not None and precision is not None:
        metrics.serves(card, device, precision)
        if runtime.ready:
            log.info("ready", model=card.name, version=card.version, device=device, precision=precision)
