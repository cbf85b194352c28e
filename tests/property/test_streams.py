"""Streams that come, go, begin anew, expire and move: each is told what it is told alone, and no bytes are a bug."""

import asyncio
import hashlib
import json
import random
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.errors import ClipError, FrameRefused, MalformedRequest, StateRefused, StreamGone
from service.inference.bundle import Bundle
from service.inference.card import Card
from service.stream.engine import Engine
from service.stream.inbox import Drop
from service.stream.snapshot import Snapshot, pack, unpack
from service.stream.stream import Stream
from service.stream.streams import Streams
from service.stream.told import Failed, FrameFailed, Happened, News, Restarted, Told
from service.stream.wishes import Wishes
from service.video.follow import Follower
from service.video.source import Limits
from service.video.still import decode_still
from tests.bundles import make_bundle
from tests.foreign import imported
from tests.streaming import PATIENCE_S, Shot, engine, load, make_streaming, noise, said, sharing, shots, working

TOLERANCE = 1e-5
STREAMS, AT_ONCE, SCRIPTS = 200, 30, 14

Essence = tuple[object, ...]


class Script(NamedTuple):
    """What one client does: frames (time and what they show), None for a reset, "move" for a new place."""

    wishes: Wishes
    acts: list[tuple[float, int] | str]


def script(seed: int) -> Script:
    drawn = random.Random(seed)
    acts: list[tuple[float, int] | str] = []
    time_s = drawn.choice((0.0, 1.75e9))
    for number in range(drawn.randint(1, 14)):
        match drawn.random():
            case chance if chance < 0.06:
                acts.append("reset")
                time_s = drawn.uniform(0, 9)
            case chance if chance < 0.14:
                acts.append("move")
            case chance if chance < 0.2:
                time_s += 3.0
            case chance if chance < 0.25:
                acts.append((time_s + 0.02, -1))  # no picture
        time_s += drawn.choice((0.033, 0.1, 0.1, 0.14, 0.4))
        acts.append((time_s, 100 * seed + number))
    return Script(Wishes(2, drawn.choice((0.0, 0.3)), Drop.NONE, drawn.choice(("auto", "endless", 0.4))), acts)


def essence(told: list[News]) -> list[Essence]:
    """What a client is told, but for how long it took."""
    found: list[Essence] = []
    for one in told:
        match one:
            case Told():
                ranked = sorted((each.label_id, each.score) for each in one.predictions)
                found.append((one.time_s, one.partial, one.abstained, one.state_age_s, one.used, *ranked))
            case Restarted():
                found.append(("restart", one.time_s, one.reason))
            case FrameFailed():
                found.append(("failed", one.time_s, type(one.error).__name__))
            case Failed():
                raise one.error
            case Happened():
                raise AssertionError(f"nobody asked for events, and there is {one.event}")
    return found


def agree(found: list[Essence], expected: list[Essence]) -> None:
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        for mine, theirs in zip(one, other, strict=True):
            assert mine == (pytest.approx(theirs, abs=TOLERANCE) if isinstance(theirs, tuple) else theirs)


class Client:
    """Plays a script on streams.

    Args:
        streams: where.
        wanted: the script.
    """

    def __init__(self, streams: Streams, wanted: Script) -> None:
        self._streams = streams
        self._script = wanted
        self.told: list[News] = []
        self.name = ""

    async def play(self, drawn: random.Random | None, *, leaves: bool = False) -> None:
        """Plays it; with `drawn` at a pace of its own, and `leaves` leaves somewhere in the midst of it."""
        acts = self._script.acts
        stays = len(acts) if drawn is None or not leaves else drawn.randrange(len(acts))
        stream = await self._open()
        for act in acts[:stays]:
            if drawn is not None:
                await asyncio.sleep(drawn.choice((0, 0, 0.001, 0.003)))
            if act == "move":
                stream = await self._move(stream)
            elif act == "reset":
                self.told += await self._reset(stream)
            else:
                assert not isinstance(act, str)
                time_s, shown = act
                image = b"no picture" if shown == -1 else noise(shown)
                self.told += await said(stream, [Shot(time_s, image)], end=False)
        if not leaves:
            self.told += await said(stream, [])
        self._streams.end(self.name, "expired" if leaves else "closed")

    async def _open(self) -> Stream:
        self.name, stream = await self._streams.open(self._script.wishes)
        return stream

    async def _move(self, stream: Stream) -> Stream:
        card = self._streams.engine.bundle.card
        data, before = pack(card, Snapshot(*await stream.dump())), self.name
        moved = await self._open()
        await moved.load(*unpack(card, data))
        self._streams.end(before, "deleted")
        with pytest.raises(StreamGone):
            self._streams.get(before)
        return moved

    async def _reset(self, stream: Stream) -> list[News]:
        told: list[News] = []
        async with asyncio.timeout(PATIENCE_S):
            await stream.reset()
        while not stream.news.empty():
            told.append(stream.news.get_nowait())
            stream.news.task_done()
        return told


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return load(make_streaming(tmp_path_factory.mktemp("bundles"), abstains=True))


@pytest.fixture(scope="module")
async def shared(bundle: Bundle) -> AsyncIterator[Engine]:
    async with engine(bundle) as made:
        yield made


