"""Streams over plain HTTP, for those who cannot hold a socket."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Annotated, Any

from fastapi import APIRouter, Body, Query, Request, Response

from service.errors import KinemaError, LimitExceeded, ModelNotFound
from service.http.context import Context, Wired
from service.http.frames import FRAME, TIME, read_frames
from service.http.problems import responses
from service.http.stream_schemas import StreamNews, StreamOut, StreamWishes, news
from service.http.upload import chunks
from service.inference.card import Card
from service.stream.snapshot import Snapshot, pack, unpack
from service.stream.stream import Stream
from service.stream.streams import Streams
from service.stream.told import Failed, FrameFailed, News

_IMAGE = {"schema": {"type": "string", "format": "binary"}}
_FRAMES = {
    "requestBody": {
        "required": True,
        "description": "Frames, each JPEG, PNG or WebP: as files of a form with their timestamps, or one as it is.",
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": [TIME, FRAME],
                    "properties": {
                        TIME: {"type": "array", "items": {"type": "number"}, "description": "seconds, one a frame"},
                        FRAME: {"type": "array", "items": {"type": "string", "format": "binary"}},
                    },
                }
            },
            "image/*": _IMAGE,
        },
    }
}
_STATE = "application/octet-stream"
_STATE_BODY = {"requestBody": {"required": True, "content": {_STATE: _IMAGE}}}
# A header and checksums around the arrays.
_STATE_OVERHEAD = 64 * 1024

router = APIRouter(prefix="/streams", tags=["streams"])


def model_served(wired: Context, wanted: str | None) -> Card:
    """The card of the model that is served.

    Raises:
        ModelNotFound: another one is wanted.
        Starting, EngineDead: none can be served now.
    """
    card = wired.runtime.streams.engine.bundle.card
    if wanted not in {None, card.name}:
        raise ModelNotFound(f"no model {wanted!r} is served", "GET /models lists those that are.")
    return card


@router.post("", status_code=201, summary="Begin a stream", responses=responses(404, 422, 429, 503))
async def begin(wired: Wired, response: Response, wishes: Annotated[StreamWishes | None, Body()] = None) -> StreamOut:
    """Begins a stream of frames whose state lives on between requests. Its id is a secret: whoever has it has it."""
    wanted = StreamWishes() if wishes is None else wishes
    model_served(wired, wanted.model)
    name, stream = await wired.runtime.streams.open(wanted.wishes())
    response.headers["Location"] = f"/streams/{name}"
    return _out(wired, name, stream)


@router.post(
    "/{name}/frames",
    summary="Send frames, get answers",
    openapi_extra=_FRAMES,
    responses=responses(400, 404, 408, 410, 413, 415, 422, 429, 503),
)
async def frames(
    name: str,
    request: Request,
    wired: Wired,
    time_s: Annotated[
        float | None, Query(allow_inf_nan=False, description="Timestamp of a frame sent as it is.")
    ] = None,
) -> StreamNews:
    """Takes one frame or many, and answers when all of them have been looked at.

    A frame that cannot be taken is told of among the news, and the others are taken all the same. Where the only frame
    of a request cannot be taken, the answer is that problem.
    """
    async with _held(wired, name) as stream:
        sent = await read_frames(request, time_s, wired.bounds, wired.runtime.streams.limits.frame_bytes)

        async def push() -> list[News]:
            refused: list[News] = []
            for frame in sent:
                try:
                    await stream.push(*frame)
                except KinemaError as error:
                    if len(sent) == 1:
                        raise
                    refused.append(FrameFailed(frame.time_s, error))
            await stream.settled()
            return refused

        told, refused = await _collect(stream, push())
        failure = next((one.error for one in told if isinstance(one, FrameFailed)), None)
        if failure is not None and len(sent) == 1:
            raise failure
        return _news(wired, name, stream, [*refused, *told], request)


@router.get("/{name}", summary="How does it stand?", responses=responses(404, 410, 503))
async def state(name: str, wired: Wired) -> StreamOut:
    """The stream's account of frames, and how much it remembers."""
    return _out(wired, name, wired.runtime.streams.get(name))


