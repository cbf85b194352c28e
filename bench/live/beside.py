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
from dataclasses import dataclass

from bench.live.stage import House, Stage
from bench.live.streams import GOAL
from bench.load import connect
from bench.post import Errand, Postman, Target
from bench.table import markdown
from bench.traffic import ANSWERED, Arrivals, Clients, Post, Traffic
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


@dataclass(frozen=True, slots=True)
class Shares:
    """All cases.

    Attributes:
        clips_alone_per_s: with nothing beside.
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
        scene = stage.scene(house.url)
        target = Target(house.url, _WIRE, {CLIP: _label(house, clip)})
        whole_s = scene.whole_s
        posts = await asyncio.to_thread(postman.run, Errand(target, _GREEDY, whole_s))
        most = _rate(posts, scene.whole_s - scene.seconds, whole_s)
        half: Traffic = (Arrivals(CLIP, CLIP, most / 2, "even", _PATIENCE_S),)
        cases = [
            ("clips greedy, half the streams", _GREEDY, streams_alone // 2),
            ("half the clips, all the streams", half, streams_alone),
            ("both greedy", _GREEDY, streams_alone),
        ]
        table = _Table(stage, house, target, postman)
        return Shares(most, streams_alone, [await table.case(*case, most, streams_alone) for case in cases])
    finally:
        postman.stop()


class _Table:
    """Where clips and streams meet."""

    def __init__(self, stage: Stage, house: House, target: Target, postman: Postman) -> None:
        self._stage, self._house, self._target, self._postman = stage, house, target, postman

    async def case(self, name: str, traffic: Traffic, streams: int, most: float, streams_alone: int) -> Beside:
        """One case."""
        scene = self._stage.scene(self._house.url)
        crowd = Crowd(scene, streams, None)
        posting = asyncio.create_task(
            asyncio.to_thread(self._postman.run, Errand(self._target, traffic, scene.whole_s))
        )
        step = await crowd.run()
        posts = await posting
        clips = _rate(posts, scene.whole_s - scene.seconds, scene.whole_s)
        fps = self._stage.card.sampling.fps
        frames_per_s = len(step.latencies_s) / scene.seconds
        in_time = sum(latency_s <= GOAL.p95_s for latency_s in step.latencies_s) / scene.seconds
        times = sorted(post.took_s for post in posts if post.outcome == ANSWERED)
        return Beside(
            name=name,
            clips_per_s=clips,
            clips_kept=clips / (most / 2),
            streams=streams,
            frames_per_s=frames_per_s,
            in_time_per_s=in_time,
            frames_kept=frames_per_s / (min(streams, streams_alone / 2) * fps),
            p95_ms=step.latency_ms(95) or 0.0,
            clip_p95_ms=1000 * times[int(0.95 * (len(times) - 1))] if times else 0.0,
        )


def _label(house: House, clip: bytes) -> str:
    """What the server says of the clip while nothing disturbs it, which any other answer is held against."""
    connection, parcel = connect(house.url), _WIRE.parcel(clip)
    connection.request("POST", parcel.path, parcel.body, dict(parcel.headers))
    return _WIRE.label(connection.getresponse().read())


def _rate(posts: list[Post], from_s: float, until_s: float) -> float:
    """Clips answered a second, between two moments from the start of the posts."""
    ended = (post.sent_s + post.took_s for post in posts if post.outcome == ANSWERED)
    return sum(from_s <= moment_s < until_s for moment_s in ended) / (until_s - from_s)


def lines(found: Shares) -> Iterator[str]:
    """The table."""
    yield f"Alone: {found.clips_alone_per_s:.2f} clips/s, {found.streams_alone} streams.\n"
    headings = ("", "clips/s", "kept", "p95 ms", "streams", "frames/s", "in time/s", "kept", "p95 ms")
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
        ]
        for one in found.cases
    ]
    yield from markdown(headings, rows)
