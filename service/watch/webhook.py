"""Posts events to a URL, in their order, and holds nothing up."""

from __future__ import annotations

import asyncio
import json
import random
import uuid
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version
from types import TracebackType
from typing import Any, Self

import httpx2

from service.watch import facts
from service.watch.address import masked

_AGAIN = {408, 425, 429}
_LONGEST_DELAY_S = 30.0


@dataclass(frozen=True, slots=True)
class Patience:
    """How hard it is tried.

    Attributes:
        waiting: messages that may wait; beyond them the oldest is given up.
        attempts: tries for each message.
        first_delay_s: before the second try; doubled before each that follows.
        timeout_s: for each try.
        ending_s: for what still waits when the watch ends.
    """

    waiting: int = 100
    attempts: int = 8
    first_delay_s: float = 0.5
    timeout_s: float = 10.0
    ending_s: float = 5.0


class Webhook:
    """Messages to one URL. Use it in an `async with` block.

    A message that was given up is told and counted. Every try for one message has the same `Idempotency-Key`: where an
    answer got lost, the receiver knows the second by it.

    Args:
        url: where to; a user and password in it are sent as HTTP Basic.
        tell: told of what is given up.
        patience: how hard it is tried.
    """

    def __init__(self, url: str, tell: facts.Tell, patience: Patience = Patience()) -> None:
        self.posted = self.lost = 0
        """Messages that got there, and those that were given up."""
        self._url = url
        self._tell = tell
        self._patience = patience
        self._waiting: deque[bytes] = deque()
        self._changed = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._client = httpx2.AsyncClient(timeout=patience.timeout_s)
        self._task: asyncio.Task[None] | None = None

    def post(self, message: dict[str, Any]) -> None:
        """Lets a message follow those that wait."""
        if len(self._waiting) == self._patience.waiting:
            self._waiting.popleft()
            self._give_up("too many wait; the oldest was given up")
        self._waiting.append(json.dumps(message).encode())
        self._changed.set()
        self._idle.clear()

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._work())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(self._patience.ending_s):
                await self._idle.wait()
        assert self._task is not None
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task
        await self._client.aclose()
        if not self._idle.is_set():
            self.lost += len(self._waiting)
            self._give_up("the watch ended before it got there")

    async def _work(self) -> None:
        while True:
            await self._changed.wait()
            while self._waiting:
                await self._deliver(self._waiting.popleft())
            self._changed.clear()
            self._idle.set()

    async def _deliver(self, body: bytes) -> None:
        """Posts a message until it gets there or is given up."""
        headers = {
            "Content-Type": "application/json",
            "Idempotency-Key": str(uuid.uuid4()),
            "User-Agent": f"kinema/{version('kinema')}",
        }
        detail, asked_s = "", 0.0
        for attempt in range(self._patience.attempts):
            if attempt:
                await asyncio.sleep(self._delay_s(attempt, asked_s))
            detail, asked_s, again = await self._try(body, headers)
            if not detail:
                self.posted += 1
                return
            if not again:
                break
        self._give_up(detail)

    async def _try(self, body: bytes, headers: dict[str, str]) -> tuple[str, float, bool]:
        """What went wrong, or nothing; how long the receiver asks to wait; and whether it may go better again."""
        try:
            response = await self._client.post(self._url, content=body, headers=headers)
        except httpx2.TransportError as error:
            return f"{masked(self._url)}: {str(error) or type(error).__name__}", 0.0, True
        status = response.status_code
        if response.is_success:
            return "", 0.0, False
        asked = response.headers.get("Retry-After", "")
        return (
            f"{masked(self._url)} answered {status}",
            float(asked) if asked.isdecimal() else 0.0,
            status in _AGAIN or status >= 500,
        )

    def _delay_s(self, attempt: int, asked_s: float) -> float:
        backoff_s = self._patience.first_delay_s * 2.0 ** (attempt - 1) * random.uniform(0.5, 1)  # noqa: S311
        return min(max(backoff_s, asked_s), _LONGEST_DELAY_S)

    def _give_up(self, detail: str) -> None:
        self.lost += 1
        self._tell(facts.Trouble("webhook", detail, self.lost))
