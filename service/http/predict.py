"""POST /predict: a clip goes in, an action comes out."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Query, Request

from service.errors import ClientGone
from service.http.context import Wired
from service.http.problems import responses
from service.http.schemas import PredictQuery, PredictResponse
from service.http.upload import FIELD, read_clip

_T = TypeVar("_T")
_BINARY = {"schema": {"type": "string", "format": "binary"}}
_BODY = {
    "requestBody": {
        "required": True,
        "description": "The clip: as a file of a form, or as it is.",
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": [FIELD],
                    "properties": {FIELD: {"type": "string", "format": "binary", "description": "the clip"}},
                }
            },
            "video/*": _BINARY,
            "application/octet-stream": _BINARY,
        },
    }
}

router = APIRouter(tags=["predict"])


@router.post(
    "/predict",
    summary="What is being done in this clip?",
    openapi_extra=_BODY,
    responses=responses(400, 408, 413, 415, 422, 429, 503, 504),
)
async def predict(request: Request, wired: Wired, query: Annotated[PredictQuery, Query()]) -> PredictResponse:
    """Looks at a clip and says what is being done in it, how sure that is, and which moments the answer rests on.

    Which moments are looked at is the model's own plan. Spans are in seconds and exclude their end.
    """
    started_s = time.perf_counter()
    with wired.runtime.admit() as pipeline:
        clip = await read_clip(request, wired.bounds)
        receive_s = time.perf_counter() - started_s
        answer = await _unless_gone(request, pipeline.answer(clip, query.query()))
        return PredictResponse.of(answer, pipeline.bundle.card, receive_s)


async def _unless_gone(request: Request, work: Coroutine[Any, Any, _T]) -> _T:
    """Does the work, and cancels it as soon as nobody waits for it.

    Raises:
        ClientGone: the client hung up.
    """
    working = asyncio.ensure_future(work)
    hanging_up = asyncio.ensure_future(_hang_up(request))
    try:
        await asyncio.wait((working, hanging_up), return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
        raise ClientGone("the client hung up while its clip was looked at")
    finally:
        hanging_up.cancel()
        working.cancel()
        await asyncio.wait((working, hanging_up))
        if not working.cancelled():
            working.exception()  # an answer that nobody waits for any more may have failed too; asyncio would warn


async def _hang_up(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
