"""What a decoder process and the service say to each other: a JSON object a line.

Only data is read back, never code: a clip that takes a decoder over cannot reach the service through this.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Any, Literal, get_args

from pydantic import Field, TypeAdapter

from service import errors
from service.video.decode import Decoded, DecodeTask
from service.video.look import Looked, LookTask
from service.video.probe import Probed
from service.video.source import Limits


@dataclass(frozen=True, slots=True)
class DecodeJob:
    """Decode a clip. Its descriptor and its canvas' come with the line.

    Attributes:
        cpu_s: seconds of CPU after which the process ends, as a last resort.
    """

    task: DecodeTask
    cpu_s: int
    job: Literal["decode"] = "decode"


@dataclass(frozen=True, slots=True)
class ProbeJob:
    """Read what a clip says of itself. Its descriptor comes with the line."""

    limits: Limits
    cpu_s: int
    job: Literal["probe"] = "probe"


@dataclass(frozen=True, slots=True)
class LookJob:
    """Look at one frame, which is on the slate.

    Attributes:
        new_slate: whether a slate comes with the line, for this job and those after it.
        beside: whether the frame is too large for the slate, and comes with the line, too, behind it.
    """

    task: LookTask
    cpu_s: int
    new_slate: bool
    beside: bool
    job: Literal["look"] = "look"


@dataclass(frozen=True, slots=True)
class FeedJob:
    """Decode a video that is still arriving. The end of a pipe that it comes through and a screen's come with the line.

    The process says of each frame that it was `Grabbed`, and is answered whether to show it.
    """

    limits: Limits
    cpu_s: int
    job: Literal["feed"] = "feed"


@dataclass(frozen=True, slots=True)
class Answered:
    """The answer to `Grabbed`: whether the frame is wanted."""

    wanted: bool


@dataclass(frozen=True, slots=True)
class Ready:
    """The process can take a job."""

    said: Literal["ready"] = "ready"


@dataclass(frozen=True, slots=True)
class Taken:
    """The process has a job; should it die now, it may be of the job."""

    said: Literal["taken"] = "taken"


@dataclass(frozen=True, slots=True)
class Painted:
    """Pictures are on the canvas: kind, window and step of each."""

    pictures: tuple[tuple[str, int, int], ...]
    said: Literal["painted"] = "painted"


@dataclass(frozen=True, slots=True)
class Grabbed:
    """There is a frame with this timestamp."""

    time_s: float
    said: Literal["grabbed"] = "grabbed"


@dataclass(frozen=True, slots=True)
class Shown:
    """The frame that was wanted is on the screen."""

    width: int
    height: int
    said: Literal["shown"] = "shown"


@dataclass(frozen=True, slots=True)
class Fed:
    """A video that arrived has ended: after so many frames."""

    frames: int


@dataclass(frozen=True, slots=True)
class Done:
    """The job is done.

    Attributes:
        started_s, ended_s: by the clock of `time.perf_counter`, which all processes of a machine share.
        cpu_s: seconds of CPU that it took.
    """

    result: Decoded | Probed | Looked | Fed
    started_s: float
    ended_s: float
    cpu_s: float
    said: Literal["done"] = "done"


@dataclass(frozen=True, slots=True)
class Failed:
    """The clip is at fault, by one of the errors of `service.errors`.

    Attributes:
        error: the name of its class.
        given: what it is made of.
    """

    error: str
    given: dict[str, str | None]
    said: Literal["failed"] = "failed"


@dataclass(frozen=True, slots=True)
class Stopped:
    """The job was stopped because nobody wants the rest."""

    said: Literal["stopped"] = "stopped"


AnyJob = DecodeJob | ProbeJob | LookJob | FeedJob
Job = Annotated[AnyJob, Field(discriminator="job")]
AnySaid = Ready | Taken | Painted | Grabbed | Shown | Done | Failed | Stopped
Said = Annotated[AnySaid, Field(discriminator="said")]

# Looks come many times a second, and there are but few different ones.
_KEPT = 64

_JOB: TypeAdapter[AnyJob] = TypeAdapter(Job)
_SAID: TypeAdapter[AnySaid] = TypeAdapter(Said)


def write_job(job: AnyJob) -> bytes:
    """A job as a line."""
    return _look_line(job) if isinstance(job, LookJob) else _JOB.dump_json(job) + b"\n"


@lru_cache(maxsize=_KEPT)
def _look_line(job: LookJob) -> bytes:
    return _JOB.dump_json(job) + b"\n"


@lru_cache(maxsize=_KEPT)
def read_job(line: bytes) -> AnyJob:
    """The job of a line.

    Raises:
        ValidationError: it is none.
    """
    return _JOB.validate_json(line)


# One type's adapter need not find out which of many it has.
_ONE: Mapping[type, TypeAdapter[Any]] = {kind: TypeAdapter(kind) for kind in get_args(AnySaid)}
_ANSWERED: TypeAdapter[Answered] = TypeAdapter(Answered)


def write_answer(answer: Answered) -> bytes:
    """An answer as a line."""
    return _ANSWERED.dump_json(answer) + b"\n"


def read_answer(line: bytes) -> Answered:
    """The answer of a line.

    Raises:
        ValidationError: it is none.
    """
    return _ANSWERED.validate_json(line)


def write_said(said: AnySaid) -> bytes:
    """What is said, as a line."""
    return _ONE[type(said)].dump_json(said) + b"\n"


def read_said(line: bytes) -> AnySaid:
    """What a line says.

    Raises:
        ValidationError: nothing that is known.
    """
    return _SAID.validate_json(line)


def failed(error: errors.ClipError) -> Failed:
    """An error, to be raised again in the service."""
    return Failed(type(error).__name__, dict(vars(error)))


def raised(failure: Failed) -> errors.ClipError:
    """The error of a failure.

    Raises:
        ValueError: no error of the clip has that name.
    """
    kind = getattr(errors, failure.error, None)
    if not (isinstance(kind, type) and issubclass(kind, errors.ClipError)):
        raise ValueError(f"{failure.error!r} is no error of a clip")
    error: errors.ClipError = kind(**failure.given)  # type: ignore[arg-type]  # each takes what it was made of
    return error
