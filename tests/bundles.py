"""A small bundle that has what a card may say beside the shipped one's: a map, further outputs, shared files.

Its graphs only add and average, so that a test can do by hand what they do.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.alone import look
from service.inference.bundle import Bundle, metadata
from service.inference.card import (
    CARD,
    FORMAT,
    Abstention,
    Card,
    Evidence,
    FileRecord,
    Golden,
    Grid,
    Int8,
    Licences,
    Output,
    Recurrent,
    Sampling,
    State,
    sha256,
)
from service.inference.postprocess import scores
from service.inference.sequence import Sequence
from service.inference.session import Device
from service.video.decode import DecodeTask, MadePicture, decode
from service.video.source import NO_LIMITS
from service.video.spec import Flow
from tests.require import need
from tests.samples import clip

GOLDEN = "h264.mp4"
SHARED = "encoders"
SIZE, ROWS, COLUMNS = 8, 2, 4
HOPS = 3
Edit = Callable[[dict[str, Any]], None]

_LOOK = Evidence(
    name="look",
    picture="rgb",
    size=SIZE,
    cadence=4,
    features=3,
    map=Grid(rows=ROWS, columns=COLUMNS, channels=3),
    file="look.onnx",
    int8="look.int8.onnx",
)
_DRIFT = Evidence(
    name="drift",
    picture="flow",
    size=SIZE,
    cadence=1,
    flow=Flow(size=64, preset="ultrafast", scale=10, magnitude_scale=16),
    features=3,
    file="drift.onnx",
    int8="drift.int8.onnx",
)
_OUTPUTS = (
    Output(name="attention", axes=(HOPS, "steps"), description="what drifts, by channel"),
    Output(name="attention_map", axes=("steps", ROWS, COLUMNS), description="how light each part of the picture is"),
)


def make_bundle(directory: Path, name: str = "small") -> Path:
    """Writes a bundle into `directory/name`, its encoders into `directory/encoders`; skips the test without onnx."""
    need("train", find_spec("onnx") is not None, "graphs are made with the package onnx: pip install '.[train]'")
    bundle, shared = directory / name, directory / SHARED
    bundle.mkdir(parents=True)
    shared.mkdir(exist_ok=True)
    for kind in (_LOOK, _DRIFT):
        if not (shared / kind.file).exists():
            save_encoder(shared / kind.file, maps=kind.map is not None)
            shutil.copyfile(shared / kind.file, shared / str(kind.int8))
    (bundle / "golden.mp4").write_bytes(clip(GOLDEN))
    card = _card(name)
    save_recurrent(bundle / card.recurrent.file)
    stamp(bundle / card.recurrent.file, metadata(card))
    (bundle / CARD).write_text(card.model_dump_json(exclude_none=True))
    relist(bundle)
    own = answer(Bundle.load(bundle, Device.choose("cpu", 1)), clip(GOLDEN))
    edit(bundle, lambda card: card.update(golden=card["golden"] | {"scores": own}, int8=card["int8"] | {"scores": own}))
    return bundle


def _card(name: str) -> Card:
    unknown = FileRecord(sha256="0" * 64, bytes=1)
    encoders = [file for kind in (_LOOK, _DRIFT) for file in (kind.file, str(kind.int8))]
    return Card(
        format=FORMAT,
        name=name,
        version="1.0.0",
        description="says how light a clip is",
        labels=("dark", "light"),
        evidence=(_LOOK, _DRIFT),
        sampling=Sampling(num_clips=2, clip_len=6, fps=10),
        recurrent=Recurrent(
            head="spatial",
            file="recurrent.onnx",
            state=(State(name="h", size=3),),
            streams=False,
            outputs=_OUTPUTS,
        ),
        temperature=1.0,
        golden=Golden(clip="golden.mp4", scores=(0.5, 0.5)),
        int8=Int8(accuracy_fall=0, clips=1, split="none", scores=(0.5, 0.5)),
        files={
            **dict.fromkeys(encoders, unknown.model_copy(update={"beside": SHARED})),
            **dict.fromkeys(("recurrent.onnx", "golden.mp4"), unknown),
        },
        metrics=(),
        licences=Licences(weights="none", data="none"),
    )


def add_abstention(bundle: Path, known: bytes, strange: bytes) -> None:
    """Lets a bundle's head say that how light a clip is tells known clips from strange ones.

    Args:
        bundle: its directory.
        known, strange: a clip of each; the threshold is half-way between them.
    """
    import onnx
    from onnx import helper

    graph = onnx.load(bundle / "recurrent.onnx")
    graph.graph.node.extend(
        [
            helper.make_node("ReduceMean", ["look"], ["by_channel"], axes=[1], keepdims=0),
            helper.make_node("ReduceMean", ["by_channel"], ["familiarity"], axes=[1], keepdims=1),
        ]
    )
    graph.graph.output.append(_tensor("familiarity", "batch", 1))
    onnx.save(graph, bundle / "recurrent.onnx")
    relist(bundle)
    loaded, found = Bundle.load(bundle, Device.choose("cpu", 1)), []
    for data in (known, strange):
        reading = loaded.recurrent.read(look(loaded, data), outputs=["familiarity"])
        found.append(float(reading.outputs["familiarity"].mean()))
    assert found[0] > found[1]
    abstention = Abstention(
        output="familiarity",
        score="how light the clip is",
        threshold=sum(found) / 2,
        false_alarms=0.05,
        accuracy_cost=1,
        clips=2,
        split="none",
    )
    edit(bundle, lambda card: card.update(abstention=abstention.model_dump(exclude_none=True)))


def edit(bundle: Path, change: Edit) -> None:
    """Changes a bundle's card."""
    card = json.loads((bundle / CARD).read_text())
    change(card)
    (bundle / CARD).write_text(json.dumps(card))


