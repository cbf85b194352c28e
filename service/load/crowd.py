"""So many cameras at once for a while, and what came of it."""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from service.load.camera import Camera, Shown, Take, Turned
from service.load.film import Film
from service.load.step import Goal, Step, percentile
from service.load.work import ANSWERED, REFUSED

# Cameras are not in step: each begins at a moment of its own within so many seconds.
_APART_S = 2.0
# The same moments at every run, so that two runs differ by what was measured alone.
_SEED = 0
_OPENING = 8
_LOOK_S = 0.05
# What becomes of a frame beside an HTTP status.
DROPPED, PROBLEM = "dropped", "problem"


@dataclass(frozen=True, slots=True)
class Scene:
    """What cameras send, and what they want.

    Attributes:
        url: of the server.
        films: sent in turn, one a camera.
        every_s: seconds of the stream between two answers; 0 for one at every moment that is looked at.
        seconds: how long is measured.
        settle_s: for how many seconds all cameras send before that.
    """

    url: str
    films: Sequence[Film]
    every_s: float
    seconds: float
    settle_s: float = 2.0

    @property
    def hello(self) -> dict[str, Any]:
        """The first message of a camera."""
        return {"every_s": self.every_s, "top_k": 1, "drop": "oldest"}

    @property
    def whole_s(self) -> float:
        """Seconds in which frames are due, from the first camera's first."""
        return _APART_S + self.settle_s + self.seconds

    def answers(self, film: Film, model_fps: float) -> float:
        """How many answers one camera is owed while it is measured."""
        a_second = min(film.fps, model_fps)
        return self.seconds * (min(a_second, 1 / self.every_s) if self.every_s else a_second)


class Crowd:
    """Cameras side by side; use it once.

    Args:
        scene: what they do.
        count: how many.
        goal: ends everything as soon as this is missed whatever comes; None goes on to the end.
    """

    def __init__(self, scene: Scene, count: int, goal: Goal | None) -> None:
        self._scene = scene
        self._count = count
        self._goal = goal
        self._late = 0
        self._owed = 0.0
        self._outcomes: Counter[str] = Counter()
        self._from_s = self._until_s = 0.0
        self._cut_short = False
        self.takes: list[Take] = []
        """What came of each camera, once `run` has ended."""

    async def run(self, tick: Callable[[float], None] = lambda _: None) -> Step:
        """Opens all cameras, lets them send, and waits for the last answer.

        Args:
            tick: told now and then how many seconds have passed since the first frame.

        Raises:
            MeasurementError: a stream cannot begin for another reason than want of room.
        """
        cameras = await self._open()
        begun_s = time.perf_counter() + _LOOK_S
        self._from_s = begun_s + _APART_S + self._scene.settle_s
        self._until_s = self._from_s + self._scene.seconds
        dice = random.Random(_SEED)  # noqa: S311 - no secret
        running = [
            asyncio.create_task(self._run(camera, film, begun_s + dice.uniform(0, _APART_S)))
            for camera, film in cameras
        ]
        while running and not all(task.done() for task in running):
            await asyncio.wait(running, timeout=_LOOK_S)
            tick(time.perf_counter() - begun_s)
            self._cut_where_out_of_reach()
        self.takes = [task.result() for task in running]
        return self._step()

    async def _open(self) -> list[tuple[Camera, Film]]:
        gate = asyncio.Semaphore(_OPENING)

        async def one(film: Film) -> tuple[Camera, Film] | None:
            async with gate:
                try:
                    return await Camera.open(self._scene.url, self._scene.hello, self._hear), film
                except Turned:
                    return None

        films = itertools.islice(itertools.cycle(self._scene.films), self._count)
        opened = [found for found in await asyncio.gather(*map(one, films)) if found is not None]
        if opened:
            camera, film = opened[0]
            each = self._scene.answers(film, camera.model_fps)
            self._owed = each * self._count
            self._outcomes[REFUSED] = round(each * (self._count - len(opened)))
        return opened

    async def _run(self, camera: Camera, film: Film, start_s: float) -> Take:
        return await camera.run(film, start_s, lambda number: start_s + film.time_s(number) >= self._until_s)

    def _measured(self, shown: Shown) -> bool:
        return self._from_s <= shown.due_s < self._until_s

    def _hear(self, shown: Shown) -> None:
        if self._goal is not None and self._measured(shown):
            self._late += shown.latency_s > self._goal.p95_s

    def _cut_where_out_of_reach(self) -> None:
        if self._goal is None or self._cut_short:
            return
        if self._goal.out_of_reach(round(self._owed), self._late, self._outcomes[REFUSED]):
            self._until_s = min(self._until_s, time.perf_counter())
            self._cut_short = True

    def _step(self) -> Step:
        shown = [one for take in self.takes for one in take.answers if self._measured(one)]
        outcomes = self._outcomes + Counter({ANSWERED: len(shown)})
        for take in self.takes:
            before = [one.dropped for one in take.answers if one.due_s < self._from_s]
            outcomes[DROPPED] += max(0, take.dropped - max(before, default=0))
            outcomes[PROBLEM] += len(take.problems)
            if take.broken is not None:
                outcomes[take.broken] += 1
        outcomes = +outcomes
        return Step(
            rate=self._count,
            seconds=self._until_s - self._from_s,
            sent=outcomes.total(),
            outcomes=dict(outcomes),
            latencies_s=sorted(one.latency_s for one in shown),
            finished=sum(self._from_s <= one.came_s < self._until_s for take in self.takes for one in take.answers),
            cut_short=self._cut_short,
            lag_s=percentile(sorted(lag_s for take in self.takes for lag_s in take.lags_s), 95) or 0.0,
        )
