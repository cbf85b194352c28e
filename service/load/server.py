"""The server that is put under load, and the clips that are posted to it."""

from __future__ import annotations

import itertools
import mimetypes
import time
from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx2

from service.errors import MalformedRequest, MeasurementError
from service.load.work import ANSWERED, CONNECTION, TIMEOUT

# The service's own deadlines are shorter; this is for servers that never answer.
_TIMEOUT_S = 120.0
# Clips posted alone: enough for a median; of many clips not all, as each takes its time.
_FEWEST_ALONE, _MOST_ALONE = 5, 20


@dataclass(frozen=True, slots=True)
class Clip:
    """A clip as it is posted."""

    path: Path
    data: bytes
    content_type: str

    @classmethod
    def read(cls, path: Path) -> Self:
        """Reads a clip.

        Raises:
            MalformedRequest: it cannot be read, or is empty.
        """
        try:
            data = path.read_bytes()
        except OSError as error:
            raise MalformedRequest(f"{path} cannot be read: {error.strerror}", "Check the path.") from error
        if not data:
            raise MalformedRequest(f"{path} is empty: 0 bytes")
        kind = mimetypes.guess_type(path.name)[0] or ""
        carries = kind.startswith("video/") or kind == "image/gif"
        return cls(path, data, kind if carries else "application/octet-stream")


class Server:
    """A Kinema server, seen over HTTP; use it in an `async with` block.

    Args:
        url: where it listens, without the path of an endpoint.
        connections: to it, at most.

    Raises:
        MeasurementError: the URL is none.
    """

    def __init__(self, url: str, connections: int) -> None:
        self.url = url.rstrip("/")
        try:
            parsed = httpx2.URL(self.url)
        except httpx2.InvalidURL as error:
            raise MeasurementError(f"{url} is not a URL: {error}") from error
        if parsed.scheme not in {"http", "https"} or not parsed.host:
            raise MeasurementError(f"{url} is not the URL of a server", "Give one like http://localhost:8000.")
        self._client = httpx2.AsyncClient(
            limits=httpx2.Limits(max_connections=connections, max_keepalive_connections=connections),
            timeout=_TIMEOUT_S,
            trust_env=False,  # a proxy in between would be measured too
        )

    async def __aenter__(self) -> Self:
        await self._client.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._client.__aexit__(kind, error, trace)

    async def check_ready(self) -> None:
        """Returns if the server is ready.

        Raises:
            MeasurementError: it cannot be reached, is not ready, or is no Kinema server.
        """
        try:
            response = await self._client.get(f"{self.url}/readyz")
        except httpx2.TransportError as error:
            raise MeasurementError(
                f"{self.url} cannot be reached: {str(error) or type(error).__name__}",
                "Start a server with `kinema serve`, or check the URL.",
            ) from error
        told = _json(response)
        if response.status_code == HTTPStatus.SERVICE_UNAVAILABLE:
            checks = told.get("checks")
            unmet = [name for name, one in checks.items() if not one.get("ok")] if isinstance(checks, dict) else []
            which = f" (does not hold: {', '.join(unmet)})" if unmet else ""
            raise MeasurementError(f"{self.url} is not ready{which}", "Wait until /readyz answers 200.")
        if response.status_code != HTTPStatus.OK or "checks" not in told:
            raise MeasurementError(
                f"{self.url}/readyz answers {response.status_code}, not as a Kinema server does",
                "Give the URL without a path, like http://localhost:8000.",
            )

    async def post(self, clip: Clip) -> httpx2.Response:
        """Posts a clip as a raw body.

        Raises:
            TransportError: of httpx2; no answer came.
        """
        return await self._client.post(
            f"{self.url}/predict", content=clip.data, headers={"Content-Type": clip.content_type}
        )


class PostClips:
    """Work: clips are posted in turn."""

    noun = "clips"

    def __init__(self, server: Server, clips: Sequence[Clip]) -> None:
        self._server = server
        self._clips = clips
        self._turn = itertools.cycle(clips)

    async def do(self) -> str:
        try:
            response = await self._server.post(next(self._turn))
        except httpx2.TimeoutException:
            return TIMEOUT
        except httpx2.TransportError:
            return CONNECTION
        return str(response.status_code)

    async def alone(self) -> list[float]:
        """Posts clips one after the other.

        Returns:
            Seconds that each took, ascending.

        Raises:
            MeasurementError: the server does not answer one of them.
        """
        count = min(max(_FEWEST_ALONE, len(self._clips)), _MOST_ALONE)
        return sorted([await self._alone(clip) for clip in itertools.islice(itertools.cycle(self._clips), count)])

    async def _alone(self, clip: Clip) -> float:
        posted_s = time.perf_counter()
        try:
            response = await self._server.post(clip)
        except httpx2.TransportError as error:
            raise MeasurementError(
                f"{self._server.url} does not answer {clip.path}: {str(error) or type(error).__name__}"
            ) from error
        if str(response.status_code) != ANSWERED:
            told = _json(response)
            raise MeasurementError(
                f"{clip.path} is answered with {response.status_code}: {told.get('detail', response.reason_phrase)}",
                str(told.get("advice", "")),
            )
        return time.perf_counter() - posted_s


def _json(response: httpx2.Response) -> dict[str, object]:
    try:
        told = response.json()
    except ValueError:
        return {}
    return told if isinstance(told, dict) else {}
