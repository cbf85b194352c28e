"""`kinema bench`: measures a server from the first probe to the verdict."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from service.errors import KinemaError, MeasurementError
from service.load.offer import MOST_UNITS, Pace, offer
from service.load.report import Report
from service.load.search import search
from service.load.server import Clip, PostClips, Server
from service.load.step import Goal
from service.load.tell import Bar, tell
from service.load.work import ANSWERED, Work

FOUND, NOT_FOUND, INTERRUPTED = 0, 1, 130

# The search begins where about half the time of one worker would be taken.
_FIRST_LOAD = 0.5
# After a rate that was too high, how often a lone unit is tried again until it is answered.
_CALM_TRY_S = 0.2


def bench(
    url: str,
    paths: Sequence[Path],
    goal: Goal,
    pace: Pace,
    rate: float | None = None,
    as_json: bool = False,
    calm_s: float = 15.0,
) -> int:
    """Finds the highest rate that a server carries, or measures one rate, and tells it on standard output.

    Args:
        url: of the server, without the path of an endpoint.
        paths: of clips that are posted in turn.
        goal: when a rate is carried.
        pace: how each step is made.
        rate: clips a second; None searches.
        as_json: one JSON object instead of a table.
        calm_s: seconds within which the server has to answer a lone clip again after a rate that was too high.

    Returns:
        The exit code: 0 where a rate was carried, 1 where none was, 130 after Ctrl-C.

    Raises:
        MalformedRequest: a clip cannot be read.
        MeasurementError: the server cannot be reached, is not ready, or stopped answering; what was found until then
            has been told.
    """
    if rate is not None and rate > pace.highest_rate:
        raise MeasurementError(
            f"{rate:g} clips/s for {pace.whole_s:g} s are more than {MOST_UNITS}", "Lower --rate or --seconds."
        )
    clips = [Clip.read(path) for path in paths]
    report = Report(url, PostClips.noun, [str(path) for path in paths], goal, pace)
    return conclude(lambda: asyncio.run(_bench(clips, rate, report, calm_s)), report, as_json)


def conclude(measure: Callable[[], None], report: Report, as_json: bool) -> int:
    """Measures, and tells what was found until the end, whatever that is.

    Returns:
        The exit code.

    Raises:
        KinemaError: as `measure` does.
    """
    try:
        measure()
    except KeyboardInterrupt:
        report.interrupted = True
    except KinemaError:
        if report.steps:
            tell(report, as_json)
        raise
    tell(report, as_json)
    return INTERRUPTED if report.interrupted else NOT_FOUND if report.carried is None else FOUND


async def _bench(clips: Sequence[Clip], rate: float | None, report: Report, calm_s: float) -> None:
    async with Server(report.url, report.pace.connections) as server:
        await server.check_ready()
        work = PostClips(server, clips)
        with Bar() as bar:
            bar.begin("without load", None)
            report.alone_s = await work.alone()
            steps = _Steps(work, report, bar, calm_s)
            if rate is not None:
                await steps.make(rate, None)
            elif not report.too_slow_alone:
                alone_s = (report.alone_ms or 0.0) / 1e3
                await search(steps.carries, _FIRST_LOAD / alone_s, report.pace.highest_rate)


class _Steps:
    """Makes steps and reports them."""

    def __init__(self, work: Work, report: Report, bar: Bar, calm_s: float) -> None:
        self._work = work
        self._report = report
        self._bar = bar
        self._calm_s = calm_s

    async def carries(self, rate: float) -> bool:
        """Makes a step that ends as soon as the goal is missed for sure, and says whether it was reached."""
        await self.make(rate, self._report.goal)
        if self._report.goal.fault(self._report.steps[-1]) is None:
            return True
        await self._calm()
        return False

    async def make(self, rate: float, goal: Goal | None) -> None:
        """Makes one step; without a goal it goes on to its end."""
        best = self._report.carried
        so_far = f" (so far {best.rate:.2f})" if best else ""
        self._bar.begin(f"{rate:.2f} {self._work.noun}/s{so_far}", self._report.pace.whole_s)
        self._report.steps.append(await offer(self._work, rate, self._report.pace, goal, self._bar.advance))

    async def _calm(self) -> None:
        """Returns when a lone unit is answered: what was left of the load before it is done or gone.

        Raises:
            MeasurementError: none is, for a long time.
        """
        until_s = time.perf_counter() + self._calm_s
        while (outcome := await self._work.do()) != ANSWERED:
            if time.perf_counter() > until_s:
                raise MeasurementError(f"{self._report.url} answers nothing any more after that load: {outcome}")
            await asyncio.sleep(_CALM_TRY_S)
