"""The decoder processes at work: several clips at a time, each stopped, crashed or killed by itself."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import numpy as np
import pytest

from service.errors import EngineDead, LimitExceeded, UndecodableClip, UnsupportedMedia
from service.video.decode import DecodeTask, Emit, MadePicture, decode
from service.video.encoded import EncodedClip
from service.video.pool import DecoderPool, Decoding, LaneName, Lanes
from service.video.sample import SamplingPlan
from service.video.source import Limits
from service.video.spec import Flow, PictureSpec
from tests.samples import CLIPS, clip

PATIENCE_S = 60.0
LIMITS = Limits(max_pixels=1_000_000, max_duration_s=60, max_frames=10_000)
TASK = DecodeTask(
    SamplingPlan(num_clips=60, clip_len=1, fps=30, anchored=False),
    (PictureSpec(name="look", picture="rgb", size=16, cadence=1),),
    LIMITS,
)


@pytest.fixture
async def pool() -> AsyncIterator[DecoderPool]:
    working = DecoderPool(Lanes(short=1, long=1))
    await working.start()
    yield working
    await working.stop()


async def decoded(
    pool: DecoderPool, name: str, emit: Emit = lambda made: None, lane: LaneName = "short", task: DecodeTask = TASK
) -> Decoding:
    with EncodedClip.read(CLIPS / name) as encoded:
        return await pool.decode(encoded, task, emit, lane, PATIENCE_S)


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not holds():  # noqa: ASYNC110 - what is waited for happens in other processes
            await asyncio.sleep(0.01)


def busy(pool: DecoderPool) -> set[int]:
    return {process.pid for process in pool._processes if process.busy}


async def test_a_clip_is_decoded_as_without_a_pool_and_its_time_is_told(pool: DecoderPool) -> None:
    pictures: list[MadePicture] = []
    expected: list[MadePicture] = []
    decoding = await decoded(pool, "h264.mp4", pictures.append)
    assert decoding.decoded == decode(clip("h264.mp4"), TASK, expected.append)
    assert [(one.kind, one.window, one.step) for one in pictures] == [(e.kind, e.window, e.step) for e in expected]
    for one, other in zip(pictures, expected, strict=True):
        np.testing.assert_array_equal(one.pixels, other.pixels)
    assert decoding.started_s < decoding.ended_s
    assert decoding.cpu_s > 0


async def test_pictures_outlive_their_decoder(pool: DecoderPool) -> None:
    pictures: list[MadePicture] = []
    await decoded(pool, "h264.mp4", pictures.append)
    before = [one.pixels.copy() for one in pictures]
    await decoded(pool, "vp9.webm")
    await pool.stop()
    for one, kept in zip(pictures, before, strict=True):
        np.testing.assert_array_equal(one.pixels, kept)


async def test_a_bad_clip_fails_alone_and_its_process_takes_the_next(pool: DecoderPool) -> None:
    pids = pool.pids
    bad, good = await asyncio.gather(
        decoded(pool, "text.mp4"), decoded(pool, "h264.mkv", lane="long"), return_exceptions=True
    )
    assert isinstance(bad, UnsupportedMedia)
    assert bad.recognised == "text"
    assert not isinstance(good, BaseException)
    assert len(good.decoded.times_s) == 60
    assert (await decoded(pool, "h264.mp4")).decoded.steps
    assert sorted(pool.pids) == sorted(pids)


async def test_an_error_of_the_clip_arrives_whole(pool: DecoderPool) -> None:
    with EncodedClip.read(CLIPS / "h264.mp4") as encoded, pytest.raises(LimitExceeded) as refused:
        await pool.probe(encoded, Limits(100, 60, 10_000), PATIENCE_S)
    assert refused.value.limit == "KINEMA_MAX_PIXELS"
    assert refused.value.advice


async def test_a_clip_is_probed_without_being_decoded(pool: DecoderPool) -> None:
    with EncodedClip.read(CLIPS / "mpeg4.avi") as encoded:
        probed = await pool.probe(encoded, LIMITS, PATIENCE_S)
    assert probed.header.width == 160
    assert probed.index is not None
    assert probed.index.frames == 60
    assert probed.index.key_times_s[0] == 0
    assert len(probed.index.key_times_s) == 5


async def test_short_clips_do_not_wait_for_long_ones(pool: DecoderPool) -> None:
    running = asyncio.create_task(decoded(pool, "h264.mp4", lane="long"))
    await until(lambda: bool(busy(pool)))
    (process,) = busy(pool)
    os.kill(process, signal.SIGSTOP)
    try:
        await decoded(pool, "h264.mp4", lane="short")
        assert not running.done()
    finally:
        os.kill(process, signal.SIGCONT)
    assert (await running).decoded.steps


async def test_a_clip_that_nobody_waits_for_is_stopped_before_its_next_frame(pool: DecoderPool) -> None:
    pictures: list[MadePicture] = []
    pids = pool.pids
    cancelled: list[asyncio.Task[Decoding]] = []

    def leave(made: MadePicture) -> None:
        pictures.append(made)
        cancelled[0].cancel()

    cancelled.append(asyncio.create_task(decoded(pool, "h264.mp4", leave)))
    with pytest.raises(asyncio.CancelledError):
        await cancelled[0]
    assert (await decoded(pool, "one-frame.mp4")).decoded.steps, "the same process takes the next clip"
    assert len(pictures) < 60
    assert sorted(pool.pids) == sorted(pids)


async def test_a_clip_given_up_before_its_turn_is_never_opened(pool: DecoderPool) -> None:
    seen: list[MadePicture] = []
    first = asyncio.create_task(decoded(pool, "h264.mp4"))
    await until(lambda: bool(busy(pool)))
    second = asyncio.create_task(decoded(pool, "h264.mp4", seen.append))
    await asyncio.sleep(0)
    second.cancel()
    with pytest.raises(asyncio.CancelledError):
        await second
    await first
    await decoded(pool, "one-frame.mp4")
    assert seen == []


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSEGV])
async def test_a_process_that_dies_costs_its_clip_alone_and_is_replaced(pool: DecoderPool, how: signal.Signals) -> None:
    doomed = asyncio.create_task(decoded(pool, "h264.mp4", lane="long"))
    await until(lambda: bool(busy(pool)))
    (victim,) = busy(pool)
    other = asyncio.create_task(decoded(pool, "h264.mp4"))
    os.kill(victim, how)
    with pytest.raises(UndecodableClip, match=f"crashed on this clip: .* {how.name}"):
        await doomed
    assert (await other).decoded.steps
    assert not pool.alive, "no process is left for long clips"
    await until(lambda: pool.alive)
    assert victim not in pool.pids
    assert (await decoded(pool, "h264.mp4", lane="long")).decoded.steps


async def test_idle_processes_that_die_are_replaced_and_cost_no_clip(pool: DecoderPool) -> None:
    before = pool.pids
    for process in before:
        os.kill(process, signal.SIGKILL)
    await until(lambda: not pool.alive)
    ended = await asyncio.gather(*(decoded(pool, "h264.mp4") for _ in range(3)))
    assert all(one.decoded.steps for one in ended), "they waited for a new process"
    await until(lambda: pool.alive)
    assert not set(before) & set(pool.pids)


async def test_a_clip_is_not_blamed_for_a_process_that_died_before_it_took_it(pool: DecoderPool) -> None:
    (idle,) = (process for process in pool._lanes["short"]._free)
    os.kill(idle.pid, signal.SIGSTOP)
    handed = asyncio.create_task(decoded(pool, "h264.mp4"))
    await until(lambda: bool(busy(pool)))
    os.kill(idle.pid, signal.SIGKILL)
    assert (await handed).decoded.steps, "another process took it"
    assert idle.pid not in pool.pids


async def test_a_process_that_hangs_is_killed_when_its_clip_is_given_up(pool: DecoderPool) -> None:
    hanging = asyncio.create_task(decoded(pool, "h264.mp4"))
    await until(lambda: bool(busy(pool)))
    (victim,) = busy(pool)
    os.kill(victim, signal.SIGSTOP)
    hanging.cancel()
    with pytest.raises(asyncio.CancelledError):
        await hanging
    assert (await decoded(pool, "h264.mp4")).decoded.steps
    assert victim not in pool.pids


async def test_a_clip_that_takes_too_much_memory_is_told_so(tmp_path: Path) -> None:
    import cv2

    large = tmp_path / "large.avi"
    writer = cv2.VideoWriter(str(large), cv2.VideoWriter.fourcc(*"MJPG"), 30, (4000, 4000))
    for _ in range(2):
        writer.write(np.zeros((4000, 4000, 3), dtype=np.uint8))
    writer.release()
    task = DecodeTask(TASK.plan, TASK.pictures, Limits(100_000_000, 60, 10_000))
    pool = DecoderPool(Lanes(short=1, long=1, memory_mb=40))
    await pool.start()
    try:
        with (
            EncodedClip.read(large) as encoded,
            pytest.raises(UndecodableClip, match="more than 40 MB of memory"),
        ):
            await pool.decode(encoded, task, lambda made: None, "short", PATIENCE_S)
        assert (await decoded(pool, "h264.mp4")).decoded.steps
    finally:
        await pool.stop()


async def test_a_clip_that_takes_too_much_of_the_cpu_ends_its_process_alone(pool: DecoderPool) -> None:
    flow = Flow(size=768, preset="medium", scale=10, magnitude_scale=10)
    plan = SamplingPlan(num_clips=2, clip_len=25, fps=30, anchored=True)
    looping = DecodeTask(plan, (PictureSpec(name="drift", picture="flow", size=768, cadence=1, flow=flow),), LIMITS)
    with EncodedClip.read(CLIPS / "h264.mp4") as encoded, pytest.raises(UndecodableClip, match="SIGXCPU"):
        await pool.decode(encoded, looping, lambda made: None, "short", 0.001)
    assert (await decoded(pool, "h264.mp4")).decoded.steps


async def test_stopping_fails_clips_at_work_and_in_line(pool: DecoderPool) -> None:
    tasks = [asyncio.create_task(decoded(pool, "h264.mp4")) for _ in range(3)]
    await until(lambda: bool(busy(pool)))
    os.kill(busy(pool).pop(), signal.SIGSTOP)
    await pool.stop()
    for task in tasks:
        with pytest.raises(EngineDead, match="stopped before the clip was decoded"):
            await task
    with pytest.raises(EngineDead):
        await decoded(pool, "h264.mp4")
    assert not pool.alive
