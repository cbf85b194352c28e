"""Streams of small models: a head whose states fade and never fade, frames without loss, and where to send them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from service.events import Observe, ignore
from service.inference.batcher import Batcher
from service.inference.bundle import Bundle, metadata
from service.inference.card import Card
from service.inference.session import Device
from service.stream.engine import Engine
from service.stream.stepper import Stepper
from service.stream.stream import Stream
from service.stream.streams import StreamLimits, Streams
from service.stream.told import News
from service.stream.viewer import Viewer
from service.stream.wishes import Wishes
from service.video.pool import DecoderPool, Lanes
from service.video.scan import Scan
from service.video.source import NO_LIMITS, Limits
from tests.bundles import COLUMNS, GOLDEN, HOPS, ROWS, add_abstention, answer, edit, make_bundle, relist, stamp
from tests.samples import clip

PATIENCE_S = 60.0
LIMITS = StreamLimits(
    most=1000, state_bytes=10**9, waiting=8, waiting_bytes=10**8, frame_bytes=10**6, ttl_s=60, gap_s=2, feeds=2
)
PIXELS = Limits(max_pixels=320 * 240, max_duration_s=60, max_frames=1000)
EVERY = Wishes(every_s=0)


class Shot(NamedTuple):
    """A frame as a camera would send it: its timestamp in seconds, and a PNG."""

    time_s: float
    image: bytes


def png(pixels: NDArray[np.uint8]) -> bytes:
    """A picture without loss."""
    return cv2.imencode(".png", pixels)[1].tobytes()


def noise(seed: int, side: int = 32) -> bytes:
    """A PNG that shows something else for each seed: a few large blocks, so that there is some flow between two."""
    blocks = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    return png(np.asarray(cv2.resize(blocks, (side, side)), dtype=np.uint8))


def shots(count: int, fps: float = 10, start_s: float = 0.0, seed: int = 0) -> list[Shot]:
    """So many frames of noise."""
    return [Shot(start_s + index / fps, noise(seed * 1000 + index)) for index in range(count)]


def frames(name: str, end_s: float) -> list[Shot]:
    """The frames of a clip up to a time, as they are decoded."""
    found = []
    scan = Scan(clip(name), NO_LIMITS)
    for time_s in scan:
        if time_s >= end_s:
            break
        found.append(Shot(time_s, png(np.asarray(scan.retrieve(), dtype=np.uint8))))
    return found


def make_streaming(directory: Path, name: str = "small", *, abstains: bool = False) -> Path:
    """Writes a small bundle whose head can be handed its state, with one state that fades and one that never does."""
    bundle = make_bundle(directory, name)
    edit(bundle, _let_stream)
    _save_head(bundle / "recurrent.onnx")
    stamp(bundle / "recurrent.onnx", metadata(Card.read(bundle)))
    relist(bundle)
    own = answer(load(bundle), clip(GOLDEN))
    edit(bundle, lambda card: card["golden"].update(scores=own))
    if abstains:
        add_abstention(bundle, clip("real-golf.mp4"), clip("real-pullup.mp4"))
    return bundle


def _let_stream(card: dict[str, Any]) -> None:
    card["recurrent"] |= {"streams": True, "state": [{"name": "h", "size": 3}, {"name": "votes", "size": 3}]}
    card.pop("int8")
    for kind in card["evidence"]:
        card["files"].pop(kind.pop("int8"))


def _save_head(path: Path) -> None:
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    def tensor(name: str, *sides: int | str) -> Any:
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, sides)

    drawn = np.random.default_rng(3)
    constants = {
        "reads": drawn.normal(size=(1, 3, 3)),
        "recurs": drawn.normal(size=(1, 3, 3)) * 0.4,
        "says": drawn.normal(size=(3, 2)),
        "counts": drawn.normal(size=(3, 2)) * 0.1,
    }
    node = helper.make_node
    nodes = [
        node("ReduceMean", ["look_map"], ["attention_map"], axes=[4], keepdims=0),
        node("Transpose", ["drift"], ["attention"], perm=[0, 2, 1]),
        node("ReduceMean", ["look_map"], ["light"], axes=[2, 3], keepdims=0),
        node("Sum", ["look", "drift", "light"], ["seen"]),
        node("Transpose", ["seen"], ["by_step"], perm=[1, 0, 2]),
        node("Unsqueeze", ["h", "first"], ["start"]),
        node("RNN", ["by_step", "reads", "recurs", "", "", "start"], ["ys", "y_h"], hidden_size=3),
        node("Squeeze", ["y_h", "first"], ["next_h"]),
        node("Squeeze", ["ys", "second"], ["y"]),
        node("Transpose", ["y"], ["read"], perm=[1, 0, 2]),
        node("CumSum", ["seen", "along"], ["sums"]),
        node("Unsqueeze", ["votes", "second"], ["voted"]),
        node("Add", ["sums", "voted"], ["counted"]),
        node("ReduceSum", ["seen", "second"], ["all"], keepdims=0),
        node("Add", ["all", "votes"], ["next_votes"]),
        node("MatMul", ["read", "says"], ["guessed"]),
        node("MatMul", ["counted", "counts"], ["elected"]),
        node("Add", ["guessed", "elected"], ["logits"]),
    ]
    inputs = [
        tensor("look", "batch", "steps", 3),
        tensor("look_map", "batch", "steps", ROWS, COLUMNS, 3),
        tensor("drift", "batch", "steps", HOPS),
        helper.make_tensor_value_info("lengths", TensorProto.INT64, ["batch"]),
        tensor("h", "batch", 3),
        tensor("votes", "batch", 3),
    ]
    outputs = [
        tensor("logits", "batch", "steps", 2),
        tensor("next_h", "batch", 3),
        tensor("next_votes", "batch", 3),
        tensor("attention", "batch", HOPS, "steps"),
        tensor("attention_map", "batch", "steps", ROWS, COLUMNS),
    ]
    weights = [numpy_helper.from_array(value.astype(np.float32), name) for name, value in constants.items()]
    axes = {"first": [0], "second": [1], "along": 1}
    weights += [numpy_helper.from_array(np.asarray(value, dtype=np.int64), name) for name, value in axes.items()]
    graph = helper.make_graph(nodes, "streaming", inputs, outputs, weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    onnx.save(model, path)


@asynccontextmanager
async def engine(bundle: Bundle, gap_s: float = LIMITS.gap_s) -> AsyncIterator[Engine]:
    """An engine of a bundle, with one decoder and one slot."""
    decoders = DecoderPool(Lanes(short=0, long=0))
    batcher = Batcher(bundle.encoders, bundle.card.evidence, slots=1, max_batch=8)
    wanted = () if bundle.card.abstention is None else (bundle.card.abstention.output,)
    stepper = Stepper(bundle.recurrent, wanted)
    attic = Engine.attic_for(bundle)
    try:
        yield Engine(bundle, decoders, Viewer(batcher), stepper, PIXELS, gap_s, Engine.turns(2), attic)
    finally:
        attic.close()
        await stepper.stop()
        await decoders.stop()
        await asyncio.to_thread(batcher.stop)


@contextmanager
def sharing(engine: Engine, limits: StreamLimits = LIMITS, observe: Observe = ignore) -> Iterator[Streams]:
    """Streams with an engine that others use after them."""
    streams = Streams(engine, limits, observe)
    try:
        yield streams
    finally:
        for name in list(streams._streams):
            streams.end(name, "deleted")


@asynccontextmanager
async def working(bundle: Bundle, limits: StreamLimits = LIMITS, observe: Observe = ignore) -> AsyncIterator[Streams]:
    """Streams with an engine of their own."""
    async with engine(bundle, limits.gap_s) as own:
        streams = Streams(own, limits, observe)
        try:
            yield streams
        finally:
            await streams.stop()


def load(directory: Path) -> Bundle:
    """A bundle on one core, in full precision."""
    return Bundle.load(directory, Device.choose("cpu", 1), "fp32")


async def said(stream: Stream, sent: Iterable[Shot], *, end: bool = True) -> list[News]:
    """What a stream tells of frames, and at its end."""
    told: list[News] = []

    async def listen() -> None:
        while True:
            told.append(await stream.news.get())
            stream.news.task_done()

    listening = asyncio.create_task(listen())
    try:
        async with asyncio.timeout(PATIENCE_S):
            for shot in sent:
                await stream.push(*shot)
                await stream.settled()  # so that none is dropped
            if end:
                await stream.end()
            await stream.news.join()
    finally:
        listening.cancel()
    return told


def scores(predictions: Iterable[Any]) -> NDArray[np.float64]:
    """The scores of predictions, all of them, by label_id; as the service has them or as they go over the wire."""
    pairs = [
        (one["label_id"], one["score"]) if isinstance(one, dict) else (one.label_id, one.score) for one in predictions
    ]
    return np.asarray([score for _, score in sorted(pairs)])