def relist(bundle: Path) -> None:
    """Lets a bundle's card list the files that are there, whatever they are."""
    card = Card.read(bundle)

    def change(written: dict[str, Any]) -> None:
        for name, record in written["files"].items():
            path = card.path(bundle, name)
            record.update(sha256=sha256(path), bytes=path.stat().st_size)

    edit(bundle, change)


def answer(bundle: Bundle, data: bytes) -> list[float]:
    """The scores of a clip, each picture encoded alone."""
    sequence = Sequence(bundle.card.evidence)

    def encode(made: MadePicture) -> None:
        for name, rows in bundle.encoders[made.kind].encode([made.pixels]).items():
            sequence.put(name, made.window, made.step, rows[0])

    receipt = decode(data, DecodeTask(bundle.card.plan, bundle.card.evidence, NO_LIMITS), encode)
    logits, _ = bundle.recurrent.run(sequence.inputs(receipt.steps))
    return [float(score) for score in scores(logits, bundle.card.temperature)]


def parts(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The map of a picture, by hand: the means of its parts, from 0 to 1, float32 [ROWS, COLUMNS, 3]."""
    height, width = SIZE // ROWS, SIZE // COLUMNS
    cut = pixels.astype(np.float64).reshape(ROWS, height, COLUMNS, width, 3)
    return np.asarray(cut.mean(axis=(1, 3)) / 255, dtype=np.float32)


def save_encoder(path: Path, *, maps: bool = True, open_sides: bool = False) -> None:
    """Writes an encoder: features are the means of the colours, the map's are those of each part of the picture.

    Args:
        path: where to.
        maps: whether it has the map.
        open_sides: whether it leaves open what its pictures and so its map measure.
    """
    from onnx import TensorProto, helper

    nodes = [
        helper.make_node("Cast", ["pictures"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("Div", ["floats", "most"], ["scaled"]),
        helper.make_node("ReduceMean", ["scaled"], ["features"], axes=[1, 2], keepdims=0),
        helper.make_node("Transpose", ["scaled"], ["planes"], perm=[0, 3, 1, 2]),
        helper.make_node(
            "AveragePool",
            ["planes"],
            ["pooled"],
            kernel_shape=[SIZE // ROWS, SIZE // COLUMNS],
            strides=[SIZE // ROWS, SIZE // COLUMNS],
        ),
        helper.make_node("Transpose", ["pooled"], ["map"], perm=[0, 2, 3, 1]),
    ]
    sides = ("height", "width", "rows", "columns") if open_sides else (SIZE, SIZE, ROWS, COLUMNS)
    outputs = [_tensor("features", "pictures", 3), _tensor("map", "pictures", *sides[2:], 3)]
    _save(
        path,
        nodes if maps else nodes[:3],
        [helper.make_tensor_value_info("pictures", TensorProto.UINT8, ["pictures", *sides[:2], 3])],
        outputs if maps else outputs[:1],
        most=np.asarray(255, dtype=np.float32),
    )


def save_recurrent(path: Path, *, channels: int | None = 3, hops: int | None = HOPS, reads: int = 3) -> None:
    """Writes a head: what drifts is its attention, and how light each part of the picture is its map of it.

    Args:
        path: where to.
        channels: of the map, as the graph states them; None leaves them open.
        hops: of the attention, as the graph states them, and features that drift; None leaves them open.
        reads: the channels of the map that it can read in truth.
    """
    from onnx import TensorProto, helper

    nodes = [
        helper.make_node("ReduceMean", ["look_map"], ["attention_map"], axes=[4], keepdims=0),
        helper.make_node("Transpose", ["drift"], ["attention"], perm=[0, 2, 1]),
        helper.make_node("Add", ["look", "drift"], ["seen"]),
        helper.make_node("MatMul", ["seen", "weights"], ["guessed"]),
        helper.make_node("MatMul", ["look_map", "readers"], ["placed"]),
        helper.make_node("ReduceMean", ["placed"], ["found"], axes=[2, 3], keepdims=0),
        helper.make_node("Add", ["guessed", "found"], ["logits"]),
        helper.make_node("Identity", ["h"], ["next_h"]),
    ]
    inputs = [
        _tensor("look", "batch", "steps", 3),
        _tensor("look_map", "batch", "steps", ROWS, COLUMNS, channels or "channels"),
        _tensor("drift", "batch", "steps", hops or "hops"),
        helper.make_tensor_value_info("lengths", TensorProto.INT64, ["batch"]),
        _tensor("h", "batch", 3),
    ]
    outputs = [
        _tensor("logits", "batch", "steps", 2),
        _tensor("next_h", "batch", 3),
        _tensor("attention", "batch", hops or "hops", "steps"),
        _tensor("attention_map", "batch", "steps", ROWS, COLUMNS),
    ]
    weights = np.asarray([[-2, 2], [-1, 1], [-1, 1]], dtype=np.float32)
    _save(path, nodes, inputs, outputs, weights=weights, readers=np.resize(weights, (reads, 2)))


def stamp(path: Path, said: dict[str, str]) -> None:
    """Writes a graph's metadata."""
    import onnx

    graph = onnx.load(path)
    onnx.helper.set_model_props(graph, said)
    onnx.save(graph, path)


def _tensor(name: str, *sides: int | str) -> Any:
    from onnx import TensorProto, helper

    return helper.make_tensor_value_info(name, TensorProto.FLOAT, sides)


def _save(
    path: Path, nodes: list[Any], inputs: list[Any], outputs: list[Any], **constants: NDArray[np.float32]
) -> None:
    import onnx
    from onnx import helper, numpy_helper

    initializers = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "small", inputs, outputs, initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    onnx.save(model, path)
