"""A watch and its recogniser: what is told, closed and ended, whatever happens."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import cv2
import numpy as np
import pytest

from service.errors import EngineDead, SourceLost
from service.settings import Settings
from service.watch import facts
from service.watch.address import Address
from service.watch.answer import Answer
from service.watch.recogniser import Recogniser, RecogniserOptions, recognising
from service.watch.recorder import SaveOptions
from service.watch.source import SourceOptions
from service.watch.watch import WatchOptions, ppm, watch
from tests.colours import Colours
from tests.films import frames
from tests.foreign import imported
from tests.samples import CLIPS

CLIP = Address.parse(str(CLIPS / "h264.mp4"))


class Failing(Colours):
    """Fails at its tenth frame."""

    async def see(self, time_s: float, image: bytes) -> list[Answer]:
        if self.seen.total() == 9:
            raise EngineDead("the engine has died")
        return await super().see(time_s, image)

    async def end(self) -> list[Answer]:
        raise AssertionError("it is dead already")


class Watched:
    """What came of a watch.

    Args:
        recogniser: what sees its frames.
    """

    def __init__(self, recogniser: Recogniser) -> None:
        self.facts: list[facts.Fact] = []
        self.wanted: list[RecogniserOptions] = []
        self.stop = asyncio.Event()
        self._recogniser = recogniser

    def tell(self, fact: facts.Fact) -> None:
        self.facts.append(fact)

    def end(self) -> None:
        """All is kept already."""

    async def watch(self, options: WatchOptions) -> None:
        @asynccontextmanager
        async def begin(wanted: RecogniserOptions) -> AsyncIterator[Recogniser]:
            self.wanted.append(wanted)
            yield self._recogniser

        await watch(options, begin, self, self.stop)


async def test_a_recogniser_sees_every_frame_of_a_file_and_is_reset_where_it_begins_again() -> None:
    colours = Colours(slow_s=0.001)
    watched = Watched(colours)
    colours_seen = asyncio.create_task(watched.watch(WatchOptions(CLIP, SourceOptions(loop=True), top_k=3)))
    while len(colours.resets) < 2:  # noqa: ASYNC110 - the recogniser knows of no event
        await asyncio.sleep(0.01)
    watched.stop.set()
    await colours_seen
    assert watched.wanted == [RecogniserOptions(live=False, top_k=3)]
    assert colours.resets[:2] == ["the source began again"] * 2
    resets = [fact for fact in watched.facts if isinstance(fact, facts.Reset)]
    assert [fact.time_s for fact in resets[:2]] == pytest.approx([2.0, 4.0], abs=0.001)
    assert colours.seen.total() >= 120


async def test_a_recogniser_is_told_whether_the_newest_frame_counts() -> None:
    for options, live in ((SourceOptions(realtime=True), True), (SourceOptions(live=True), True)):
        watched = Watched(Colours())
        watched.stop.set()
        await watched.watch(WatchOptions(CLIP, options))
        assert [wanted.live for wanted in watched.wanted] == [live]


async def test_what_was_begun_is_closed_where_the_recogniser_fails(tmp_path: Path) -> None:
    drawn = tmp_path / "drawn.mp4"
    watched = Watched(Failing())
    with pytest.raises(EngineDead):
        await watched.watch(WatchOptions(CLIP, SourceOptions(), save=SaveOptions(tmp_path / "clips"), annotate=drawn))
    assert len(frames(drawn)) == 9
    *_, saved, ended = watched.facts
    assert isinstance(saved, facts.Saved)
    assert isinstance(ended, facts.Ended)
    assert ended.reason == "the engine has died"
    assert len(list((tmp_path / "clips").glob("*.json"))) == 1


async def test_a_source_that_cannot_be_read_is_told_at_the_end() -> None:
    watched = Watched(Colours())
    with pytest.raises(SourceLost, match="cannot be opened"):
        await watched.watch(WatchOptions(Address.parse(str(CLIPS / "text.mp4")), SourceOptions()))
    (ended,) = watched.facts
    assert isinstance(ended, facts.Ended)
    assert "cannot be opened" in ended.reason


async def test_frames_with_too_many_pixels_are_refused() -> None:
    watched = Watched(Colours())
    with pytest.raises(SourceLost, match="160x120 pixels; KINEMA_MAX_PIXELS allows 1000"):
        await watched.watch(WatchOptions(CLIP, SourceOptions(max_pixels=1000)))


async def test_frames_are_scaled_down_where_that_is_asked_for() -> None:
    watched = Watched(Colours())
    await watched.watch(WatchOptions(CLIP, SourceOptions(height=60)))
    assert isinstance(watched.facts[0], facts.Opened)
    assert (watched.facts[0].width, watched.facts[0].height) == (80, 60)


async def test_a_model_of_whole_windows_recognises_what_is_watched(tmp_path: Path) -> None:
    imported("torchscript", tmp_path / "tiny")
    begin = recognising(Settings(model=tmp_path / "tiny", decoders=1).options())
    watched = Watched(Colours())
    await watch(WatchOptions(CLIP, SourceOptions()), begin, watched, watched.stop)
    assert [fact for fact in watched.facts if isinstance(fact, facts.Seen)]
    assert isinstance(watched.facts[-1], facts.Ended)


def test_a_picture_is_what_a_frame_was() -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    image = ppm(pixels)
    assert image.startswith(b"P6\n7 5\n255\n")
    assert np.array_equal(cv2.imdecode(np.frombuffer(image, np.uint8), cv2.IMREAD_COLOR), pixels)  # type: ignore[arg-type]
