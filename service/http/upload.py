"""The clip that a request carries, read within bounds."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from email.message import Message
from tempfile import SpooledTemporaryFile
from typing import BinaryIO, cast

from fastapi import Request
from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect

from service.errors import ClientGone, LimitExceeded, MalformedRequest, NoRoom, UnsupportedMedia, UploadStalled
from service.video.encoded import EncodedClip

FIELD = "file"
_HOW = 'Send it as `curl -F file=@clip.mp4 URL` or as `curl -H "Content-Type: video/mp4" --data-binary @clip.mp4 URL`.'


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much may be uploaded, and how slowly.

    Attributes:
        max_bytes: of the clip.
        memory_bytes: so much of a clip is kept in memory; a larger one goes to a file without a name.
        stall_s: seconds without a byte.
        timeout_s: seconds for all of it.
    """

    max_bytes: int
    memory_bytes: int
    stall_s: float
    timeout_s: float


# A multipart body is longer than its clip by boundaries and headers, which are short.
_MULTIPART_OVERHEAD = 64 * 1024


async def read_clip(request: Request, bounds: Bounds) -> EncodedClip:
    """Reads the clip from the multipart field `file` or from the raw body. Who calls closes it.

    Raises:
        MalformedRequest: no clip, an empty one, a field that is not known, a broken multipart body.
        UnsupportedMedia: a content type that carries no clip.
        LimitExceeded: over `bounds.max_bytes`; reading stops there.
        UploadStalled: too slow.
        NoRoom: too large for memory, and the disk takes no file.
        ClientGone: the client hung up.
    """
    kind = media_type(request)
    try:
        async with asyncio.timeout(bounds.timeout_s):
            if kind == "multipart/form-data":
                clip = await _from_form(request, bounds)
            elif kind.startswith("video/") or kind in {"application/octet-stream", "image/gif"}:
                clip = await _from_body(request, bounds)
            else:
                raise UnsupportedMedia(f"a body of type {kind} carries no clip", _HOW, kind)
    except TimeoutError as error:
        raise UploadStalled(
            f"the upload was not complete after {bounds.timeout_s:g} s", "Send a smaller clip, or over a faster line."
        ) from error
    except OSError as error:
        raise NoRoom(
            f"an upload of more than {bounds.memory_bytes / 1e6:g} MB cannot be put on disk: {error.strerror}",
            "Send a smaller clip, or try later; whoever runs the service can give it room in TMPDIR.",
        ) from error
    except ClientDisconnect as error:
        raise ClientGone("the client hung up during the upload") from error
    return clip


def media_type(request: Request) -> str:
    """What a request says that its body is, without parameters."""
    content_type = Message()
    content_type["Content-Type"] = request.headers.get("content-type", "application/octet-stream")
    return content_type.get_content_type()


async def parse_form(parser: MultiPartParser, how: str) -> FormData:
    """The form that a body is. Who calls closes it.

    Args:
        parser: of the body.
        how: what to do where it is none.

    Raises:
        MalformedRequest: it is none.
    """
    try:
        return await parser.parse()
    except MultiPartException as error:
        raise MalformedRequest(f"the multipart body cannot be read: {error.message}", how) from error
    except KeyError as error:  # starlette looks for a boundary that the content type does not give
        raise MalformedRequest("the multipart body cannot be read: its Content-Type has no boundary", how) from error


async def chunks(request: Request, bounds: Bounds, max_bytes: int) -> AsyncGenerator[bytes, None]:
    """A request's body as it comes.

    Raises:
        LimitExceeded: more than `max_bytes`; reading stops there.
        UploadStalled: nothing came for `bounds.stall_s`.
    """
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > max_bytes:
        raise _too_large(bounds, f"the body has {int(declared)} bytes")
    received = 0
    stream = request.stream()
    while True:
        try:
            # Not wait_for: before Python 3.12 it can swallow the outer timeout when a chunk arrives in that moment.
            async with asyncio.timeout(bounds.stall_s):
                chunk = await anext(stream)
        except StopAsyncIteration:
            return
        except TimeoutError as error:
            raise UploadStalled(
                f"nothing of the upload arrived for {bounds.stall_s:g} s ({received} bytes had)",
                "Send the clip again without pausing.",
            ) from error
        received += len(chunk)
        if received > max_bytes:
            raise _too_large(bounds, f"the body has more than {max_bytes} bytes")
        yield chunk


async def _from_body(request: Request, bounds: Bounds) -> EncodedClip:
    with SpooledTemporaryFile(max_size=bounds.memory_bytes) as file:
        upload = UploadFile(cast("BinaryIO", file), size=0)
        async for chunk in chunks(request, bounds, bounds.max_bytes):
            await upload.write(chunk)
        await upload.seek(0)
        return await _encoded(upload, bounds)


async def _encoded(upload: UploadFile, bounds: Bounds) -> EncodedClip:
    if not upload.size:
        raise MalformedRequest("the clip is empty: 0 bytes", _HOW)
    if upload.size > bounds.max_bytes:
        raise _too_large(bounds, f"the clip has {upload.size} bytes")
    if upload.size <= bounds.memory_bytes:
        return EncodedClip.of(await upload.read())
    upload.file.flush()
    return EncodedClip(os.dup(upload.file.fileno()))


async def _from_form(request: Request, bounds: Bounds) -> EncodedClip:
    limit = bounds.max_bytes + _MULTIPART_OVERHEAD
    parser = MultiPartParser(request.headers, chunks(request, bounds, limit), max_files=1, max_fields=8)
    parser.spool_max_size = bounds.memory_bytes
    form = await parse_form(parser, _HOW)
    try:
        unknown = sorted(set(form) - {FIELD})
        if unknown:
            raise MalformedRequest(f"unknown field {', '.join(unknown)}; parameters go into the query string", _HOW)
        upload = form.get(FIELD)
        if upload is None:
            raise MalformedRequest(f"the multipart body has no field {FIELD!r}", _HOW)
        if not isinstance(upload, UploadFile):
            raise MalformedRequest(f"the field {FIELD!r} is text, not a file: it has no filename", _HOW)
        return await _encoded(upload, bounds)
    finally:
        await form.close()


def _too_large(bounds: Bounds, what: str) -> LimitExceeded:
    return LimitExceeded(
        "KINEMA_MAX_UPLOAD_MB",
        f"{bounds.max_bytes / 1e6:g} MB",
        f"{what}; the limit is {bounds.max_bytes / 1e6:g} MB",
        "Cut the clip, or make it smaller: the model looks at small pictures a few times a second.",
    )