async def crowd(streams: Streams, scripts: list[Script], count: int) -> None:
    """Plays each script alone, then many at once, and holds one against the other."""
    alone: list[list[Essence]] = []
    for one in scripts:
        client = Client(streams, one)
        await client.play(None)
        alone.append(essence(client.told))
    assert any(alone)
    numbers = iter(range(count))
    compared = 0

    async def visit() -> None:
        nonlocal compared
        for number in numbers:
            drawn = random.Random(number)
            which = drawn.randrange(len(scripts))
            client, leaves = Client(streams, scripts[which]), drawn.random() < 0.3
            await client.play(drawn, leaves=leaves)
            found = essence(client.told)
            agree(found, alone[which][: len(found)] if leaves else alone[which])
            compared += len(found)

    await asyncio.gather(*(visit() for _ in range(AT_ONCE)))
    assert compared > count
    assert (len(streams), streams.waiting_bytes) == (0, 0)


async def test_hundreds_of_streams_are_told_what_each_is_told_alone(shared: Engine) -> None:
    with sharing(shared) as streams:
        await crowd(streams, [script(seed) for seed in range(SCRIPTS)], STREAMS)


async def test_so_are_streams_whose_windows_are_read_whole(tmp_path: Path) -> None:
    imported("handmade", tmp_path / "whole")
    for windowed in (load(make_bundle(tmp_path / "slides")), load(tmp_path / "whole")):
        async with engine(windowed) as own:
            with sharing(own) as streams:
                scripts = [script(seed) for seed in range(5)]
                scripts = [Script(one.wishes, one.acts[:8]) for one in scripts]
                await crowd(streams, scripts, 30)


times = st.lists(
    st.one_of(st.floats(0, 20), st.floats(allow_nan=False, allow_infinity=False), st.integers(0, 50).map(float)),
    max_size=40,
)


@given(times_s=times, ordered=st.booleans(), fps=st.sampled_from([0.3, 5.0, 10.0, 30.0]))
def test_no_timestamps_lead_a_follower_astray(times_s: list[float], ordered: bool, fps: float) -> None:
    following, last_s = Follower(fps, 2.0), None
    for time_s in sorted(times_s) if ordered else times_s:
        upto, start_s = following.upto, following.start_s
        try:
            served = following.see(time_s)
        except FrameRefused:
            assert last_s is not None
            assert time_s <= last_s
            assert (following.upto, following.last_s) == (upto, last_s)
            continue
        assert last_s is None or time_s > last_s
        last_s = time_s
        assert following.plausible
        if served is not None and served.start_s == start_s:
            assert upto < served.upto <= upto + 2 * fps + 3
        assert following.start_s is not None
        assert served is not None or following.start_s == start_s


@given(
    st.one_of(st.binary(max_size=300), st.sampled_from([b"\xff\xd8\xff", b"RIFF", b"P6\n", b"\x89PNG\r\n\x1a\n"])),
    st.binary(max_size=200),
)
def test_no_bytes_are_more_than_a_picture_or_a_problem(start: bytes, more: bytes) -> None:
    with suppress(ClipError):
        assert decode_still(start + more, Limits(10_000, 1, 1)).shape[2] == 3


@pytest.fixture(scope="module")
def state(bundle: Bundle) -> bytes:
    async def made() -> bytes:
        async with working(bundle) as streams:
            _, stream = await streams.open(Wishes(every_s=0))
            await said(stream, shots(12), end=False)
            return pack(bundle.card, Snapshot(*await stream.dump()))

    return asyncio.run(made())


def take(card: Card, data: bytes) -> None:
    try:
        values, arrays = unpack(card, data)
    except (MalformedRequest, StateRefused):
        return
    assert values["counts"]["received"] >= 0
    assert all(np.isfinite(value).all() for value in arrays.values())


@given(data=st.data())
def test_no_bytes_are_more_than_a_state_or_a_problem(bundle: Bundle, state: bytes, data: st.DataObject) -> None:
    """Bytes are changed, cut and put in; half of the time with a checksum that is right again."""
    changed = bytearray(state[:-32])
    for _ in range(data.draw(st.integers(0, 4))):
        place = data.draw(st.integers(0, len(changed)))
        changed[place : place + data.draw(st.integers(0, 8))] = data.draw(st.binary(max_size=8))
    end = hashlib.sha256(changed).digest() if data.draw(st.booleans()) else state[-32:]
    take(bundle.card, bytes(changed) + end)


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@given(data=st.data())
def test_no_header_is_more_than_a_state_or_a_problem(bundle: Bundle, state: bytes, data: st.DataObject) -> None:
    """A value somewhere in the header becomes something else."""
    length = int.from_bytes(state[16:20])
    header = json.loads(state[20 : 20 + length])
    place = header
    while True:
        keys = list(range(len(place))) if isinstance(place, list) else list(place)
        key = data.draw(st.sampled_from(keys))
        if isinstance(place[key], dict | list) and place[key] and data.draw(st.booleans()):
            place = place[key]
            continue
        place[key] = data.draw(anything)
        break
    told = json.dumps(header).encode()
    body = state[:16] + len(told).to_bytes(4) + told + state[20 + length : -32]
    take(bundle.card, body + hashlib.sha256(body).digest())