@router.post("/{name}/reset", summary="Forget what came", responses=responses(404, 410, 503))
async def reset(name: str, request: Request, wired: Wired) -> StreamNews:
    """Tells what has not been told yet, and begins anew: the next frame may have any timestamp."""
    async with _held(wired, name) as stream:
        told, _ = await _collect(stream, stream.reset())
        return _news(wired, name, stream, told, request)


@router.delete("/{name}", summary="End it", responses=responses(404, 410, 503))
async def end(name: str, request: Request, wired: Wired) -> StreamNews:
    """Tells what has not been told yet, as a partial answer, and ends the stream."""
    async with _held(wired, name) as stream:
        told, _ = await _collect(stream, stream.end())
        out = _news(wired, name, stream, told, request)
        wired.runtime.streams.end(name, "deleted")
        return out


@router.get(
    "/{name}/state",
    summary="Take its state along",
    response_class=Response,
    responses={200: {"content": {_STATE: _IMAGE}}, **responses(404, 410, 503)},
)
async def take_state(name: str, wired: Wired) -> Response:
    """The whole state, to go on with at another replica that serves the same model."""
    async with _held(wired, name) as stream:
        card = wired.runtime.streams.engine.bundle.card
        return Response(pack(card, Snapshot(*await stream.dump())), media_type=_STATE)


@router.put(
    "/{name}/state",
    summary="Go on with a state",
    openapi_extra=_STATE_BODY,
    responses=responses(400, 404, 409, 410, 413, 503),
)
async def put_state(name: str, request: Request, wired: Wired) -> StreamOut:
    """Lets the stream go on where another one, here or elsewhere, stood when its state was taken."""
    async with _held(wired, name) as stream:
        engine = wired.runtime.streams.engine
        most = engine.state_bytes + wired.runtime.streams.limits.frame_bytes + _STATE_OVERHEAD
        data = bytearray()
        async for chunk in chunks(request, wired.bounds, wired.bounds.max_bytes):
            data += chunk
            if len(data) > most:
                raise LimitExceeded(
                    "the size of a state", f"{most / 1e6:g} MB", "no state of this model is that large", "Send a state."
                )
        await stream.load(*unpack(engine.bundle.card, bytes(data)))
        return _out(wired, name, stream)


@asynccontextmanager
async def _held(wired: Context, name: str) -> AsyncIterator[Stream]:
    """A stream for one caller at a time."""
    streams: Streams = wired.runtime.streams
    async with streams.get(name).caller:
        yield streams.get(name)  # it may have ended while others were served


async def _collect(stream: Stream, work: Coroutine[Any, Any, list[News] | None]) -> tuple[list[News], list[News]]:
    """Does some work and takes what the stream tells meanwhile; what the work gives comes second.

    Raises:
        KinemaError: as the work does, or the stream failed.
    """
    told: list[News] = []
    working = asyncio.ensure_future(work)
    try:
        while not working.done():
            taking = asyncio.ensure_future(stream.news.get())
            try:
                await asyncio.wait((working, taking), return_when=asyncio.FIRST_COMPLETED)
                if taking.done():
                    told.append(taking.result())
            finally:
                taking.cancel()
        while not stream.news.empty():
            told.append(stream.news.get_nowait())
        given = working.result()
    finally:
        working.cancel()
    for one in told:
        if isinstance(one, Failed):
            raise one.error
    return told, given or []


def _news(wired: Context, name: str, stream: Stream, told: list[News], request: Request) -> StreamNews:
    card = wired.runtime.streams.engine.bundle.card
    request_id = request.state.request_id
    return StreamNews(news=[news(one, card, request_id) for one in told], stream=_out(wired, name, stream))


def _out(wired: Context, name: str, stream: Stream) -> StreamOut:
    streams = wired.runtime.streams
    return StreamOut.of(name, stream, streams.engine.bundle.card, streams.limits.ttl_s)
