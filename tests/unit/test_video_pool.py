"""The decoders at work: several clips at a time, each stopped by itself."""

import asyncio
import threading
from collections.abc import AsyncIterator

import pytest

from service.errors import EngineDead, UnsupportedMedia
from service.video.decode import DecodeTask, MadePicture, decode
from service.video.pool import DecoderPool
from service.video.sample import SamplingPlan
from service.video.source import Limits
from service.video.spec import PictureSpec
from tests.samples import clip

PATIENCE_S = 30.0
TASK = DecodeTask(
    SamplingPlan(num_clips=60, clip_len=1, fps=30, anchored=False),
    (PictureSpec(name="look", picture="rgb", size=16, cadence=1),),
    Limits(max_pixels=1_000_000, max_duration_s=60, max_frames=10_000),
)


@pytest.fixture
async def pool() -> AsyncIterator[DecoderPool]:
    working = DecoderPool(2)
    yield working
    working.stop()


@pytest.fixture
async def one_worker() -> AsyncIterator[DecoderPool]:
    working = DecoderPool(1)
    yield working
    working.stop()


async def test_a_clip_is_decoded_as_without_a_pool_and_its_time_is_told(pool: DecoderPool) -> None:
    pictures: list[MadePicture] = []
    decoding = await pool.decode(clip("h264.mp4"), TASK, pictures.append)
    assert decoding.decoded == decode(clip("h264.mp4"), TASK, lambda made: None)
    assert len(pictures) == 60
    assert decoding.started_s < decoding.ended_s


async def test_a_bad_clip_fails_alone(pool: DecoderPool) -> None:
    bad, good = await asyncio.gather(
        pool.decode(clip("text.mp4"), TASK, lambda made: None),
        pool.decode(clip("h264.mkv"), TASK, lambda made: None),
        return_exceptions=True,
    )
    assert isinstance(bad, UnsupportedMedia)
    assert not isinstance(good, BaseException)
    assert len(good.decoded.times_s) == 60


async def test_as_many_clips_as_there_are_workers_are_decoded_at_the_same_time(pool: DecoderPool) -> None:
    together = threading.Barrier(2, timeout=PATIENCE_S)
    met: list[int] = []

    def meet(made: MadePicture) -> None:
        if made.window == 0:
            met.append(together.wait())

    await asyncio.gather(*(pool.decode(clip("h264.mp4"), TASK, meet) for _ in range(2)))
    assert sorted(met) == [0, 1]


async def test_a_clip_that_nobody_waits_for_is_stopped_before_its_next_frame(one_worker: DecoderPool) -> None:
    pictures: list[MadePicture] = []
    begun, go_on = threading.Event(), threading.Event()

    def hold(made: MadePicture) -> None:
        pictures.append(made)
        begun.set()
        assert go_on.wait(PATIENCE_S)

    waiting = asyncio.create_task(one_worker.decode(clip("h264.mp4"), TASK, hold))
    assert await asyncio.to_thread(begun.wait, PATIENCE_S)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    go_on.set()
    await one_worker.decode(clip("one-frame.mp4"), TASK, lambda made: None)  # the only worker is done with the first
    assert len(pictures) == 1


async def test_a_clip_given_up_before_its_turn_is_never_opened(one_worker: DecoderPool) -> None:
    begun, go_on = threading.Event(), threading.Event()
    seen: list[MadePicture] = []

    def hold(made: MadePicture) -> None:
        begun.set()
        assert go_on.wait(PATIENCE_S)

    first = asyncio.create_task(one_worker.decode(clip("one-frame.mp4"), TASK, hold))
    assert await asyncio.to_thread(begun.wait, PATIENCE_S)
    second = asyncio.create_task(one_worker.decode(clip("h264.mp4"), TASK, seen.append))
    await asyncio.sleep(0)
    second.cancel()
    with pytest.raises(asyncio.CancelledError):
        await second
    go_on.set()
    await first
    await one_worker.decode(clip("one-frame.mp4"), TASK, lambda made: None)  # what waited before this has had its turn
    assert seen == []


async def test_stopping_fails_a_clip_before_its_next_frame(one_worker: DecoderPool) -> None:
    pictures: list[MadePicture] = []
    begun, go_on = threading.Event(), threading.Event()

    def hold(made: MadePicture) -> None:
        pictures.append(made)
        begun.set()
        assert go_on.wait(PATIENCE_S)

    decoding = asyncio.create_task(one_worker.decode(clip("h264.mp4"), TASK, hold))
    assert await asyncio.to_thread(begun.wait, PATIENCE_S)
    stopping = asyncio.create_task(asyncio.to_thread(one_worker.stop))
    assert await asyncio.to_thread(one_worker._stopping.wait, PATIENCE_S)
    go_on.set()
    with pytest.raises(EngineDead, match="stopped before the clip was decoded"):
        await decoding
    await stopping
    assert len(pictures) == 1
