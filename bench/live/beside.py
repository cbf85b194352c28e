"""`beside`: clips and streams at the same time, and how much of its share each keeps.

Alone, eight clients that post again when they have their answer get so many clips a second (C), and so many streams
(S, of the search) are carried. Together each has half of the machine as its share: C / 2 clips a second, and the frames
of S / 2 streams. What each keeps is what is answered over its share, or over what it asked where that is less. Three
cases: clips greedy beside half the streams, all the streams beside half the clips (by the clock), and both greedy. Who
asks for no more than the share is to be answered in time, too; whoever asks for more waits in its own queue.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, replace

from bench.live.stage import House, Stage
from bench.live.streams import GOAL
from bench.load import connect
from bench.measurement import percentile
from bench.post import Errand, Postman, Target
from bench.table import markdown
from bench.traffic import ANSWERED, Arrivals, Clients, Post, Traffic
from bench.usage import Meter
from bench.wire import Raw
from service.load.crowd import Crowd

WANTED = 0.8
CLIP = "clip"
_CLIENTS = 8
_PATIENCE_S = 20.0
_WIRE = Raw("/predict")
_GREEDY: Traffic = (Clients(CLIP, CLIP, _CLIENTS),)


@dataclass(frozen=True, slots=True)
class Beside:
    """One case.

    Attributes:
        name: what was asked.
        clips_per_s: answered while streams were measured.
        clips_kept: that over the share.
        streams: how many there were.
        frames_per_s: looked at and answered, however late.
        in_time_per_s: of them within the goal's p95.
        frames_kept: `frames_per_s` over the share.
        p95_ms: frame to answer.
        clip_p95_ms: post to answer.
        others: the part of the machine, 0 to 1, that all other work took.
    """

    name: str
    clips_per_s: float
    clips_kept: float
    streams: int
    frames_per_s: float
    in_time_per_s: float
    frames_kept: float
    p95_ms: float
    clip_p95_ms: float
    others: float


@dataclass(frozen=True, slots=True)
class Shares:
    """All cases.

    Attributes:
        clips_alone_per_s: with nothing beside, the mean of before and after.
        streams_alone: the greatest number carried.
        cases: together.
    """

    clips_alone_per_s: float
    streams_alone: int
    cases: list[Beside]


async def beside(stage: Stage, house: House, clip: bytes, streams_alone: int) -> Shares:
    """Measures clips alone, then the cases.

    Args:
        stage: where.
        house: the server.
        clip: the encoded bytes of the clip that is posted.
        streams_alone: S, at least 2.

    Raises:
        SystemFailed: the process that posts ended.
        MeasurementError: a stream cannot begin.
    """
    postman = Postman({CLIP: clip})
    try:
        table = _Table(stage, house, postman, clip)
        before = await table.clips_alone()
        half: Traffic = (Arrivals(CLIP, CLIP, before / 2, "even", _PATIENCE_S),)
        cases = [
            await table.case("clips greedy, half the streams", _GREEDY, streams_alone // 2),
            await table.case("half the clips, all the streams", half, streams_alone),
            await table.case("both greedy", _GREEDY, streams_alone),
        ]
        most = (before + await table.clips_alone()) / 2
        share = streams_alone / 2 * stage.card.sampling.fps
        return Shares(most, streams_alone, [_kept(case, most / 2, share, stage.card.sampling.fps) for case in cases])
    finally:
        postman.stop()


def _kept(case: Beside, clips: float, frames: float, fps: float) -> Beside:
    asked = min(case.streams * fps, frames)
    return replace(case, clips_kept=case.clips_per_s / clips, frames_kept=case.frames_per_s / asked)


class _Table:
    """Where clips and streams meet."""

    def __init__(self, stage: Stage, house: House, postman: Postman, clip: bytes) -> None:
        self._scene = stage.scene(house.url)
        self._cores = stage.cores
        self._house, self._postman = house, postman
        self._target = Target(house.url, _WIRE, {CLIP: _label(house, clip)})

    async def _post(self, traffic: Traffic) -> list[Post]:
        return await asyncio.to_thread(self._postman.run, Errand(self._target, traffic, self._scene.whole_s))

    def _rate(self, posts: list[Post]) -> float:
        """Clips answered a second while streams are measured."""
        from_s, until_s = self._scene.whole_s - self._scene.seconds, self._scene.whole_s
        ended = (post.sent_s + post.took_s for post in posts if post.outcome == ANSWERED)
        return sum(from_s <= moment_s < until_s for moment_s in ended) / self._scene.seconds

    async def clips_alone(self) -> float:
        """Clips a second without streams."""
        return self._rate(await self._post(_GREEDY))

    async def case(self, name: str, traffic: Traffic, streams: int) -> Beside:
        """One case; what is kept is not known yet."""
        meter = Meter([self._house.pid], [self._postman.pid])
        posting = asyncio.create_task(self._post(traffic))
        step = await Crowd(self._scene, streams, None).run()
        posts = await posting
        usage, elapsed_s = meter.read(), meter.elapsed_s
        in_time = sum(latency_s <= GOAL.p95_s for latency_s in step.latencies_s)
        return Beside(
            name=name,
            clips_per_s=self._rate(posts),
            clips_kept=0.0,
            streams=streams,
            frames_per_s=len(step.latencies_s) / self._scene.seconds,
            in_time_per_s=in_time / self._scene.seconds,
            frames_kept=0.0,
            p95_ms=step.latency_ms(95) or 0.0,
            clip_p95_ms=1000 * percentile([post.took_s for post in posts if post.outcome == ANSWERED], 95),
            others=usage.others_cpu_s / elapsed_s / self._cores,
        )


def _label(house: House, clip: bytes) -> str:
    """What the server says of the clip while nothing disturbs it, which any other answer is held against."""
    connection, parcel = connect(house.url), _WIRE.parcel(clip)
    connection.request("POST", parcel.path, parcel.body, dict(parcel.headers))
    return _WIRE.label(connection.getresponse().read())


def lines(found: Shares) -> Iterator[str]:
    """The table."""
    yield f"Alone: {found.clips_alone_per_s:.2f} clips/s, {found.streams_alone} streams.\n"
    headings = ("", "clips/s", "kept", "p95 ms", "streams", "frames/s", "in time/s", "kept", "p95 ms", "others")
    rows = [
        [
            one.name,
            f"{one.clips_per_s:.2f}",
            f"{one.clips_kept:.2f}",
            f"{one.clip_p95_ms:.0f}",
            str(one.streams),
            f"{one.frames_per_s:.1f}",
            f"{one.in_time_per_s:.1f}",
            f"{one.frames_kept:.2f}",
            f"{one.p95_ms:.0f}",
            f"{one.others:.0%}",
        ]
        for one in found.cases
    ]
    yield from markdown(headings, rows)
