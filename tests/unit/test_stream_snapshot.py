"""A stream's state as bytes: it goes on where it was, and nothing that was changed or made up is taken."""

import copy
import hashlib
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from service.errors import ClipError, MalformedRequest, StateRefused
from service.inference.bundle import Bundle
from service.stream.snapshot import Snapshot, pack, unpack
from service.stream.stream import Stream
from service.stream.streams import Streams
from service.stream.told import Told
from service.stream.wishes import Wishes
from tests.bundles import edit, make_bundle
from tests.foreign import imported
from tests.streaming import EVERY, Shot, load, make_streaming, noise, said, shots, working

Change = Callable[[dict[str, Any], dict[str, Any]], object]
Refused = (StateRefused, MalformedRequest)


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_streaming(tmp_path_factory.mktemp("bundles"), abstains=True)


@pytest.fixture(scope="module")
def bundle(directory: Path) -> Bundle:
    return load(directory)


@pytest.fixture
async def streams(bundle: Bundle) -> AsyncIterator[Streams]:
    async with working(bundle) as live:
        yield live


async def begun(streams: Streams, sent: list[Shot], wishes: Wishes = EVERY) -> Stream:
    _, stream = await streams.open(wishes)
    await said(stream, sent, end=False)
    return stream


async def packed(streams: Streams, stream: Stream) -> bytes:
    return pack(streams.engine.bundle.card, Snapshot(*await stream.dump()))


def answers(told: list[Any]) -> list[Any]:
    return [(one.time_s, one.predictions, one.abstained, one.state_age_s, one.partial) for one in told]


def kinds(tmp_path: Path) -> list[Bundle]:
    imported("handmade", tmp_path / "whole")
    return [load(make_streaming(tmp_path / "a")), load(make_bundle(tmp_path / "b")), load(tmp_path / "whole")]


async def test_a_stream_goes_on_elsewhere_as_it_would_have_here(tmp_path: Path) -> None:
    for bundle in kinds(tmp_path):
        sent = [*shots(12, fps=7), *shots(6, fps=30, start_s=2.0, seed=1), *shots(4, start_s=9.0, seed=2)]
        async with working(bundle) as here, working(bundle) as there:
            for cut in (0, 1, 2, 7, 12, 15, 22):
                stays = await begun(here, sent[:cut])
                goes = await begun(there, shots(3, seed=9))  # nothing of this is left
                snapshot = unpack(bundle.card, await packed(here, stays))
                await goes.load(*snapshot)
                expected, found = await said(stays, sent[cut:]), await said(goes, sent[cut:])
                assert [type(one) for one in found] == [type(one) for one in expected]
                told = [one for one in found if isinstance(one, Told)]
                assert answers(told) == answers([one for one in expected if isinstance(one, Told)])
                assert (goes.received, goes.used, goes.dropped) == (stays.received, stays.used, stays.dropped)


async def test_every_byte_counts(streams: Streams, bundle: Bundle) -> None:
    data = await packed(streams, await begun(streams, shots(12)))
    chance = np.random.default_rng(1)
    for place in [0, 15, 16, 19, 20, len(data) - 33, len(data) - 1, *chance.integers(0, len(data), 200)]:
        changed = bytearray(data)
        changed[place] ^= 1 << int(chance.integers(0, 8))
        with pytest.raises(MalformedRequest) as refused:
            unpack(bundle.card, bytes(changed))
        assert refused.value.advice
    for length in [*range(60), len(data) - 32, len(data) - 1]:
        with pytest.raises(MalformedRequest):
            unpack(bundle.card, data[:length])
    with pytest.raises(MalformedRequest):
        unpack(bundle.card, data + b"\0")


@pytest.mark.parametrize("change", [{"name": "another"}, {"version": "1.0.1"}, {"temperature": 2.0}])
async def test_a_state_of_another_model_or_version_is_refused(
    streams: Streams, bundle: Bundle, change: dict[str, Any]
) -> None:
    data = await packed(streams, await begun(streams, shots(3)))
    with pytest.raises(StateRefused, match=r"the state is of the model small 1\.0\.0, not of") as refused:
        unpack(bundle.card.model_copy(update=change), data)
    assert refused.value.advice


