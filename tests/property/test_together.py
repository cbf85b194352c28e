"""Clips that arrive whenever they like and leave when they have had enough: each answer is the one it gets alone."""

import asyncio
from collections.abc import Coroutine, Iterator
from pathlib import Path
from threading import Thread
from typing import Any, TypeVar

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from service.pipeline import Query
from service.runtime import Runtime
from service.settings import Settings
from service.video.encoded import EncodedClip
from tests.foreign import imported
from tests.samples import BUNDLE, CLIPS

NAMES = ("real-golf.mp4", "vp9.webm", "mpeg4.avi", "slow.mp4", "short.mp4")
PATIENCE_S = 60.0
T = TypeVar("T")

# When each comes, which clip it brings, and when it gives up, if it does.
arrivals = st.lists(
    st.tuples(st.floats(0, 0.2), st.sampled_from(NAMES), st.none() | st.floats(0, 0.2)), min_size=1, max_size=6
)


class Running:
    """A runtime in an event loop of its own, which outlives single examples."""

    def __init__(self, max_batch: int, model: Path) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = Thread(target=self._loop.run_forever)
        self._thread.start()
        self.runtime = Runtime(Settings(model=model, max_batch=max_batch).options())
        self.do(self.runtime.start())
        self.alone = {name: self.do(self.scores(name)) for name in NAMES}

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(PATIENCE_S)

    async def scores(self, name: str) -> NDArray[np.float64]:
        with EncodedClip.read(CLIPS / name) as encoded:
            return (await self.runtime.answer(encoded, Query())).scores

    def stop(self) -> None:
        self.do(self.runtime.stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


# The shipped model, and two that others exported: their windows are read together, by one two at a time, always.
@pytest.fixture(scope="module", params=[(1, None), (4, None), (4, "torchscript"), (4, "dynamo")], ids=str)
def running(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    max_batch, graph = request.param
    model = BUNDLE if graph is None else tmp_path_factory.mktemp("foreign") / graph
    if graph is not None:
        imported(graph, model)
    started = Running(max_batch, model)
    yield started
    started.stop()


@settings(max_examples=15)
@given(arrivals)
def test_an_answer_is_the_same_alone_and_among_others_whoever_comes_and_goes(
    running: Running, coming: list[tuple[float, str, float | None]]
) -> None:
    async def visit(after_s: float, name: str, patience_s: float | None) -> NDArray[np.float64] | None:
        await asyncio.sleep(after_s)
        try:
            async with asyncio.timeout(patience_s):
                return await running.scores(name)
        except TimeoutError:
            assert patience_s is not None
            return None

    async def play() -> list[NDArray[np.float64] | None]:
        return await asyncio.gather(*(visit(*one) for one in coming))

    answers = running.do(play())
    exact = running.runtime.options.device.max_batch == 1
    for (_, name, patience_s), scores in zip(coming, answers, strict=True):
        if scores is None:
            assert patience_s is not None
        elif exact:
            np.testing.assert_array_equal(scores, running.alone[name])
        else:
            np.testing.assert_allclose(scores, running.alone[name], rtol=0, atol=1e-5)
    assert running.runtime.admission.in_flight == 0
    assert running.runtime.depth == 0
