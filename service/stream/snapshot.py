"""A stream's state on its way to another replica: versioned, checksummed, and of no use to any other model.

The bytes are a line of magic, the length of a header (4 bytes, big-endian), the header in JSON, the arrays one after
another (little-endian, in the header's order), and the sha256 of all that.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, ValidationError

from service.errors import MalformedRequest, StateRefused
from service.inference.card import Card
from service.video.spec import Part

_MAGIC = b"kinema stream 1\n"
_LENGTH, _DIGEST = 4, 32
_HOW = "Send what GET of a stream's state gave, unchanged."
_MOST_ARRAYS = 64
# Beyond it a float skips whole numbers; no stream lives that long.
_MOST = 2**53

Count = Annotated[int, Field(ge=0, le=_MOST)]
Side = Annotated[int, Field(ge=1, le=2**31)]
Finite = Annotated[float, Field(allow_inf_nan=False)]


class _Array(Part):
    name: str
    dtype: Literal["float32", "uint8"]
    shape: tuple[Side, ...] = Field(max_length=5)

    @property
    def bytes(self) -> int:
        return math.prod(self.shape) * np.dtype(self.dtype).itemsize


class _Run(Part):
    start_s: Finite
    moments: Count
    skipped: Count
    due: Finite
    last_s: Finite
    untold: bool
    memory: dict[str, Any]
    chain: dict[str, Any]


class _Follower(Part):
    fps: Finite
    gap_s: Finite
    start_s: Finite | None
    upto: Count
    last_s: Finite | None
    interval_s: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None


class _Counts(Part):
    received: Count
    used: Count
    dropped: Count
    padded: Count


class _Values(Part):
    run: _Run | None
    follower: _Follower
    counts: _Counts


class _Header(Part):
    model: str
    model_sha256: str
    values: _Values
    arrays: tuple[_Array, ...] = Field(max_length=_MOST_ARRAYS)


class Snapshot(NamedTuple):
    """What `Stream.dump` gives and `Stream.load` takes."""

    values: Mapping[str, Any]
    arrays: Mapping[str, NDArray[Any]]


def model_sha256(card: Card) -> str:
    """What a model is, as far as streams are concerned: the sha256 of its card, files' sums included."""
    return hashlib.sha256(card.model_dump_json().encode()).hexdigest()


def pack(card: Card, snapshot: Snapshot) -> bytes:
    """A snapshot as bytes."""
    laid = {name: np.ascontiguousarray(value) for name, value in snapshot.arrays.items()}
    header = {
        "model": f"{card.name} {card.version}",
        "model_sha256": model_sha256(card),
        "values": snapshot.values,
        "arrays": [{"name": name, "dtype": str(value.dtype), "shape": value.shape} for name, value in laid.items()],
    }
    told = json.dumps(header).encode()
    body = b"".join((_MAGIC, len(told).to_bytes(_LENGTH), told, *(value.tobytes() for value in laid.values())))
    return body + hashlib.sha256(body).digest()


def unpack(card: Card, data: bytes) -> Snapshot:
    """The snapshot that bytes are.

    Args:
        card: of the model that is to go on with it.
        data: as `pack` made them.

    Raises:
        MalformedRequest: they are no snapshot, or were changed on their way.
        StateRefused: the snapshot is of another model.
    """
    if not data.startswith(_MAGIC):
        raise MalformedRequest("these bytes are no state of a stream, or of a version that is not known here", _HOW)
    body, digest = data[:-_DIGEST], data[-_DIGEST:]
    if hashlib.sha256(body).digest() != digest:
        raise MalformedRequest("the state was changed or cut off on its way: its checksum is wrong", _HOW)
    start = len(_MAGIC) + _LENGTH
    length = int.from_bytes(body[len(_MAGIC) : start])
    try:
        header = _Header.model_validate_json(body[start : start + length])
    except ValidationError as error:
        fault = error.errors()[0]
        where = ".".join(map(str, fault["loc"]))
        raise MalformedRequest(f"the state's header cannot be read: {where}: {fault['msg']}", _HOW) from error
    if header.model_sha256 != model_sha256(card):
        raise StateRefused(
            f"the state is of the model {header.model}, not of the {card.name} {card.version} that is served here",
            "Go on with it where that model is served, or begin anew.",
        )
    return Snapshot(header.values.model_dump(), _arrays(header.arrays, body[start + length :]))


def _arrays(told: tuple[_Array, ...], data: bytes) -> dict[str, NDArray[Any]]:
    if sum(one.bytes for one in told) != len(data):
        raise MalformedRequest("the state's arrays are not as long as its header says", _HOW)
    arrays: dict[str, NDArray[Any]] = {}
    position = 0
    for one in told:
        part = data[position : position + one.bytes]
        arrays[one.name] = value = np.frombuffer(part, one.dtype).reshape(one.shape).copy()
        if not np.isfinite(value).all():
            raise MalformedRequest(f"the state's {one.name} holds what is no number", _HOW)
        position += one.bytes
    return arrays
