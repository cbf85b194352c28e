"""Sources on the network, as they are: served by FFmpeg, GStreamer and a cheap camera's HTTP, cut and restored."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import anyio
import pytest

from service.errors import SourceLost
from service.watch import facts
from service.watch.address import Address
from service.watch.source import Frame, Source, SourceOptions
from tests.samples import CLIPS
from tests.server import PATIENCE_S
from tests.streams import Folder, MjpegHttp, ProcessSender, Sender, hls, mpegts_http, mpegts_tcp, mpegts_udp, rtsp

SENDERS: list[Callable[[], Sender]] = [mpegts_udp, mpegts_http, mpegts_tcp, MjpegHttp, rtsp]


class Watched:
    """A source that is read as fast as it comes.

    Args:
        address: where it is.
        options: how it is read.
    """

    def __init__(self, address: str, **options: object) -> None:
        self.told: list[facts.Fact] = []
        self.frames: list[Frame] = []
        self.stop = asyncio.Event()
        self.source = Source(Address.parse(address), SourceOptions(**options), self.told.append, self.stop)  # type: ignore[arg-type]
        self.error: SourceLost | None = None

    async def read(self) -> None:
        try:
            async for frame in self.source.frames():
                self.frames.append(frame)
        except SourceLost as error:
            self.error = error

    @asynccontextmanager
    async def reading(self) -> AsyncIterator["Watched"]:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self.read)
            yield self
            self.stop.set()

    async def until(self, holds: Callable[[], bool]) -> None:
        with anyio.fail_after(PATIENCE_S):
            while not holds():  # noqa: ASYNC110 - what holds comes from elsewhere
                await anyio.sleep(0.02)

    async def more(self, count: int = 10) -> None:
        enough = len(self.frames) + count
        await self.until(lambda: len(self.frames) >= enough)

    @property
    def losses(self) -> list[facts.Lost]:
        return [fact for fact in self.told if isinstance(fact, facts.Lost)]

    @property
    def times_s(self) -> list[float]:
        return [frame.time_s for frame in self.frames]


@pytest.mark.parametrize("sender", SENDERS, ids=lambda sender: sender.__name__)
async def test_a_source_that_is_cut_and_restored_goes_on_with_a_jump(sender: Callable[[], Sender]) -> None:
    with sender() as sending:
        async with Watched(sending.url, read_s=2.0).reading() as watched:
            await watched.more()
            sending.cut()
            await watched.until(lambda: len(watched.losses) > 0 and watched.source.pid is None)
            before = len(watched.frames)
            sending.restore()
            await watched.more()
    assert watched.frames[before].jump == "the connection was lost"
    assert [frame.jump for frame in watched.frames[1:before]] == [None] * (before - 1)
    assert watched.times_s == sorted(set(watched.times_s))
    assert watched.source.live
    assert watched.source.pid is None


@pytest.mark.parametrize("sender", SENDERS, ids=lambda sender: sender.__name__)
async def test_a_source_that_comes_late_is_waited_for(sender: Callable[[], Sender]) -> None:
    sending = sender()
    async with Watched(sending.url, open_s=1.0).reading() as watched:
        await watched.until(lambda: len(watched.losses) > 0)
        with sending:
            await watched.more()
    assert watched.frames[0].jump is None
    assert watched.frames[0].time_s < 2  # what came while it was opened is passed over


async def test_a_server_that_hangs_is_left_and_tried_again() -> None:
    with rtsp() as sending:
        assert isinstance(sending, ProcessSender)
        async with Watched(sending.url, read_s=1.0, open_s=2.0).reading() as watched:
            await watched.more()
            sending.hang()
            await watched.until(lambda: len(watched.losses) > 1)
            sending.cut()
            sending.restore()
            await watched.more()


async def test_a_capture_that_hangs_or_crashes_costs_a_connection_only() -> None:
    with MjpegHttp() as sending:
        async with Watched(sending.url, read_s=1.0).reading() as watched:
            for number in (signal.SIGSEGV, signal.SIGSTOP):
                await watched.more()
                assert watched.source.pid is not None
                before = len(watched.losses)
                os.kill(watched.source.pid, number)
                await watched.until(lambda before=before: len(watched.losses) > before)  # type: ignore[misc]
            await watched.more()
    assert watched.losses[0].detail == "the capture process was ended by SIGSEGV"


async def test_nothing_that_is_told_holds_what_is_secret() -> None:
    for sender in (MjpegHttp, rtsp):
        sending = sender()
        async with Watched(sending.url, open_s=1.0, attempts=2).reading() as watched:
            await watched.until(lambda: watched.error is not None)
            assert "secret" not in repr((watched.told, watched.error))
            assert "Connection refused" in str(watched.error)


async def test_a_camera_without_timestamps_keeps_the_time_of_the_wall_clock() -> None:
    with MjpegHttp(fps=8) as sending:
        async with Watched(sending.url).reading() as watched:
            await watched.more(24)
    first, last = watched.frames[4], watched.frames[-1]
    # FFmpeg makes 25 frames a second of any such source: a third of the time that has passed.
    assert last.time_s - first.time_s == pytest.approx(last.arrived_s - first.arrived_s, abs=0.01)


async def test_a_reader_that_is_slow_gets_the_newest_frame_of_what_is_live() -> None:
    with mpegts_http() as sending:
        watched = Watched(sending.url)
        async for frame in watched.source.frames():
            watched.frames.append(frame)
            await anyio.sleep(0.4)
            if len(watched.frames) == 6:
                watched.stop.set()
    assert watched.source.missed > 0
    assert watched.times_s[-1] - watched.times_s[0] > 0.5  # six frames on end are a quarter of a second


async def test_a_reader_that_is_slow_gets_every_frame_of_a_file_with_its_own_time() -> None:
    watched = Watched(str(CLIPS / "vfr.mp4"))
    async for frame in watched.source.frames():
        watched.frames.append(frame)
        await anyio.sleep(0.001)
    assert watched.source.missed == 0
    assert len(watched.frames) == 34
    assert watched.times_s[9:12] == pytest.approx([0.3, 1.0, 1.033], abs=0.001)


async def test_a_whole_file_behind_a_url_is_played_like_a_camera_and_ends() -> None:
    with Folder(CLIPS) as server:
        watched = Watched(f"{server.url}/vfr.mp4", open_s=5.0)
        with anyio.fail_after(PATIENCE_S):
            await watched.read()
    assert watched.source.received == 34
    first, last = watched.frames[0], watched.frames[-1]
    assert last.arrived_s - first.arrived_s > (last.time_s - first.time_s) / 2  # the network would take no time
    assert last.time_s == pytest.approx(1.967, abs=0.1)
    assert not watched.losses


async def test_a_whole_file_behind_a_url_is_read_whole_where_that_is_asked_for() -> None:
    with Folder(CLIPS) as server:
        watched = Watched(f"{server.url}/vfr.mp4", live=False)
        with anyio.fail_after(PATIENCE_S):
            async for frame in watched.source.frames():
                watched.frames.append(frame)
                await anyio.sleep(0.005)
    assert len(watched.frames) == 34
    assert not watched.losses


async def test_segments_that_come_at_once_are_seen_one_after_the_other(tmp_path: Path) -> None:
    with hls(tmp_path), Folder(tmp_path) as server:
        async with Watched(f"{server.url}/live.m3u8", open_s=3.0).reading() as watched:
            await watched.more(75)
    first, last = watched.frames[25], watched.frames[-1]
    assert last.arrived_s - first.arrived_s > (last.time_s - first.time_s) / 2


async def test_pictures_that_change_their_size_are_fitted_to_the_first() -> None:
    with MjpegHttp(grows_s=0.5) as sending:
        async with Watched(sending.url).reading() as watched:
            await watched.more(15)
    assert not watched.losses
    assert {frame.pixels.shape for frame in watched.frames} == {(120, 160, 3)}


async def test_a_file_that_begins_again_goes_on_in_time_with_a_jump() -> None:
    watched = Watched(str(CLIPS / "short.mp4"), loop=True)
    async for frame in watched.source.frames():
        watched.frames.append(frame)
        if sum(one.jump is not None for one in watched.frames) == 3:
            watched.stop.set()
    assert {frame.jump for frame in watched.frames} == {None, "the source began again"}
    assert watched.times_s == sorted(set(watched.times_s))


async def test_a_source_is_stopped_while_it_is_waited_for() -> None:
    with suppress(TimeoutError):
        async with Watched("rtsp://127.0.0.1:9/x").reading() as watched:
            await watched.until(lambda: len(watched.losses) > 0)
    assert watched.error is None
