"""The frames that a request carries, each with its timestamp."""

from __future__ import annotations

import asyncio
import math
from typing import NamedTuple

from fastapi import Request
from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartParser
from starlette.requests import ClientDisconnect

from service.errors import ClientGone, LimitExceeded, MalformedRequest, UnsupportedMedia, UploadStalled
from service.http.upload import Bounds, chunks, media_type, parse_form

FRAME, TIME = "frame", "time_s"
MOST_FRAMES = 256
_HOW = (
    "Send `-F time_s=0.1 -F frame=@frame.jpg`, the two as often as there are frames, or one frame as the body with "
    "time_s in the query."
)


class TimedFrame(NamedTuple):
    """An encoded frame and its timestamp in seconds."""

    time_s: float
    image: bytes


async def read_frames(request: Request, time_s: float | None, bounds: Bounds, frame_bytes: int) -> list[TimedFrame]:
    """Reads frames from the multipart fields `time_s` and `frame`, or one from the raw body.

    Args:
        request: whose body it is.
        time_s: the timestamp in the query, for a raw body.
        bounds: of the whole upload.
        frame_bytes: the most bytes of one frame.

    Raises:
        MalformedRequest: no frame, one without a time, a field that is not known, a broken multipart body.
        UnsupportedMedia: a content type that carries no frame.
        LimitExceeded: over a limit.
        UploadStalled: too slow.
        ClientGone: the client hung up.
    """
    kind = media_type(request)
    try:
        async with asyncio.timeout(bounds.timeout_s):
            if kind == "multipart/form-data":
                return await _from_form(request, bounds, frame_bytes)
            if kind.startswith("image/") or kind == "application/octet-stream":
                return [await _from_body(request, time_s, bounds, frame_bytes)]
    except TimeoutError as error:
        raise UploadStalled(
            f"the frames were not complete after {bounds.timeout_s:g} s", "Send fewer, or over a faster line."
        ) from error
    except ClientDisconnect as error:
        raise ClientGone("the client hung up during the upload") from error
    raise UnsupportedMedia(f"a body of type {kind} carries no frame", _HOW, kind)


async def _from_body(request: Request, time_s: float | None, bounds: Bounds, frame_bytes: int) -> TimedFrame:
    if time_s is None:
        raise MalformedRequest("the frame has no timestamp: time_s is missing in the query", _HOW)
    parts = bytearray()
    async for chunk in chunks(request, bounds, bounds.max_bytes):
        parts += chunk
        if len(parts) > frame_bytes:
            raise too_large(len(parts), frame_bytes)
    return _timed(time_s, bytes(parts), frame_bytes)


async def _from_form(request: Request, bounds: Bounds, frame_bytes: int) -> list[TimedFrame]:
    stream = chunks(request, bounds, bounds.max_bytes)
    parser = MultiPartParser(request.headers, stream, max_files=MOST_FRAMES, max_fields=MOST_FRAMES)
    parser.spool_max_size = bounds.max_bytes  # read at once, and never put on disk
    form = await parse_form(parser, _HOW)
    try:
        return await _pairs(form, frame_bytes)
    finally:
        await form.close()


async def _pairs(form: FormData, frame_bytes: int) -> list[TimedFrame]:
    unknown = sorted(set(form) - {FRAME, TIME})
    if unknown:
        raise MalformedRequest(f"unknown field {', '.join(unknown)}", _HOW)
    files = [one for one in form.getlist(FRAME) if isinstance(one, UploadFile)]
    times = [one for one in form.getlist(TIME) if isinstance(one, str)]
    if not files or len(files) != len(times):
        raise MalformedRequest(f"{len(files)} files {FRAME!r} and {len(times)} values {TIME!r}: not as many", _HOW)
    return [_timed(_seconds(time), await file.read(), frame_bytes) for time, file in zip(times, files, strict=True)]


def _seconds(text: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise MalformedRequest(f"time_s is {text[:40]!r}, which is no number of seconds", _HOW) from error


def _timed(time_s: float, image: bytes, frame_bytes: int) -> TimedFrame:
    checked(time_s, image, frame_bytes)
    return TimedFrame(time_s, image)


def checked(time_s: float, image: bytes, frame_bytes: int) -> None:
    """Refuses what can be no frame.

    Raises:
        MalformedRequest: no finite time, or no bytes.
        LimitExceeded: too many bytes.
    """
    if not math.isfinite(time_s):
        raise MalformedRequest("the frame's time_s is not a finite number of seconds", _HOW)
    if not image:
        raise MalformedRequest(f"the frame at {time_s:g} s is empty: 0 bytes", _HOW)
    if len(image) > frame_bytes:
        raise too_large(len(image), frame_bytes)


def too_large(size: int, frame_bytes: int) -> LimitExceeded:
    """The error for a frame of too many bytes."""
    return LimitExceeded(
        "KINEMA_MAX_FRAME_MB",
        f"{frame_bytes / 1e6:g} MB",
        f"the frame has {size} bytes or more; the limit is {frame_bytes / 1e6:g} MB",
        "Send smaller frames, or compress them more: the model looks at far smaller pictures.",
    )
