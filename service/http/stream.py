"""WebSocket /stream: frames go in, answers come out, for as long as the socket lives."""

from __future__ import annotations

import asyncio
import struct
from contextlib import AsyncExitStack, suppress
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, WebSocket, WebSocketDisconnect
from pydantic import BaseModel, ValidationError
from starlette.types import Message

from service.errors import ClipError, KinemaError, MalformedRequest, faults
from service.events import EndReason
from service.http.context import Context, socket_context
from service.http.frames import checked
from service.http.problems import INTERNAL, kind_of
from service.http.schemas import ModelName
from service.http.stream_schemas import Command, EndOut, Hello, ProblemOut, ReadyOut, news
from service.http.streams import model_served
from service.inference.card import Card
from service.logs import logger
from service.stream.feed import Feed
from service.stream.stream import Stream, gone
from service.stream.told import Failed, FrameFailed

_HELLO_S = 10.0
# Whoever reads nothing cannot be told why the stream ends.
_FAREWELL_S = 5.0
_TIMESTAMP = struct.Struct(">d")
_HOW = 'The first message is a JSON object such as {"top_k": 3, "every_s": 0.5}; docs/stream.md has the protocol.'
_COMMANDS = 'A binary message is a timestamp and a frame; a text message is {"type": "reset"} or {"type": "end"}.'
# Codes for applications begin at 4000; an HTTP status is easily read in them.
_CODES = 4000
_CLOSED, _RESTARTING = 1000, 1012

router = APIRouter()


@router.websocket("/stream")
async def stream(socket: WebSocket, wired: Annotated[Context, Depends(socket_context)]) -> None:
    """Serves one socket to its end."""
    await socket.accept()
    conversation = Conversation(socket, wired)
    try:
        await conversation.hold()
    except (WebSocketDisconnect, OSError):
        return  # nobody is there any more
    except KinemaError as error:
        await conversation.refuse(error, _CODES + kind_of(error).status)
    except Exception as error:  # noqa: BLE001 - what goes wrong here is told and logged: a socket has no status 500
        logger("kinema.http").exception("a stream failed")
        await conversation.refuse(error, _CODES + INTERNAL.status)


