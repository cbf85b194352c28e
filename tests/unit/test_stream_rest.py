"""Streams at rest: their memory lies on disk, and comes back as it was."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from service.inference.bundle import Bundle
from service.stream.attic import Attic
from service.stream.told import Told
from tests.streaming import EVERY, LIMITS, load, make_streaming, said, scores, shots, working

PATIENCE_S = 60.0


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return load(make_streaming(tmp_path_factory.mktemp("rest"), abstains=True))


async def test_a_stream_that_rests_goes_on_as_if_it_had_not(bundle: Bundle) -> None:
    async with working(bundle) as streams:
        _, awake = await streams.open(EVERY)
        _, sleepy = await streams.open(EVERY)
        sent = shots(30)
        expected = await said(awake, sent)
        told = []
        for shot in sent:
            told += await said(sleepy, [shot], end=False)
            age_s = sleepy.state_age_s
            sleepy.rest()
            assert sleepy.rests
            assert sleepy.state_age_s == age_s
        told += await said(sleepy, [])
        for one, other in zip(expected, told, strict=True):
            assert isinstance(one, Told)
            assert isinstance(other, Told)
            assert one.time_s == other.time_s
            assert np.array_equal(scores(one.predictions), scores(other.predictions))
            assert np.array_equal(scores(one.smoothed), scores(other.smoothed))


async def test_what_rests_is_thrown_away_with_its_stream(bundle: Bundle) -> None:
    async with working(bundle) as streams:
        name, stream = await streams.open(EVERY)
        await said(stream, shots(5), end=False)
        stream.rest()
        assert len(streams.engine.attic) == 1
        streams.end(name, "deleted")
        assert len(streams.engine.attic) == 0


async def test_a_stream_with_a_frame_to_look_at_does_not_rest(bundle: Bundle) -> None:
    async with working(bundle) as streams:
        _, stream = await streams.open(EVERY)
        await stream.push(*shots(1)[0])
        stream.rest()
        assert not stream.rests
        await stream.settled()


async def test_idle_streams_are_put_to_rest_in_time(bundle: Bundle) -> None:
    async with working(bundle, replace(LIMITS, rest_s=0.05)) as streams:
        _, stream = await streams.open(EVERY)
        await said(stream, shots(5), end=False)
        async with asyncio.timeout(PATIENCE_S):
            while not stream.rests:  # noqa: ASYNC110 - nothing tells of it
                await asyncio.sleep(0.01)


@pytest.fixture
def attic() -> Iterator[Attic]:
    own = Attic(room=8)
    yield own
    own.close()


def test_places_in_the_attic_are_used_again(attic: Attic) -> None:
    one, other = attic.put(b"one"), attic.put(b"another")
    assert one is not None
    assert other is not None
    assert attic.take(one) == b"one"
    assert attic.put(b"third") == one
    attic.drop(one)
    assert attic.take(other) == b"another"
    assert len(attic) == 0


def test_what_is_too_large_or_has_no_disk_stays_where_it_is(
    attic: Attic, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert attic.put(b"more than eight") is None
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "nowhere"))
    assert attic.put(b"small") is None
    assert len(attic) == 0