async def test_a_state_of_a_stream_with_another_memory_is_refused(streams: Streams, bundle: Bundle) -> None:
    stream = await begun(streams, shots(3))
    other = await begun(streams, [], Wishes(memory_s="endless"))
    with pytest.raises(StateRefused, match="begins anew"):
        await other.load(*unpack(bundle.card, await packed(streams, stream)))
    assert other.received == 0


def forged(header: object, arrays: bytes = b"") -> bytes:
    told = header if isinstance(header, bytes) else json.dumps(header).encode()
    body = b"kinema stream 1\n" + len(told).to_bytes(4) + told + arrays
    return body + hashlib.sha256(body).digest()


async def test_headers_that_lie_are_refused(streams: Streams, bundle: Bundle) -> None:
    data = await packed(streams, await begun(streams, []))
    length = int.from_bytes(data[16:20])
    header = json.loads(data[20 : 20 + length])

    def lying(**changes: Any) -> bytes:
        return forged(header | changes)

    huge, deep = [[{"name": "x", "dtype": "float32", "shape": shape}] for shape in ([2**33, 2**33], [2**31] * 5)]
    for bytes_ in (
        forged(b""),
        forged(b"[" * 100_000),
        forged(b"{"),
        forged([]),
        forged(b"kinema stream 1\n" + (2**31).to_bytes(4)),
        lying(arrays=huge),
        lying(arrays=deep),
        lying(arrays=[{"name": "x", "dtype": "float32", "shape": [0, 2**40]}]),
        lying(arrays=[{"name": "x", "dtype": "float32", "shape": [10**400]}]),
        lying(arrays=[{"name": "x", "dtype": "object", "shape": [1]}]),
        lying(arrays=[{"name": "x", "dtype": "float32", "shape": [-1]}]),
        lying(arrays=[{"name": "x", "dtype": "float32", "shape": [1] * 60}]),
        lying(arrays=[{"name": str(index), "dtype": "float32", "shape": []} for index in range(1000)]),
        lying(more=1),
        lying(values={}),
    ):
        with pytest.raises(MalformedRequest):
            unpack(bundle.card, bytes_)


@pytest.mark.parametrize("number", [float("nan"), float("inf"), -float("inf")])
async def test_what_is_no_number_is_refused(streams: Streams, bundle: Bundle, number: float) -> None:
    stream = await begun(streams, shots(12))
    values, arrays = await stream.dump()
    floats = [name for name, value in arrays.items() if value.dtype == np.float32]
    assert len(floats) > 6
    for name in floats:
        changed = {**arrays, name: np.full_like(arrays[name], number)}
        with pytest.raises(MalformedRequest, match="no number"):
            unpack(bundle.card, pack(bundle.card, Snapshot(values, changed)))
    for part, name in (("run", "due"), ("run", "last_s"), ("run", "start_s"), ("follower", "interval_s")):
        told = copy.deepcopy(dict(values))
        told[part][name] = number
        with pytest.raises(MalformedRequest):
            unpack(bundle.card, pack(bundle.card, Snapshot(told, arrays)))


def put(part: str, name: str, value: object) -> Change:
    return lambda values, arrays: values[part].update({name: value})


def without(start: str) -> Change:
    def change(values: dict[str, Any], arrays: dict[str, Any]) -> None:
        for name in [one for one in arrays if one.startswith(start)]:
            del arrays[name]

    return change


def blank(name: str, *shape: int, dtype: type = np.float32) -> Change:
    return lambda values, arrays: arrays.update({name: np.zeros(shape, dtype)})


