"""`kinema bench --streams`: the greatest number of live streams that a server carries."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import uvloop

from service.errors import MalformedRequest, MeasurementError
from service.load.arrivals import Arrivals
from service.load.bench import conclude
from service.load.camera import Camera, Turned
from service.load.crowd import Crowd, Scene
from service.load.film import Film
from service.load.offer import MOST_UNITS, Pace
from service.load.report import Report
from service.load.search import greatest
from service.load.server import Clip, Server
from service.load.step import Goal
from service.load.tell import Bar

NOUN = "streams"
# The search begins where about half of the time of one worker would be taken by answers.
_FIRST_LOAD = 0.5
# Each is a socket of this process, too, of which systems commonly allow 1024.
_MOST = 1000
_ALONE_S, _ALONE_SETTLE_S = 2.0, 1.0


@dataclass(frozen=True, slots=True)
class Cameras:
    """What every stream is.

    Attributes:
        fps: frames a second that are sent; None for as many as the model looks at.
        every_s: seconds of the stream between two answers; 0 for one at every moment that is looked at.
        seconds: how long each number of streams is measured.
    """

    fps: float | None
    every_s: float
    seconds: float


def bench_streams(
    url: str, paths: Sequence[Path], goal: Goal, cameras: Cameras, count: int | None = None, as_json: bool = False
) -> int:
    """Finds the greatest number of streams that a server carries, or measures one, and tells it on standard output.

    Args:
        url: of the server, without the path of an endpoint.
        paths: of clips whose frames are sent, one clip a stream in turn.
        goal: when a number is carried; frames that the server drops are failures.
        cameras: what every stream is.
        count: measure so many; None searches.
        as_json: one JSON object instead of a table.

    Returns:
        The exit code: 0 where a number was carried, 1 where none was, 130 after Ctrl-C.

    Raises:
        MalformedRequest: a clip cannot be read.
        ClipError: a clip cannot be decoded.
        MeasurementError: the server cannot be reached, is not ready, or begins no stream.
    """
    clips = [Clip.read(path) for path in paths]
    pace = Pace(Arrivals.FIXED, cameras.seconds, 0.0, _MOST)
    wishes = {"every_s": cameras.every_s}
    report = Report(url.rstrip("/"), NOUN, [str(path) for path in paths], goal, pace, wishes=wishes)

    def measure() -> None:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_bench(clips, cameras, report, count))

    return conclude(measure, report, as_json)


async def _bench(clips: Sequence[Clip], cameras: Cameras, report: Report, count: int | None) -> None:
    async with Server(report.url, 1) as server:
        await server.check_ready()
    fps = cameras.fps or await _model_fps(report.url)
    report.wishes = {"every_s": cameras.every_s, "fps": fps}
    films = [_film(clip, fps) for clip in clips]
    scene = Scene(report.url, films, cameras.every_s, cameras.seconds)
    with Bar() as bar:

        async def holds(streams: int) -> bool:
            best = report.carried
            bar.begin(f"{streams} streams{f' (so far {best.rate:.0f})' if best else ''}", scene.whole_s)
            crowd = Crowd(scene, streams, report.goal if count is None else None)
            report.steps.append(await crowd.run(bar.advance))
            return report.goal.fault(report.steps[-1]) is None

        bar.begin("without load", None)
        report.alone_s = await _alone(scene)
        if count is not None:
            await holds(count)
        elif not report.too_slow_alone:
            first = max(1, int(_FIRST_LOAD * 1000 / (report.alone_ms or 1.0) / fps))
            await greatest(holds, first, min(_MOST, int(MOST_UNITS / scene.whole_s / fps)))


async def _model_fps(url: str) -> float:
    try:
        camera = await Camera.open(url, {})
    except Turned as error:
        raise MeasurementError(f"{url} begins no stream: {error}", "Measure a server that nobody else uses.") from error
    await camera.close()
    return camera.model_fps


def _film(clip: Clip, fps: float) -> Film:
    film = Film.of(clip.data, fps)
    if not film.images:
        raise MalformedRequest(f"{clip.path} holds no frame")
    return film


async def _alone(scene: Scene) -> list[float]:
    """Seconds from frame to answer of one stream, ascending.

    Raises:
        MeasurementError: it gets no answer.
    """
    seconds = max(_ALONE_S, 2 * scene.every_s)
    crowd = Crowd(Scene(scene.url, scene.films[:1], scene.every_s, seconds, _ALONE_SETTLE_S), 1, None)
    step = await crowd.run()
    if not step.latencies_s:
        problems = [problem for take in crowd.takes for problem in take.problems]
        raise MeasurementError(f"{scene.url} answers nothing to a lone stream: {', '.join(problems[:1]) or 'silence'}")
    return list(step.latencies_s)
