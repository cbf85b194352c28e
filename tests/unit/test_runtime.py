"""The service without HTTP: ready, dead, draining."""

import asyncio
import json
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from service.errors import BundleMismatch, Busy, DeadlineExceeded, Draining, EngineDead, Starting, UnsupportedMedia
from service.events import BatchEncoded, ClipAnswered, ClipFailed, Event
from service.pipeline import Answer, Query
from service.runtime import Runtime
from service.settings import Settings
from service.video.encoded import EncodedClip
from tests.foreign import imported
from tests.samples import BUNDLE, CLIPS, clip


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of a small network, for what has nothing to do with what a network says."""
    bundle = tmp_path_factory.mktemp("runtime") / "tiny"
    imported("torchscript", bundle)
    return bundle


@asynccontextmanager
async def started(observe: Any = lambda event: None, **settings: Any) -> AsyncIterator[Runtime]:
    runtime = Runtime(Settings(**{"decoders": 1, **settings}).options(), observe)
    try:
        await runtime.start()
        yield runtime
    finally:
        await runtime.stop()


async def answer(runtime: Runtime, name: str, query: Query) -> Answer:
    with EncodedClip.read(CLIPS / name) as encoded:
        return await runtime.answer(encoded, query)


async def test_before_it_is_started_it_refuses_and_is_not_ready() -> None:
    runtime = Runtime(Settings().options())
    assert not runtime.ready
    assert runtime.card is None
    assert runtime.depth == 0
    with pytest.raises(Starting):
        await answer(runtime, "short.mp4", Query())
    await runtime.stop()


async def test_started_it_is_ready_and_reports_what_happens() -> None:
    events: list[Event] = []
    async with started(events.append) as runtime:
        assert runtime.ready
        given = await answer(runtime, "real-golf.mp4", Query(top_k=1))
        with pytest.raises(UnsupportedMedia):
            await answer(runtime, "text.mp4", Query())
    assert given.predictions[0].label == "golf"
    (answered,) = [one for one in events if isinstance(one, ClipAnswered)]
    assert answered.pictures == given.decoded.pictures
    assert [one.reason for one in events if isinstance(one, ClipFailed)] == ["media"]
    encoded = sum(one.pictures for one in events if isinstance(one, BatchEncoded))
    assert encoded > sum(answered.pictures.values()), "the golden clip's come on top"


async def test_a_dead_engine_is_unready_and_refuses(tiny: Path) -> None:
    async with started(model=tiny) as runtime:
        pipeline = runtime._pipeline
        assert pipeline is not None
        pipeline.batcher.stop()
        assert not runtime.ready
        assert not runtime.checks["engine"].ok
        with pytest.raises(EngineDead, match="engine: dead"):
            await answer(runtime, "short.mp4", Query())


async def test_a_bundle_that_contradicts_itself_is_not_loaded(tmp_path: Path) -> None:
    bundle = Path(shutil.copytree(BUNDLE, tmp_path / "bundle"))
    (bundle / "golden.avi").write_bytes(clip("short.mp4"))
    runtime = Runtime(Settings(model=bundle).options())
    with pytest.raises(BundleMismatch, match=r"golden\.avi"):
        await runtime.start()
    assert "golden.avi" in runtime.checks["loaded"].detail
    with pytest.raises(EngineDead, match="loaded"):
        await answer(runtime, "short.mp4", Query())


async def test_a_golden_clip_that_disagrees_keeps_it_unready_by_the_checks_name(tmp_path: Path) -> None:
    bundle = Path(shutil.copytree(BUNDLE, tmp_path / "bundle"))
    card = json.loads((bundle / "card.json").read_text())
    card["golden"]["scores"][0] += 0.002
    (bundle / "card.json").write_text(json.dumps(card))
    runtime = Runtime(Settings(model=bundle, precision="fp32", decoders=1).options())
    with pytest.raises(EngineDead, match=r"0\.002 away from the card's; 0\.001 is allowed"):
        await runtime.start()
    checks = {name for name, check in runtime.checks.items() if not check.ok}
    assert checks == {"golden_clip"}
    assert not runtime.ready
    with pytest.raises(EngineDead, match="golden_clip"):
        await answer(runtime, "short.mp4", Query())
    await runtime.stop()


async def test_each_precision_answers_to_its_own_golden_scores(tmp_path: Path) -> None:
    bundle = Path(shutil.copytree(BUNDLE, tmp_path / "bundle"))
    card = json.loads((bundle / "card.json").read_text())
    card["int8"]["scores"][0] += 0.02
    (bundle / "card.json").write_text(json.dumps(card))
    async with started(model=bundle, precision="fp32") as runtime:
        assert runtime.ready
        assert runtime.precision == "fp32"
    runtime = Runtime(Settings(model=bundle, precision="int8", decoders=1).options())
    assert runtime.precision is None
    with pytest.raises(EngineDead, match=r"0\.02 away from the card's; 0\.01 is allowed"):
        await runtime.start()
    await runtime.stop()


async def test_the_golden_clip_is_no_callers_clip(tiny: Path) -> None:
    events: list[Event] = []
    async with started(
        events.append, model=tiny, max_pixels=1, max_frames=1, max_duration_s=0.01, request_timeout_s=0.001
    ):
        pass
    assert all(isinstance(one, BatchEncoded) for one in events)


async def test_when_it_is_full_it_refuses_at_once_and_reports_why(tiny: Path) -> None:
    events: list[Event] = []
    async with started(events.append, model=tiny, max_in_flight=1) as runtime:
        with runtime.admit():
            assert runtime.ready, "a full service is not a sick one"
            with pytest.raises(Busy):
                await answer(runtime, "short.mp4", Query())
        assert (await answer(runtime, "real-golf.mp4", Query())).predictions
    assert [one.reason for one in events if isinstance(one, ClipFailed)] == ["rejected"]


@pytest.mark.parametrize("moment_s", [0.0, 0.01, 0.1])
async def test_stopping_fails_every_clip_in_flight_wherever_it_is(moment_s: float) -> None:
    events: list[Event] = []
    runtime = Runtime(Settings(decoders=2).options(), events.append)
    await runtime.start()
    answering = [asyncio.create_task(answer(runtime, "h264.mp4", Query())) for _ in range(6)]
    await asyncio.sleep(moment_s)
    await runtime.stop()
    ends = await asyncio.wait_for(asyncio.gather(*answering, return_exceptions=True), 30)
    failed = [end for end in ends if isinstance(end, BaseException)]
    assert failed
    assert all(isinstance(end, EngineDead) for end in failed), ends
    assert {one.reason for one in events if isinstance(one, ClipFailed)} == {"unavailable"}


async def test_drain_waits_for_what_was_admitted(tiny: Path) -> None:
    async with started(model=tiny) as runtime:
        answering = asyncio.create_task(answer(runtime, "real-golf.mp4", Query()))
        await asyncio.sleep(0)
        assert await runtime.drain(timeout_s=60)
        assert answering.done()
        assert not runtime.ready
        with pytest.raises(Draining):
            await answer(runtime, "short.mp4", Query())


async def test_drain_gives_up_after_its_time(tiny: Path) -> None:
    async with started(model=tiny) as runtime:
        with runtime.admit():
            assert not await runtime.drain(timeout_s=0.01)


async def test_a_cancelled_clip_leaves_nothing_behind_and_disturbs_nobody(tiny: Path) -> None:
    events: list[Event] = []
    async with started(events.append, model=tiny) as runtime:
        alone = await answer(runtime, "h264.mp4", Query())
        tasks = [asyncio.create_task(answer(runtime, "h264.mp4", Query())) for _ in range(8)]
        await asyncio.sleep(0.05)
        for task in tasks[::2]:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert runtime.admission.in_flight == 0
        assert runtime.depth == 0
    for index, result in enumerate(results):
        if isinstance(result, BaseException):
            assert isinstance(result, asyncio.CancelledError)
            assert index % 2 == 0
        else:
            np.testing.assert_allclose(result.scores, alone.scores, atol=1e-5)
    assert {one.reason for one in events if isinstance(one, ClipFailed)} <= {"cancelled"}


async def test_a_clip_that_takes_too_long_is_given_up(tiny: Path) -> None:
    events: list[Event] = []
    async with started(events.append, model=tiny, request_timeout_s=0.001) as runtime:
        with pytest.raises(DeadlineExceeded):
            await answer(runtime, "h264.mp4", Query())
        assert runtime.admission.in_flight == 0
    assert [one.reason for one in events if isinstance(one, ClipFailed)] == ["timeout"]


async def test_a_failing_encoder_fails_its_clip_only_and_the_engine_lives_on() -> None:
    async with started() as runtime:
        pipeline = runtime._pipeline
        assert pipeline is not None
        encoders = dict(pipeline.bundle.encoders)
        broken = encoders["motion"].encode
        calls = 0

        def fail_once(pictures: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls == 1:
                raise RuntimeError("no memory on the device")
            return broken(pictures)

        encoders["motion"].encode = fail_once  # type: ignore[method-assign]
        with pytest.raises(RuntimeError, match="no memory"):
            await answer(runtime, "h264.mp4", Query())
        assert runtime.ready
        assert (await answer(runtime, "real-golf.mp4", Query())).predictions[0].label == "golf"
