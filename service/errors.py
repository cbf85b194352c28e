"""Everything that can go wrong on purpose.

    KinemaError
    ├── ClipError                 the clip or the request is at fault
    │   ├── MalformedRequest      the request itself cannot be read
    │   ├── LimitExceeded         over a limit, which is named
    │   ├── UnsupportedMedia      not a video, or a codec that this build lacks
    │   ├── UndecodableClip       a video of which no frame could be decoded
    │   ├── SpanOutsideClip       the span asked for holds no moment of the clip
    │   ├── FrameRefused          a stream's frame whose time does not follow
    │   │   ├── FrameRepeated     one with the same timestamp has come already
    │   │   └── FrameOutOfOrder   one with a later timestamp has come already
    │   └── UploadStalled         the upload stopped arriving
    ├── ModelNotFound             no model of that name is loaded
    ├── StreamNotFound            no stream of that id has been here
    ├── StreamGone                the stream has ended
    ├── StateRefused              a stream's state that cannot go on here
    ├── Busy                      no slot is free: try again later
    ├── Unavailable               the service cannot work now
    │   ├── Starting              the model is not ready yet
    │   ├── Draining              the service is shutting down
    │   ├── NoRoom                no room on disk for an upload
    │   └── EngineDead            the engine has died or the golden clip disagreed
    ├── DeadlineExceeded          the time allowed has passed
    ├── ClientGone                the client hung up; nobody reads the answer
    ├── ImportRefused             a graph from elsewhere that cannot be made a bundle
    ├── BundleError               a bundle that cannot be served
    │   └── BundleMismatch        its card and its files contradict each other
    ├── SourceLost                a source that cannot be watched, or not any more
    └── MeasurementError          a server that cannot be measured

An error says in words what happened (`detail`) and what the caller can do about it (`advice`). How each becomes an
HTTP status is `service.http.problems`' business alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic import ValidationError


def faults(error: ValidationError, whole: str) -> str:
    """What is wrong with data from outside, field by field.

    Args:
        error: as pydantic raised it.
        whole: what the data are called, where no field is at fault.
    """
    return "; ".join(f"{'.'.join(map(str, one['loc'])) or whole}: {one['msg']}" for one in error.errors())


class KinemaError(Exception):
    """The root of the tree.

    Args:
        detail: what happened, one sentence.
        advice: what the caller can do about it, one sentence; empty where nothing helps.
    """

    def __init__(self, detail: str, advice: str = "") -> None:
        super().__init__(detail)
        self.detail = detail
        self.advice = advice


class ClipError(KinemaError):
    """The clip or the request is at fault."""


class MalformedRequest(ClipError):
    """The request cannot be read: a broken multipart body, an empty clip, an unknown field."""


class LimitExceeded(ClipError):
    """The clip is over a limit.

    Args:
        limit: the setting that was exceeded, for example `KINEMA_MAX_UPLOAD_MB`.
        maximum: its value in words, unit included.
    """

    def __init__(self, limit: str, maximum: str, detail: str, advice: str = "") -> None:
        super().__init__(detail, advice)
        self.limit = limit
        self.maximum = maximum


class UnsupportedMedia(ClipError):
    """The bytes are not a video that this build can read; `recognised` names what they look like, if anything."""

    def __init__(self, detail: str, advice: str = "", recognised: str | None = None) -> None:
        super().__init__(detail, advice)
        self.recognised = recognised


class UndecodableClip(ClipError):
    """A video, but no frame of it could be decoded."""


class SpanOutsideClip(ClipError):
    """The span asked for holds no moment of the clip."""


class FrameRefused(ClipError):
    """A stream's frame whose time does not follow on the frame before."""


class FrameRepeated(FrameRefused):
    """A frame with the same timestamp has come already."""


class FrameOutOfOrder(FrameRefused):
    """A frame with a later timestamp has come already."""


class UploadStalled(ClipError):
    """No byte of the upload arrived for longer than allowed."""


class ModelNotFound(KinemaError):
    """No model of that name is loaded."""


class StreamNotFound(KinemaError):
    """No stream of that id has been here."""


class StreamGone(KinemaError):
    """The stream has ended: deleted, expired, or with the socket that it belonged to."""


class StateRefused(KinemaError):
    """A stream's state that cannot go on here: of another model, or of a stream with other settings."""


class Busy(KinemaError):
    """Every slot is taken; `retry_after_s` estimates when one will be free."""

    def __init__(self, detail: str, advice: str = "", retry_after_s: float = 1.0) -> None:
        super().__init__(detail, advice)
        self.retry_after_s = retry_after_s


class Unavailable(KinemaError):
    """The service cannot work now; `retry_after_s` says when to ask again."""

    def __init__(self, detail: str, advice: str = "", retry_after_s: float = 5.0) -> None:
        super().__init__(detail, advice)
        self.retry_after_s = retry_after_s


class Starting(Unavailable):
    """The model is being loaded, warmed or checked."""


class Draining(Unavailable):
    """The service is shutting down and takes no new work."""


class NoRoom(Unavailable):
    """There is no place to put an upload that is too large to be kept in memory."""


class EngineDead(Unavailable):
    """The engine has died, or the golden clip did not give the expected answer."""


class DeadlineExceeded(KinemaError):
    """The time allowed for a request has passed."""


class ClientGone(KinemaError):
    """The client hung up before it could be answered."""


class BundleError(KinemaError):
    """A bundle that cannot be served: no card, or a card that is not valid."""


class BundleMismatch(BundleError):
    """The card and the files of a bundle contradict each other; the detail names both sides."""


class ImportRefused(KinemaError):
    """A graph from elsewhere that cannot be made a bundle, or not yet: something is missing or contradicts it."""


class SourceLost(KinemaError):
    """A camera, stream or file that cannot be watched, or that was lost and did not come back."""


class MeasurementError(KinemaError):
    """A server that cannot be measured: it is not there, is not ready, or does not answer a lone clip."""
