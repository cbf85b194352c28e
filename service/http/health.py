"""The probes, and metrics. They pass by every limit: an overloaded service is not a sick one."""

from __future__ import annotations

import time
from importlib.metadata import version

from fastapi import APIRouter, Response

from service.http.context import Wired
from service.http.schemas import Alive, CheckOut, Health, ModelName, Readiness
from service.runtime import Runtime

_RETRY_AFTER_S = "5"

router = APIRouter(tags=["health"])


def _checks(runtime: Runtime) -> dict[str, CheckOut]:
    return {name: CheckOut(ok=check.ok, detail=check.detail) for name, check in runtime.checks.items()}


def _status(ready: bool, response: Response) -> str:
    if not ready:
        response.status_code = 503
        response.headers["Retry-After"] = _RETRY_AFTER_S
    return "ready" if ready else "not ready"


@router.get("/livez", summary="Is the process alive?")
async def livez() -> Alive:
    """Answers as long as the event loop turns. Restart the process when it does not."""
    return Alive(status="alive")


@router.get("/readyz", summary="Can it answer clips?", responses={503: {"model": Readiness}})
async def readyz(wired: Wired, response: Response) -> Readiness:
    """Ready: loaded, warmed, the golden clip agreed, the engine alive, not draining. A full queue is ready."""
    checks = _checks(wired.runtime)
    return Readiness(status=_status(wired.runtime.ready, response), checks=checks)


@router.get("/health", summary="How is it?", responses={503: {"model": Health}})
async def health(wired: Wired, response: Response) -> Health:
    """The checks of /readyz by name, the model, the version and the uptime."""
    runtime, card = wired.runtime, wired.runtime.card
    return Health(
        status=_status(runtime.ready, response),
        checks=_checks(runtime),
        model=None if card is None else ModelName(name=card.name, version=card.version),
        service_version=version("kinema"),
        uptime_s=round(time.time() - runtime.started_at_s, 3),
        in_flight=runtime.admission.in_flight,
        slots=runtime.admission.slots,
        live_streams=runtime.stream_load[0],
    )


@router.get("/metrics", summary="Prometheus metrics", response_class=Response)
async def metrics(wired: Wired) -> Response:
    """Counters and histograms in Prometheus' text format; times in seconds."""
    body, content_type = wired.metrics.exposition()
    return Response(body, headers={"Content-Type": content_type})
