"""POST /predict: a clip goes in, an action comes out."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Coroutine
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Header, Query, Request

from service.errors import ClientGone, DeadlineExceeded
from service.http.context import Context, Wired
from service.http.problems import responses
from service.http.schemas import PredictQuery, PredictResponse
from service.http.upload import FIELD, read_clip
from service.video.encoded import EncodedClip

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
_TIMEOUT = "Seconds that you wait for the answer, the upload included; work that would take longer is not begun: 504."

router = APIRouter(tags=["predict"])


@router.post(
    "/predict",
    summary="What is being done in this clip?",
    openapi_extra=_BODY,
    responses=responses(400, 408, 413, 415, 422, 429, 503, 504),
)
async def predict(
    request: Request,
    wired: Wired,
    query: Annotated[PredictQuery, Query()],
    x_request_timeout: Annotated[float | None, Header(gt=0, allow_inf_nan=False, description=_TIMEOUT)] = None,
) -> PredictResponse:
    """Looks at a clip and says what is being done in it, how sure that is, and which moments the answer rests on.

    Which moments are looked at is the model's own plan. Spans are in seconds and exclude their end.
    """
    started_s = time.perf_counter()
    asked = query.query()
    allowed_s = math.inf if x_request_timeout is None else x_request_timeout
    with wired.runtime.admit() as visit:
        with await _received(request, wired, allowed_s) as clip:
            receive_s = time.perf_counter() - started_s
            answer = await _unless_gone(request, visit.answer(clip, asked, allowed_s - receive_s))
        return PredictResponse.of(answer, visit.card, receive_s)


async def _received(request: Request, wired: Context, allowed_s: float) -> EncodedClip:
    try:
        async with asyncio.timeout(None if allowed_s == math.inf else allowed_s):
            return await read_clip(request, wired.bounds)
    except TimeoutError as error:
        raise DeadlineExceeded(
            f"the {allowed_s:g} s that the request allows passed during the upload",
            "Allow more time, or send a smaller clip.",
        ) from error


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
