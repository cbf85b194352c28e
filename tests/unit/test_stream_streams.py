"""Streams at work in this process: frames in, answers out, and all that may come between."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from service.alone import answer as alone
from service.errors import (
    Busy,
    Draining,
    EngineDead,
    FrameOutOfOrder,
    FrameRepeated,
    LimitExceeded,
    StreamGone,
    StreamNotFound,
    UndecodableClip,
    UnsupportedMedia,
)
from service.events import StreamAnswered, StreamEnded, StreamFrames
from service.inference.bundle import Bundle
from service.stream.engine import Engine
from service.stream.inbox import Drop
from service.stream.stream import Stream
from service.stream.streams import Streams
from service.stream.told import Failed, FrameFailed, News, Restarted, Told
from service.stream.wishes import Wishes
from service.video.decode import MadePicture
from tests.bundles import make_bundle
from tests.foreign import imported
from tests.samples import clip
from tests.streaming import (
    EVERY,
    LIMITS,
    PATIENCE_S,
    Shot,
    engine,
    frames,
    load,
    make_streaming,
    noise,
    said,
    scores,
    sharing,
    shots,
    working,
)

TOLERANCE = 1e-5
ONCE = Wishes(top_k=100, every_s=3600)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return load(make_streaming(tmp_path_factory.mktemp("bundles"), abstains=True))


@pytest.fixture(scope="module")
async def shared(bundle: Bundle) -> AsyncIterator[Engine]:
    async with engine(bundle) as made:
        yield made


@pytest.fixture
def streams(shared: Engine) -> Iterator[Streams]:
    with sharing(shared) as live:
        yield live


async def begun(streams: Streams, wishes: Wishes = EVERY) -> Stream:
    return (await streams.open(wishes))[1]


async def until(holds: Callable[[], object]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not holds():  # noqa: ASYNC110 - timers of the streams themselves are waited for
            await asyncio.sleep(0.01)


def answers(told: Sequence[News]) -> list[Told]:
    return [one for one in told if isinstance(one, Told)]


def essence(told: Sequence[News]) -> list[Any]:
    """What does not depend on what the stream was before."""
    return [(one.time_s, one.predictions, one.abstained, one.state_age_s, one.partial) for one in answers(told)]


class Halted:
    """Holds all turns of an engine, as if it were busy with others."""

    def __init__(self, streams: Streams) -> None:
        self._turn = streams.engine.turn
        self._held = 0

    async def __aenter__(self) -> None:
        while not self._turn.locked():
            await self._turn.acquire()
            self._held += 1

    async def __aexit__(self, *raised: object) -> None:
        for _ in range(self._held):
            self._turn.release()


@pytest.mark.parametrize(
    "name", ["h264.mp4", "slow.mp4", "vfr.mp4", "short.mp4", "one-frame.mp4", "real-golf.mp4", "rotated.mp4"]
)
async def test_the_frames_of_a_clip_say_what_the_clip_says(streams: Streams, bundle: Bundle, name: str) -> None:
    end_s = bundle.card.plan.window_s
    sent = frames(name, end_s)
    # A stream has no end from which moments could be known that no frame serves.
    end_s = min(end_s, sent[-1].time_s + 1e-3) if name == "slow.mp4" else end_s
    (told,) = answers(await said(await begun(streams, ONCE), sent))
    np.testing.assert_allclose(scores(told.predictions), alone(bundle, clip(name), 0, end_s), rtol=0, atol=TOLERANCE)
    assert told.partial


async def test_heads_that_have_to_see_all_steps_say_of_a_stream_what_the_clip_of_its_last_window_says(
    tmp_path: Path,
) -> None:
    imported("handmade", tmp_path / "whole")
    for windowed in (load(make_bundle(tmp_path / "slides")), load(tmp_path / "whole")):
        plan = windowed.card.plan
        async with working(windowed) as live:
            (told,) = answers(await said(await begun(live, ONCE), frames("real-golf.mp4", plan.window_s)))
            expected = alone(windowed, clip("real-golf.mp4"), 0, plan.window_s)
            np.testing.assert_allclose(scores(told.predictions), expected, rtol=0, atol=TOLERANCE)
            long = answers(await said(await begun(live, replace(EVERY, top_k=100)), frames("real-golf.mp4", 1.95)))[-1]
            steps = round(long.state_age_s * plan.fps)
            start_s = long.time_s - (steps - 1 + int(plan.anchored)) / plan.fps
            end_s = long.time_s + 0.03
            last = alone(windowed, clip("real-golf.mp4"), start_s, end_s)
            assert plan.clip_len <= steps < plan.clip_len + 4
            assert scores(long.predictions).argmax() == last.argmax()


@pytest.mark.parametrize(("camera_fps", "used"), [(5, 11), (25, 21), (30, 21), (60, 21)])
async def test_frames_are_used_at_the_models_rate_and_both_rates_are_told(
    streams: Streams, camera_fps: int, used: int
) -> None:
    stream = await begun(streams)
    sent = shots(2 * camera_fps + 1, fps=camera_fps, start_s=1.75e9)
    told = answers(await said(stream, sent))
    assert (stream.received, stream.used, stream.dropped) == (len(sent), used, 0)
    assert told[-1].camera_fps == pytest.approx(camera_fps, rel=1e-3)
    assert told[-1].time_s == sent[-1].time_s
    assert (told[-1].received, told[-1].used) == (len(sent), used)
    assert stream.padded == 21 - used


@pytest.mark.parametrize(("every_s", "count"), [(0.0, 30), (1e-300, 30), (5e-324, 30), (0.1, 30), (0.5, 6), (1.0, 3)])
async def test_answers_come_as_often_as_is_wished(streams: Streams, every_s: float, count: int) -> None:
    told = answers(await said(await begun(streams, replace(EVERY, every_s=every_s)), shots(31)))
    assert [one.partial for one in told] == [False] * count
    if every_s >= 0.1:
        assert [one.time_s for one in told] == pytest.approx([(1 + i) * every_s for i in range(count)])


async def test_the_last_partial_window_is_told(streams: Streams) -> None:
    told = answers(await said(await begun(streams, replace(EVERY, every_s=0.5)), shots(8)))
    assert [(one.time_s, one.partial) for one in told] == [(0.5, False), (0.7, True)]


async def test_what_has_been_told_is_not_told_again(streams: Streams) -> None:
    told = answers(await said(await begun(streams, replace(EVERY, every_s=0.5)), shots(6)))
    assert [(one.time_s, one.partial) for one in told] == [(0.5, False)]
    assert await said(await begun(streams), []) == []


async def test_a_single_frame_is_answered_as_a_clip_of_it(streams: Streams, bundle: Bundle) -> None:
    stream = await begun(streams, ONCE)
    (told,) = answers(await said(stream, frames("one-frame.mp4", 9)))
    assert (told.partial, told.used, told.state_age_s) == (True, 1, 0.1)
    np.testing.assert_allclose(scores(told.predictions), alone(bundle, clip("one-frame.mp4")), rtol=0, atol=TOLERANCE)


async def test_frames_whose_time_does_not_follow_are_refused_and_the_stream_goes_on(streams: Streams) -> None:
    sent = shots(9)
    expected = await said(await begun(streams), sent)
    stream = await begun(streams)
    told = await said(stream, sent[:5], end=False)
    for time_s, error in ((sent[4].time_s, FrameRepeated), (sent[2].time_s, FrameOutOfOrder), (-5.0, FrameOutOfOrder)):
        with pytest.raises(error):
            await stream.push(time_s, noise(99))
    assert essence(told + await said(stream, sent[5:])) == essence(expected)
    assert stream.received == 9


async def test_a_gap_tells_what_came_before_then_that_it_restarts_and_forgets(streams: Streams) -> None:
    wishes = replace(EVERY, every_s=0.5)
    after = shots(9, start_s=10, seed=1)
    expected = await said(await begun(streams, wishes), after)
    told = await said(await begun(streams, wishes), [*shots(9), *after])
    assert [type(one) for one in told[:4]] == [Told, Told, Restarted, Told]
    before, partial, restarted = told[:3]
    assert isinstance(partial, Told)
    assert isinstance(restarted, Restarted)
    assert (partial.time_s, partial.partial) == (0.8, True)
    assert (restarted.time_s, restarted.reason) == (
        10.0,
        "no frame came for 9.200 s: what came before is forgotten",
    )
    assert essence(told[3:]) == essence(expected)
    assert isinstance(before, Told)


async def test_a_single_frame_before_a_gap_is_answered_too(streams: Streams) -> None:
    told = await said(await begun(streams), [Shot(0, noise(1)), Shot(5, noise(2)), Shot(5.1, noise(3))])
    assert [type(one) for one in told] == [Told, Restarted, Told]


async def test_a_pause_within_the_limit_repeats_the_frame_that_ends_it(streams: Streams) -> None:
    stream = await begun(streams)
    told = await said(stream, [*shots(3), Shot(1.2, noise(9))])
    assert [type(one) for one in told] == [Told] * 3
    assert stream.padded == 9


BROKEN = [(noise(1)[:100], UndecodableClip), (clip("h264.mp4"), UnsupportedMedia), (noise(1, 400), LimitExceeded)]


@pytest.mark.parametrize("place", [0, 1, 4])
async def test_a_frame_that_cannot_be_read_costs_itself_alone(streams: Streams, place: int) -> None:
    for image, error in BROKEN:
        sent = shots(8)
        sent[place] = Shot(sent[place].time_s, image)
        stream = await begun(streams)
        told = await said(stream, sent)
        (failed,) = (one for one in told if isinstance(one, FrameFailed))
        assert failed.time_s == sent[place].time_s
        assert isinstance(failed.error, error)
        assert (stream.received, stream.used) == (8, 7)
        assert answers(told)[-1].time_s == 0.7
        assert not any(isinstance(one, Restarted) for one in told)


async def test_a_stream_of_broken_frames_alone_says_nothing(streams: Streams) -> None:
    told = await said(await begun(streams), [Shot(index / 10, b"no frame") for index in range(5)])
    assert [type(one) for one in told] == [FrameFailed] * 5


async def test_frames_lost_for_longer_than_the_limit_begin_the_stream_anew(streams: Streams) -> None:
    """Else the first good one would stand for them all, however many."""
    broken = [Shot(0.3 + index * 1.9, b"no frame") for index in range(200)]
    after = shots(9, seed=1)
    expected = await said(await begun(streams), after)
    stream = await begun(streams)
    start_s = broken[-1].time_s + 1.9
    moved = [Shot(start_s + index / 10, one.image) for index, one in enumerate(after)]
    told = [one for one in await said(stream, [*shots(3), *broken, *moved]) if not isinstance(one, FrameFailed)]
    restarts = [index for index, one in enumerate(told) if isinstance(one, Restarted)]
    last = told[restarts[-1]]
    assert isinstance(last, Restarted)
    assert "s were lost: what came before is forgotten" in last.reason
    assert [one.predictions for one in answers(told[restarts[-1] :])] == [one.predictions for one in answers(expected)]
    assert stream.padded < 100


async def test_frames_that_come_too_fast_are_dropped_counted_and_told(streams: Streams) -> None:
    for drop, left in ((Drop.OLDEST, range(12, 20)), (Drop.NEWEST, range(1, 9))):
        stream = await begun(streams, replace(EVERY, drop=drop))
        sent = shots(20)
        async with Halted(streams):
            await stream.push(*sent[0])
            await asyncio.sleep(0)  # the first is at its turn, and waits no more
            for shot in sent[1:]:
                await stream.push(*shot)
            assert stream.waiting == 8
            assert stream.dropped == 11
        told = answers(await said(stream, []))
        assert [one.time_s for one in told] == [sent[index].time_s for index in left]
        assert (told[-1].received, told[-1].used, told[-1].dropped) == (20, 9, 11)


async def test_where_nothing_may_be_dropped_the_sender_waits(streams: Streams) -> None:
    stream = await begun(streams, replace(EVERY, drop=Drop.NONE))
    expected = await said(await begun(streams), shots(20))

    async def send() -> None:
        for shot in shots(20):
            await stream.push(*shot)

    async with Halted(streams):
        sending = asyncio.create_task(send())
        await until(lambda: stream.waiting == 8)
        assert stream.received <= 10
        assert not sending.done()
    told = await said(stream, [], end=False)
    while not sending.done():
        told += await said(stream, [], end=False)
        await asyncio.sleep(0.01)
    told += await said(stream, [])
    assert essence(told) == essence(expected)
    assert stream.dropped == 0


async def test_answers_that_nobody_fetches_hold_the_stream_up(streams: Streams) -> None:
    stream = await begun(streams)
    for shot in shots(100):
        await stream.push(*shot)
        await asyncio.sleep(0.003)
    await until(stream.news.full)
    assert stream.news.qsize() == 16
    assert stream.waiting <= 8
    assert stream.used + stream.waiting + stream.dropped == 100
    assert answers(await said(stream, []))[-1].received == 100


async def test_waiting_frames_of_all_streams_are_bounded(shared: Engine) -> None:
    size = len(noise(0))
    with sharing(shared, replace(LIMITS, waiting_bytes=5 * size + 4)) as live:
        one, other = await begun(live), await begun(live)
        async with Halted(live):
            for shot in shots(30):
                await one.push(shot.time_s, noise(0))
                await other.push(shot.time_s, noise(0))
                assert live.waiting_bytes <= 5 * size + 4
        await said(one, [])
        await said(other, [])
        assert live.waiting_bytes == 0


async def test_a_reset_tells_what_is_left_forgets_and_lets_time_begin_anew(streams: Streams) -> None:
    wishes = replace(EVERY, every_s=0.5)
    after = shots(9, seed=1)
    expected = await said(await begun(streams, wishes), after)
    stream = await begun(streams, wishes)
    await said(stream, shots(9, start_s=100), end=False)
    await stream.reset()
    partial = stream.news.get_nowait()
    stream.news.task_done()
    assert isinstance(partial, Told)
    assert partial.partial
    assert stream.state_age_s == 0
    assert stream.camera_fps is None
    assert essence(await said(stream, after)) == essence(expected)
    assert stream.received == 18


async def test_the_memory_that_is_wished_for_is_kept(streams: Streams) -> None:
    ages = {}
    for memory_s in ("auto", "endless", 0.3):
        wishes = replace(EVERY, memory_s=memory_s)
        told = answers(await said(await begun(streams, wishes), shots(40)))
        ages[memory_s] = max(one.state_age_s for one in told)
    assert ages == {"auto": 1.6, "endless": 3.9, 0.3: 0.8}


async def test_after_long_an_answer_is_that_of_the_stream_that_begins_where_the_elder_state_began(
    streams: Streams,
) -> None:
    sent = shots(60)
    last = answers(await said(await begun(streams), sent))[-1]
    steps = round(last.state_age_s * 10)
    assert steps < 59
    (other,) = answers(await said(await begun(streams, ONCE), sent[-steps - 1 :]))
    np.testing.assert_allclose(scores(last.predictions), scores(other.predictions), rtol=0, atol=TOLERANCE)


async def test_ids_are_secrets_and_tell_whether_a_stream_has_been(streams: Streams) -> None:
    names = {(await streams.open(EVERY))[0] for _ in range(20)}
    assert len(names) == 20
    name = names.pop()
    assert len(name) >= 32
    streams.end(name, "deleted")
    with pytest.raises(StreamGone):
        streams.get(name)
    other = names.pop()
    forged = other[:-1] + ("a" if other[-1] != "a" else "b")
    for never in ("", "x", forged, "é" * 34, "\ud800", name[:-12], "a" * 10_000):
        with pytest.raises(StreamNotFound):
            streams.get(never)
    assert streams.get(other)


async def test_streams_of_another_process_have_never_been_here(shared: Engine, streams: Streams) -> None:
    name, _ = await streams.open(EVERY)
    with sharing(shared) as elsewhere, pytest.raises(StreamNotFound):
        elsewhere.get(name)


async def test_idle_streams_end_after_their_time_and_active_ones_do_not(shared: Engine) -> None:
    events: list[Any] = []
    with sharing(shared, replace(LIMITS, ttl_s=1.5), events.append) as live:
        idle, idle_stream = await live.open(EVERY)
        active, stream = await live.open(EVERY)
        for shot in shots(20):
            await said(stream, [shot], end=False)
            await asyncio.sleep(0.1)
        with pytest.raises(StreamGone, match="nothing came for too long"):
            live.get(idle)
        assert idle_stream.over.is_set()
        assert live.get(active) is stream
        await until(lambda: len(live) == 0)
    assert [one.reason for one in events if isinstance(one, StreamEnded)] == ["expired", "expired"]


async def test_a_stream_that_waits_for_the_engine_is_not_idle(shared: Engine) -> None:
    with sharing(shared, replace(LIMITS, ttl_s=0.1)) as live:
        name, stream = await live.open(EVERY)
        async with Halted(live):
            await stream.push(0.0, noise(1))
            await asyncio.sleep(0.4)
            assert live.get(name) is stream


async def test_a_stream_whose_answers_nobody_fetches_ends_after_its_time(shared: Engine) -> None:
    with sharing(shared, replace(LIMITS, ttl_s=0.3)) as live:
        _, stream = await live.open(EVERY)
        for shot in shots(30):
            await stream.push(*shot)
            await asyncio.sleep(0.003)
        await until(stream.news.full)
        await until(lambda: len(live) == 0)
        assert live.waiting_bytes == 0


async def test_no_more_streams_begin_than_there_may_be(shared: Engine) -> None:
    with sharing(shared, replace(LIMITS, most=2)) as live:
        name, _ = await live.open(EVERY)
        await live.open(EVERY)
        with pytest.raises(Busy, match="KINEMA_STREAMS") as refused:
            await live.open(EVERY)
        assert refused.value.retry_after_s == LIMITS.ttl_s
        live.end(name, "deleted")
        await live.open(EVERY)


async def test_no_more_streams_begin_than_their_limit_holds_however_many_ask_at_once(shared: Engine) -> None:
    with sharing(shared, replace(LIMITS, most=2)) as live:
        asked = await asyncio.gather(*(live.open(EVERY) for _ in range(6)), return_exceptions=True)
        assert sum(isinstance(one, Busy) for one in asked) == 4
        assert len(live) == 2


async def test_bytes_of_state_are_bounded(shared: Engine) -> None:
    with sharing(shared) as live:
        one = live.engine.state_bytes
    with sharing(shared, replace(LIMITS, state_bytes=3 * one)) as live:
        for _ in range(3):
            await live.open(EVERY)
        assert live.state_bytes == 3 * one
        with pytest.raises(Busy, match="KINEMA_STREAM_STATE_MB"):
            await live.open(EVERY)


async def test_a_state_takes_no_more_than_is_counted_for_it(tmp_path: Path) -> None:
    imported("handmade", tmp_path / "whole")
    for one in (load(make_streaming(tmp_path / "a")), load(make_bundle(tmp_path / "b")), load(tmp_path / "whole")):
        async with working(one) as live:
            stream = await begun(live)
            await said(stream, shots(40), end=False)
            _, arrays = await stream.dump()
            kept = {name: value for name, value in arrays.items() if "logits" not in name}
            assert sum(value.nbytes for value in kept.values()) <= live.engine.state_bytes


async def test_an_ended_stream_takes_nothing_more_and_leaves_nothing(streams: Streams) -> None:
    name, stream = await streams.open(replace(EVERY, drop=Drop.NONE))
    async with Halted(streams):
        for shot in shots(9):
            await stream.push(*shot)
            await asyncio.sleep(0)
        waiting = asyncio.create_task(stream.push(5.0, noise(1)))
        await asyncio.sleep(0.01)
        assert streams.waiting_bytes > 0
        streams.end(name, "broken")
        streams.end(name, "broken")
        with pytest.raises(StreamGone):
            await waiting
    assert (len(streams), streams.waiting_bytes, streams.state_bytes) == (0, 0, 0)
    for late in (stream.push(6.0, noise(1)), stream.end(), stream.reset(), stream.dump()):
        with pytest.raises(StreamGone):
            await late
    assert essence(await said(await begun(streams), shots(5))), "others go on"


async def test_ending_a_stream_in_the_midst_of_a_frame_leaves_the_engine_whole(streams: Streams) -> None:
    expected = essence(await said(await begun(streams), shots(6)))
    for wait_s in (0, 0.001, 0.002, 0.004, 0.008):
        for _ in range(4):
            name, stream = await streams.open(EVERY)
            for shot in shots(4, seed=3):
                await stream.push(*shot)
            await asyncio.sleep(wait_s)
            streams.end(name, "broken")
    assert essence(await said(await begun(streams), shots(6))) == expected
    assert not streams.engine.turn.locked()
    await until(lambda: streams.engine.viewer._batcher.depth == 0)


async def test_when_the_engine_dies_streams_are_told_and_take_nothing_more(bundle: Bundle) -> None:
    for part in ("encoders", "decoders", "head"):
        async with working(bundle) as live:
            stream = await begun(live)
            await said(stream, shots(3), end=False)
            if part == "encoders":
                await asyncio.to_thread(live.engine.viewer._batcher.stop)
            elif part == "decoders":
                await live.engine.decoders.stop()
            else:
                await live.engine.stepper.stop()
            await stream.push(0.4, noise(1))
            async with asyncio.timeout(PATIENCE_S):
                told = await stream.news.get()
            assert isinstance(told, Failed)
            assert isinstance(told.error, EngineDead)
            with pytest.raises(EngineDead):
                await stream.push(0.5, noise(2))
            if part == "decoders":
                with pytest.raises(EngineDead):
                    await live.open(EVERY)


async def test_a_draining_service_takes_no_new_stream_and_tells_those_there_are(bundle: Bundle) -> None:
    async with working(bundle) as live:
        stream = await begun(live)
        stream.held = True
        live.drain()
        assert stream.draining.is_set()
        with pytest.raises(Draining):
            await begun(live)
        assert essence(await said(stream, shots(3))), "what came is told"
        idle = asyncio.create_task(live.idle())
        await asyncio.sleep(0.01)
        assert not idle.done()
        await live.stop()
        await idle


async def test_a_stream_with_many_frames_does_not_hold_up_one_with_a_single_frame(streams: Streams) -> None:
    hogs = [await begun(streams) for _ in range(8)]
    modest = await begun(streams)
    await said(modest, shots(2), end=False)
    order: list[Stream] = []

    async def listen(stream: Stream) -> None:
        while True:
            await stream.news.get()
            order.append(stream)

    listening = [asyncio.create_task(listen(stream)) for stream in (*hogs, modest)]
    async with Halted(streams):
        for hog in hogs:
            for shot in shots(9):
                await hog.push(*shot)
        await asyncio.sleep(0)
        await modest.push(0.2, noise(1))
    await until(lambda: len(order) == 8 * 8 + 1)
    for task in listening:
        task.cancel()
    assert order.index(modest) <= 8 * 2


async def test_a_long_clip_does_not_hold_up_a_stream(streams: Streams, bundle: Bundle) -> None:
    order = streams.engine.viewer._batcher.order()
    picture = np.zeros((8, 8, 3), dtype=np.uint8)
    for step in range(0, 120_000, 4):
        order.put(MadePicture("look", 0, step, picture))
    assert answers(await said(await begun(streams), shots(2)))
    assert not order.done.done()
    assert streams.engine.viewer._batcher.depth > 1000, "the clip's pictures still wait"
    order.abandon()


async def test_what_happens_is_told_to_whoever_observes(shared: Engine) -> None:
    events: list[Any] = []
    with sharing(shared, observe=events.append) as live:
        name, stream = await live.open(replace(EVERY, every_s=0.5))
        await said(stream, [*shots(7, fps=5), *shots(7, fps=50, start_s=1.3)])
        live.end(name, "deleted")
    account: Counter[str] = Counter()
    for event in events:
        if isinstance(event, StreamFrames):
            account.update(received=event.received, used=event.used, dropped=event.dropped, padded=event.padded)
    assert account == {
        "received": stream.received,
        "used": stream.used,
        "dropped": stream.dropped,
        "padded": stream.padded,
    }
    answered = [event for event in events if isinstance(event, StreamAnswered)]
    assert [event.partial for event in answered] == [False, False, True]
    assert all(0 < event.seconds < PATIENCE_S for event in answered)
    assert [event.reason for event in events if isinstance(event, StreamEnded)] == ["deleted"]


async def test_where_the_time_of_an_answer_went_is_told(streams: Streams) -> None:
    began_s = time.perf_counter()
    told = answers(await said(await begun(streams), shots(3)))[-1]
    spent = told.spent
    assert all(part >= 0 for part in (spent.queue, spent.look, spent.encode, spent.recur))
    assert spent.queue + spent.look + spent.encode + spent.recur <= spent.total < time.perf_counter() - began_s
    assert told.abstained in {True, False}