MADE_UP: list[Change] = [
    put("follower", "upto", 0),
    put("follower", "upto", 2**53),
    put("follower", "upto", 2**60),
    put("follower", "interval_s", 0),
    put("follower", "interval_s", -1),
    put("follower", "start_s", -1e308),
    put("follower", "start_s", None),
    put("follower", "last_s", 1e308),
    put("follower", "last_s", None),
    put("run", "moments", 0),
    put("run", "moments", 1),
    put("run", "moments", 10**6),
    put("run", "moments", 10**400),
    put("run", "skipped", 11),
    put("run", "skipped", 10**6),
    put("run", "skipped", -1),
    put("run", "memory", {}),
    put("run", "memory", {"every": 8, "ages": [8, 8]}),
    put("run", "memory", {"every": 8, "ages": [0]}),
    put("run", "memory", {"every": 8, "ages": [12]}),
    put("run", "memory", {"every": 8.5, "ages": [11, 3]}),
    put("counts", "received", 10**400),
    put("counts", "used", -1),
    without("held."),
    without("held.drift"),
    without("grey."),
    without("memory.logits"),
    without("memory.output"),
    without("memory.state.1"),
    blank("only", 10, dtype=np.uint8),
    blank("held.drift", 4),
    blank("held.look_map", 2, 2, 3),
    blank("held.more", 3),
    blank("grey.drift", 63, 64, dtype=np.uint8),
    blank("grey.drift", 64, 64),
    blank("grey.look", 64, 64, dtype=np.uint8),
    blank("memory.logits", 1, 3),
    blank("memory.output.familiarity", 2, 1),
    blank("memory.state.0.votes", 1, 4),
]


async def goes_on(stream: Stream, snapshot: Snapshot, number: int) -> None:
    card = stream._card
    await stream.load(*unpack(card, pack(card, snapshot)))
    pytest.fail(f"number {number} was taken")


async def test_states_that_no_frames_can_lead_to_are_refused_and_cost_nobody_anything(
    streams: Streams, bundle: Bundle
) -> None:
    values, arrays = await (await begun(streams, shots(12))).dump()
    assert values["run"]["memory"] == {"every": 8, "ages": [11, 3]}
    stream = await begun(streams, shots(5))
    for number, change in enumerate(MADE_UP):
        told, held = copy.deepcopy(dict(values)), dict(arrays)
        change(told, held)
        with pytest.raises(Refused):
            await goes_on(stream, Snapshot(told, held), number)
        assert stream.received == 5, "what the stream was, it still is"
    expected = await said(await begun(streams, shots(5)), shots(3, start_s=0.5, seed=4))
    assert answers(await said(stream, shots(3, start_s=0.5, seed=4))) == answers(expected)


@pytest.mark.parametrize("count", [0, 1, 2, 12])
async def test_whatever_else_a_state_says_its_stream_goes_on_or_refuses(
    streams: Streams, bundle: Bundle, count: int
) -> None:
    """Numbers drawn at random, one at a time: no bug of ours, and no answer that takes for ever."""
    values, arrays = await (await begun(streams, shots(count))).dump()
    odd: list[Any] = [0, 1, 2, 3, 9, 100, 2**31, 2**53, -1, 0.5, 1e300, -1e300, None, True, "1", [], {}]
    taken = 0
    for part in ("run", "follower", "counts"):
        for name in values[part] or ():
            for number in odd:
                told = copy.deepcopy(dict(values))
                told[part][name] = number
                _, stream = await streams.open(EVERY)
                try:
                    await stream.load(*unpack(bundle.card, pack(bundle.card, Snapshot(told, arrays))))
                    taken += 1
                    await said(stream, shots(2, start_s=float(count) / 10, seed=5))
                except ClipError:
                    pass
                except StateRefused:
                    pass
    assert taken > 5


async def test_two_bundles_of_one_name_are_two_models(directory: Path, streams: Streams, tmp_path: Path) -> None:
    data = await packed(streams, await begun(streams, shots(2)))
    twin = make_streaming(tmp_path, directory.name)
    edit(twin, lambda card: card.update(description="says how dark a clip is"))
    with pytest.raises(StateRefused):
        unpack(load(twin).card, data)


async def test_the_first_frame_alone_goes_along(streams: Streams, bundle: Bundle) -> None:
    stream, other = await begun(streams, [Shot(4.0, noise(1))]), await begun(streams, [])
    await other.load(*unpack(bundle.card, await packed(streams, stream)))
    (told,), (expected,) = await said(other, []), await said(stream, [])
    assert isinstance(told, Told)
    assert told.partial
    assert answers([told]) == answers([expected])