class Conversation:
    """One socket and its stream.

    Args:
        socket: accepted already.
        wired: the application's parts.
    """

    def __init__(self, socket: WebSocket, wired: Context) -> None:
        self._socket = socket
        self._wired = wired
        self._frame_bytes = 0  # until the stream has begun; to ask the runtime again for each frame would cost
        self._request_id: str = socket.scope.get("state", {}).get("request_id", "")

    async def hold(self) -> None:
        """Greets, and holds the stream until one of both sides ends it.

        Raises:
            KinemaError: the stream cannot begin or go on.
            WebSocketDisconnect: the client has gone.
        """
        hello = await self._hello()
        card = model_served(self._wired, hello.model)
        streams = self._wired.runtime.streams
        self._frame_bytes = streams.limits.frame_bytes
        name, stream = await streams.open(hello.wishes())
        stream.held = True
        reason: EndReason = "broken"
        try:
            async with AsyncExitStack() as stack:
                feed = await stack.enter_async_context(streams.feed(stream)) if hello.format == "video" else None
                model = ModelName(name=card.name, version=card.version)
                await self._send(ReadyOut(model=model, model_fps=card.sampling.fps))
                ended = await self._converse(stream, feed, card)
            reason = ended
            await self._send(EndOut.of(stream, ended))
            await self._socket.close(_CLOSED if ended == "closed" else _RESTARTING)
        except KinemaError:
            reason = "failed"
            raise
        finally:
            streams.end(name, reason)

    async def _hello(self) -> Hello:
        try:
            async with asyncio.timeout(_HELLO_S):
                message = await self._socket.receive()
        except TimeoutError as error:
            raise MalformedRequest(f"no hello came within {_HELLO_S:g} s", _HOW) from error
        _raise_if_gone(message)
        try:
            return Hello.model_validate_json(message.get("text") or "")
        except ValidationError as error:
            raise MalformedRequest(f"the hello cannot be read: {faults(error, 'message')}", _HOW) from error

    async def _converse(self, stream: Stream, feed: Feed | None, card: Card) -> Literal["closed", "drained"]:
        """Takes and tells until the client ends the stream, or the service shuts down."""
        telling = asyncio.create_task(self._tell(stream, card))
        taking = asyncio.create_task(self._take(stream, feed))
        feeding = asyncio.create_task(_forever() if feed is None else feed.run())
        draining = asyncio.create_task(stream.draining.wait())
        over = asyncio.create_task(stream.over.wait())
        tasks: tuple[asyncio.Task[Any], ...] = (over, telling, feeding, taking, draining)
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            if over.done():
                raise gone()
            for told in (telling, feeding, taking):
                if told.done():
                    told.result()
            ended: Literal["closed", "drained"] = "closed" if taking.done() else "drained"
            taking.cancel()
            await asyncio.wait((taking,))
            if feed is not None:
                feed.end()
            await self._finish(stream, None if feed is None else feeding, telling, over)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            for task in tasks:
                if not task.cancelled():
                    task.exception()  # of several that failed at once one is told; asyncio would warn of the others
        return ended

    async def _finish(
        self,
        stream: Stream,
        feeding: asyncio.Task[None] | None,
        telling: asyncio.Task[None],
        over: asyncio.Task[Literal[True]],
    ) -> None:
        """Waits until all that came has been looked at and told, unless the stream is ended before."""

        async def finish() -> None:
            if feeding is not None:
                await feeding
            await stream.end()
            await stream.news.join()

        finishing = asyncio.create_task(finish())
        await asyncio.wait((finishing, telling, over), return_when=asyncio.FIRST_COMPLETED)
        if finishing.done():
            finishing.result()
            return
        finishing.cancel()
        if over.done():
            raise gone()
        telling.result()

    async def _take(self, stream: Stream, feed: Feed | None) -> None:
        """Takes what the client sends, until it ends the stream."""
        while True:
            message = await self._socket.receive()
            _raise_if_gone(message)
            try:
                if message.get("bytes") is not None:
                    await (self._frame(stream, message["bytes"]) if feed is None else feed.put(message["bytes"]))
                elif _command(message.get("text") or "").type == "end":
                    return
                else:
                    await stream.reset()
            except ClipError as error:
                await stream.news.put(FrameFailed(None, error))

    async def _frame(self, stream: Stream, data: bytes) -> None:
        if len(data) < _TIMESTAMP.size:
            raise MalformedRequest(f"a binary message of {len(data)} bytes has no room for a timestamp", _COMMANDS)
        (time_s,) = _TIMESTAMP.unpack_from(data)
        image = data[_TIMESTAMP.size :]
        try:
            checked(time_s, image, self._frame_bytes)
            await stream.push(time_s, image)
        except ClipError as error:
            await stream.news.put(FrameFailed(time_s, error))

    async def _tell(self, stream: Stream, card: Card) -> None:
        """Tells the client what there is to tell."""
        while True:
            told = await stream.news.get()
            if isinstance(told, Failed):
                raise told.error
            await self._send(news(told, card, self._request_id))
            stream.news.task_done()

    async def _send(self, message: BaseModel) -> None:
        await self._socket.send_text(message.model_dump_json(exclude_none=False))

    async def refuse(self, error: Exception, code: int) -> None:
        """Says what is wrong, and closes the socket; the code is 4000 and the problem's HTTP status."""
        with suppress(WebSocketDisconnect, OSError, RuntimeError, TimeoutError):  # nobody may be there any more
            async with asyncio.timeout(_FAREWELL_S):
                await self._send(ProblemOut.of(error, None, self._request_id))
                await self._socket.close(code)


async def _forever() -> None:
    """Never ends by itself."""
    await asyncio.get_running_loop().create_future()


def _raise_if_gone(message: Message) -> None:
    if message["type"] == "websocket.disconnect":
        raise WebSocketDisconnect(int(str(message.get("code") or 1006)))


def _command(text: str) -> Command:
    try:
        return Command.model_validate_json(text)
    except ValidationError as error:
        raise MalformedRequest(f"the message cannot be read: {faults(error, 'message')}", _COMMANDS) from error
