"""What a capture process and the watch say to each other: a JSON object a line.

Only data is read back, never code: a stream that takes a capture over cannot reach the watch through this.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from service.watch.clock import Kind


@dataclass(frozen=True, slots=True)
class Request:
    """Open a source and hand its frames over.

    Attributes:
        opened: what OpenCV opens; in digits, the number of a camera.
        camera: whether it is one.
        options: for FFmpeg.
        live: whether the newest frame is wanted; otherwise every one is, in order.
        paced: whether frames are held back until their time has come. Live sources that have an end are always paced.
        loop: whether it begins again at its end.
        clock: whose time is believed.
        open_s, read_s: how long opening it, and the next frame, may take.
        max_pixels: of a frame.
        height: higher frames are scaled down to it; 0 leaves them.
    """

    opened: str
    camera: bool
    options: str
    live: bool
    paced: bool
    loop: bool
    clock: Kind
    open_s: float
    read_s: float
    max_pixels: int
    height: int


@dataclass(frozen=True, slots=True)
class Opened:
    """The source is open and its first frame has been read.

    Attributes:
        width, height: of every frame, in pixels.
        fps: frames a second as the container has it, or None where it says nothing credible.
        codec: the four-character code.
    """

    width: int
    height: int
    fps: float | None
    codec: str
    said: Literal["opened"] = "opened"


@dataclass(frozen=True, slots=True)
class Shot:
    """A frame lies in a slot.

    Attributes:
        slot: which.
        time_s: when it was, in seconds since the connection's first.
        arrived_s: when it came, by the clock of `time.monotonic`, which all processes of a machine share.
        jump: why it does not follow the one before, or None where it does.
        clock: whose time is believed by now.
        received, dropped: frames of this connection so far, and those of them that were never handed over.
    """

    slot: int
    time_s: float
    arrived_s: float
    jump: str | None
    clock: Kind
    received: int
    dropped: int
    said: Literal["shot"] = "shot"


@dataclass(frozen=True, slots=True)
class Over:
    """No frame follows.

    Attributes:
        detail: why, in words.
        opened: whether there were frames at all.
        complete: whether it is the end of a source that has one.
    """

    detail: str
    opened: bool
    complete: bool
    said: Literal["over"] = "over"


Said = Annotated[Opened | Shot | Over, Field(discriminator="said")]

_REQUEST: TypeAdapter[Request] = TypeAdapter(Request)
_SAID: TypeAdapter[Opened | Shot | Over] = TypeAdapter(Said)

WANT = 255
"""The byte that wants a frame and gives no slot back; any other byte gives that slot back, and wants a frame too."""


def write_request(request: Request) -> bytes:
    """A request as a line."""
    return _REQUEST.dump_json(request) + b"\n"


def read_request(line: bytes) -> Request:
    """The request of a line.

    Raises:
        ValidationError: it is none.
    """
    return _REQUEST.validate_json(line)


def write_said(said: Opened | Shot | Over) -> bytes:
    """What is said, as a line."""
    return _SAID.dump_json(said) + b"\n"


def read_said(line: bytes) -> Opened | Shot | Over:
    """What a line says.

    Raises:
        ValidationError: nothing that is known.
    """
    return _SAID.validate_json(line)
