"""Looks at single frames: the pictures are those of a clip, and a bad frame costs nothing but itself."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import replace

import cv2
import numpy as np
import pytest

from service.errors import EngineDead, LimitExceeded, UndecodableClip, UnsupportedMedia
from service.video.decode import DecodeTask, MadePicture, decode
from service.video.look import Drawn, Looked, LookTask, Slate, look
from service.video.pool import DecoderPool, Lanes
from service.video.preprocess import Frame
from service.video.sample import SamplingPlan
from service.video.source import NO_LIMITS, Limits
from service.video.spec import Flow, PictureSpec
from tests.samples import clip
from tests.streaming import Shot, frames, noise

PATIENCE_S = 60.0
FLOW = Flow(size=64, preset="ultrafast", scale=10, magnitude_scale=16)
LOOK = PictureSpec(name="look", picture="rgb", size=24, cadence=1)
DRIFT = PictureSpec(name="drift", picture="flow", size=16, cadence=1, flow=FLOW)
BOTH = (LOOK, DRIFT)
TASK = LookTask(BOTH, ("look",), (), follows=False, limits=Limits(320 * 240, 60, 100))


def pixels(shot: Shot) -> Frame:
    return np.asarray(cv2.imdecode(np.frombuffer(shot.image, np.uint8), cv2.IMREAD_COLOR), dtype=np.uint8)


def greys(slate: Slate | Drawn) -> Mapping[str, Frame]:
    return {"drift": slate.place("grey", "drift").copy()}


def test_pictures_are_those_of_a_clip() -> None:
    shots = frames("h264.mp4", 0.2)
    made: dict[tuple[str, int], Frame] = {}

    def keep(one: MadePicture) -> None:
        made[one.kind, one.step] = one.pixels.copy()

    plan = SamplingPlan(num_clips=1, clip_len=5, fps=30, anchored=True)
    decode(clip("h264.mp4"), DecodeTask(plan, BOTH, NO_LIMITS, 0, 0.2), keep)
    slate = Slate(BOTH)
    assert look(pixels(shots[0]), replace(TASK, fresh=()), slate) == Looked(160, 120)
    for step, shot in enumerate(shots[1:]):
        look(pixels(shot), replace(TASK, fresh=("look", "drift"), follows=True), slate)
        for kind in ("look", "drift"):
            np.testing.assert_array_equal(slate.place("fresh", kind), made[kind, step])


def test_a_frame_seen_again_has_not_moved() -> None:
    slate = Slate(BOTH)
    look(pixels(Shot(0, noise(1))), replace(TASK, fresh=()), slate)
    look(pixels(Shot(0, noise(2))), replace(TASK, fresh=("drift",), again=("drift",), follows=True), slate)
    assert slate.place("fresh", "drift").std() > 1
    again = slate.place("again", "drift")
    assert (again[:, :, :2] == 128).all()
    assert not again[:, :, 2].any()


def test_a_frame_of_which_no_picture_is_wanted_leaves_its_grey_frame_for_the_next() -> None:
    slate = Slate(BOTH)
    look(pixels(Shot(0, noise(1))), replace(TASK, fresh=()), slate)
    expected = greys(slate)["drift"]
    other = Slate(BOTH)
    look(pixels(Shot(0, noise(2))), replace(TASK, fresh=()), other)
    look(pixels(Shot(0, noise(1))), replace(TASK, fresh=(), follows=True), other)
    np.testing.assert_array_equal(greys(other)["drift"], expected)
    assert not other.place("fresh", "look").any()


def test_what_was_looked_at_before_plays_no_part() -> None:
    """The makers are kept; two streams that take turns must not see each other's frames."""
    alone, between = Slate(BOTH), Slate(BOTH)
    both = replace(TASK, fresh=("drift",), follows=True)
    look(pixels(Shot(0, noise(1))), replace(TASK, fresh=()), alone)
    look(pixels(Shot(0, noise(2))), both, alone)
    look(pixels(Shot(0, noise(1))), replace(TASK, fresh=()), between)
    look(pixels(Shot(0, noise(7))), replace(TASK, fresh=()), Slate(BOTH))
    look(pixels(Shot(0, noise(2))), both, between)
    np.testing.assert_array_equal(alone.place("fresh", "drift"), between.place("fresh", "drift"))


def test_a_slate_is_shared_with_whoever_has_its_descriptor() -> None:
    ours = Slate(BOTH)
    theirs = Slate(BOTH, os.dup(ours.fileno()))
    theirs.place("fresh", "look")[:] = 7
    theirs.place("grey", "drift")[:] = 9
    assert (ours.place("fresh", "look") == 7).all()
    assert (ours.place("grey", "drift") == 9).all()
    assert not ours.place("again", "drift").any()
    ours.close()
    ours.close()
    assert (ours.place("fresh", "look") == 7).all(), "the memory outlives the descriptor"


