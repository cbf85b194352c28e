"""The one table from errors to RFC 9457 problems."""

from __future__ import annotations

import math
from http import HTTPStatus
from typing import Any, NamedTuple

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from service import errors

MEDIA_TYPE = "application/problem+json"
_CLIENT_CLOSED_REQUEST = 499
_BUG = "Please report it with the request_id; what was sent is not at fault."
# What some errors have besides.
_MORE = ("limit", "maximum", "recognised")


class Kind(NamedTuple):
    """What an error becomes."""

    status: int
    slug: str
    title: str


TABLE: dict[type[errors.KinemaError], Kind] = {
    errors.MalformedRequest: Kind(400, "malformed-request", "The request cannot be read"),
    errors.ModelNotFound: Kind(404, "no-such-model", "No such model"),
    errors.StreamNotFound: Kind(404, "no-such-stream", "No such stream"),
    errors.StateRefused: Kind(409, "state-refused", "The state belongs elsewhere"),
    errors.StreamGone: Kind(410, "stream-gone", "The stream has ended"),
    errors.FrameRepeated: Kind(422, "frame-repeated", "A frame of that time has come already"),
    errors.FrameOutOfOrder: Kind(422, "frame-out-of-order", "A later frame has come already"),
    errors.UploadStalled: Kind(408, "upload-stalled", "The upload stalled"),
    errors.LimitExceeded: Kind(413, "limit-exceeded", "Over a limit"),
    errors.UnsupportedMedia: Kind(415, "unsupported-media", "Not a video that can be read"),
    errors.UndecodableClip: Kind(422, "undecodable-clip", "No frame could be decoded"),
    errors.SpanOutsideClip: Kind(422, "span-outside-clip", "The span lies outside the clip"),
    errors.Busy: Kind(429, "busy", "No slot is free"),
    errors.ClientGone: Kind(_CLIENT_CLOSED_REQUEST, "client-gone", "The client hung up"),
    errors.Starting: Kind(503, "starting", "Not ready yet"),
    errors.Draining: Kind(503, "draining", "Shutting down"),
    errors.NoRoom: Kind(503, "no-room", "No room for the upload"),
    errors.EngineDead: Kind(503, "engine-dead", "The engine cannot answer"),
    errors.DeadlineExceeded: Kind(504, "deadline-exceeded", "No answer in time"),
}
INVALID = Kind(422, "invalid-parameter", "A parameter is not valid")
INTERNAL = Kind(500, "internal-error", "A bug of ours")


class Problem(BaseModel):
    """An RFC 9457 problem: what went wrong and what the caller can do about it."""

    type: str = Field(description="names the kind of problem; stable", examples=["urn:kinema:problem:limit-exceeded"])
    title: str = Field(description="the kind in words", examples=["Over a limit"])
    status: int = Field(description="the HTTP status", examples=[413])
    detail: str = Field(
        description="what happened this time",
        examples=["the clip lasts 812.0 s; the limit is 600 s"],
    )
    advice: str = Field(description="what to do about it", examples=["Cut the clip into shorter ones and send each."])
    request_id: str = Field(description="find it in the logs by this", examples=["5f1c0e9a7d3b4c21"])
    limit: str | None = Field(None, description="413: the setting exceeded", examples=["KINEMA_MAX_DURATION_S"])
    maximum: str | None = Field(None, description="413: its value", examples=["600 s"])
    recognised: str | None = Field(None, description="415: what the bytes look like")
    errors: list[dict[str, str]] | None = Field(None, description="422: each parameter at fault, and why")


def responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """OpenAPI's description of these problems."""
    titles = {kind.status: kind.title for kind in (*TABLE.values(), INVALID, INTERNAL)}
    return {
        status: {"model": Problem, "description": titles[status], "content": {MEDIA_TYPE: {}}} for status in statuses
    }


def install(app: FastAPI) -> None:
    """Answers every error of the application with a problem."""
    app.add_exception_handler(errors.KinemaError, _kinema_error)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(Exception, _bug)


def answer(
    request: Request, kind: Kind, detail: str, advice: str, headers: dict[str, str] | None = None, **more: object
) -> JSONResponse:
    """A problem as a response; `more` are members that this kind of problem has besides."""
    return _response(_made(kind, detail, advice, _request_id(request), **more), headers)


def _request_id(request: Request) -> str:
    return getattr(request.state, "request_id", "")


def _response(made: Problem, headers: dict[str, str] | None) -> JSONResponse:
    return JSONResponse(made.model_dump(exclude_none=True), made.status, headers, MEDIA_TYPE)


def problem(error: Exception, request_id: str) -> Problem:
    """The problem that an error is, where there is no response to put it into."""
    if not isinstance(error, errors.KinemaError):
        return _made(INTERNAL, f"an unexpected {type(error).__name__}", _BUG, request_id)
    more = {name: getattr(error, name) for name in _MORE if hasattr(error, name)}
    return _made(kind_of(error), error.detail, error.advice, request_id, **more)


def kind_of(error: errors.KinemaError) -> Kind:
    """What an error becomes."""
    return next((TABLE[base] for base in type(error).__mro__ if base in TABLE), INTERNAL)


def _made(kind: Kind, detail: str, advice: str, request_id: str, **more: object) -> Problem:
    return Problem(
        type=f"urn:kinema:problem:{kind.slug}",
        title=kind.title,
        status=kind.status,
        detail=detail,
        advice=advice,
        request_id=request_id,
        **more,
    )


async def _kinema_error(request: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, errors.KinemaError):  # starlette's signature is wider than what it calls this with
        raise error
    headers: dict[str, str] = {}
    if isinstance(error, errors.Busy | errors.Unavailable):
        headers["Retry-After"] = str(max(1, math.ceil(error.retry_after_s)))
    if isinstance(error, errors.LimitExceeded | errors.UploadStalled):
        # Part of the body is unread and stays so; what follows on this connection could not be understood.
        headers["Connection"] = "close"
    return _response(problem(error, _request_id(request)), headers)


async def _invalid(request: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, RequestValidationError):
        raise error
    faults = [
        {"parameter": ".".join(str(part) for part in fault["loc"][1:]) or str(fault["loc"][0]), "message": fault["msg"]}
        for fault in error.errors()
    ]
    detail = "; ".join(f"{fault['parameter']}: {fault['message']}" for fault in faults)
    return answer(request, INVALID, detail, "Correct the parameters named in `errors`; /docs lists all.", errors=faults)


async def _http_error(request: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, HTTPException):
        raise error
    status = HTTPStatus(error.status_code)
    kind = Kind(status.value, status.name.lower().replace("_", "-"), status.phrase)
    detail = f"{request.method} {request.url.path}: {status.phrase.lower()}"
    return answer(request, kind, detail, "See /docs for what this service answers.", dict(error.headers or {}))


async def _bug(request: Request, error: Exception) -> JSONResponse:
    return answer(request, INTERNAL, f"an unexpected {type(error).__name__}", _BUG)