def test_a_slate_has_no_place_for_what_is_not_made() -> None:
    with pytest.raises(KeyError):
        Slate((LOOK,)).place("grey", "look")


@pytest.fixture
async def pool() -> AsyncIterator[DecoderPool]:
    working = DecoderPool(Lanes(short=0, long=0))
    await working.start_looking()
    yield working
    await working.stop()


async def looked(
    pool: DecoderPool, image: bytes, task: LookTask = TASK, before: Mapping[str, Frame] | None = None, s: float = 60
) -> Drawn:
    return await pool.look(image, task, before or {}, s)


async def until(holds: Callable[[], object]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not holds():  # noqa: ASYNC110 - what is waited for happens in other processes
            await asyncio.sleep(0.01)


def looker(pool: DecoderPool) -> int:
    (process,) = pool._look._free
    return process.pid


async def test_a_process_looks_as_one_would_here(pool: DecoderPool) -> None:
    first = await looked(pool, noise(1), replace(TASK, fresh=()))
    both = replace(TASK, fresh=("look", "drift"), follows=True)
    second = await looked(pool, noise(2), both, greys(first))
    here = Slate(BOTH)
    here.place("grey", "drift")[:] = greys(first)["drift"]
    look(pixels(Shot(0, noise(2))), both, here)
    for kind in ("look", "drift"):
        np.testing.assert_array_equal(second.place("fresh", kind), here.place("fresh", kind))


async def test_a_bad_frame_is_told_and_its_process_takes_the_next(pool: DecoderPool) -> None:
    pid = looker(pool)
    for image, expected in (
        (clip("h264.mp4"), UnsupportedMedia),
        (noise(1)[:100], UndecodableClip),
        (noise(1, side=400), LimitExceeded),
    ):
        with pytest.raises(expected):
            await looked(pool, image)
    await looked(pool, noise(1))
    assert looker(pool) == pid


async def test_a_process_that_dies_of_a_frame_costs_that_frame_alone(pool: DecoderPool) -> None:
    pid = looker(pool)
    (process,) = pool._processes
    # Large enough to be at it for a while.
    doomed = asyncio.create_task(looked(pool, noise(1, side=4000), replace(TASK, limits=NO_LIMITS)))
    await until(lambda: process._listening.taken)
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(UndecodableClip, match="SIGKILL"):
        await doomed
    assert (await looked(pool, noise(2))).place("fresh", "look").any()
    assert looker(pool) != pid


async def test_a_process_that_hangs_in_a_frame_is_killed(pool: DecoderPool) -> None:
    pid = looker(pool)
    os.kill(pid, signal.SIGSTOP)
    with pytest.raises(UndecodableClip, match=r"took longer than 0\.1 s"):
        await looked(pool, noise(1), s=0.1)
    assert (await looked(pool, noise(2))).place("fresh", "look").any()
    assert looker(pool) != pid


async def test_looking_begins_with_the_first_stream_and_only_once() -> None:
    pool = DecoderPool(Lanes(short=0, long=0, look=2))
    try:
        assert pool.pids == []
        await asyncio.gather(*(pool.start_looking() for _ in range(5)))
        assert len(pool.pids) == 2
        await pool.start_looking()
        assert len(pool.pids) == 2
    finally:
        await pool.stop()


async def test_nothing_is_looked_at_after_the_end(pool: DecoderPool) -> None:
    await pool.stop()
    with pytest.raises(EngineDead):
        await looked(pool, noise(1))
    with pytest.raises(EngineDead):
        await pool.start_looking()


async def test_a_frame_too_large_for_the_slate_is_looked_at_too(pool: DecoderPool) -> None:
    picture = pixels(Shot(0, noise(3)))
    header = b"P6\n%d %d\n255\n" % (picture.shape[1], picture.shape[0])
    # Whoever reads a PPM stops where its pixels end.
    small = header + picture[..., ::-1].tobytes()
    large = small + bytes(2_000_000)
    for image in (small, large, small):
        drawn = await looked(pool, image, replace(TASK, fresh=("look",)))
        expected = await looked(pool, noise(3), replace(TASK, fresh=("look",)))
        np.testing.assert_array_equal(drawn.place("fresh", "look"), expected.place("fresh", "look"))


async def test_what_was_drawn_stays_when_the_slate_is_drawn_on_again(pool: DecoderPool) -> None:
    first = await looked(pool, noise(1), replace(TASK, fresh=("look",)))
    kept = first.place("fresh", "look").copy()
    await looked(pool, noise(2), replace(TASK, fresh=("look",)))
    np.testing.assert_array_equal(first.place("fresh", "look"), kept)
