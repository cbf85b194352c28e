"""Int8 twins of encoders: static quantisation by onnxruntime, calibrated on pictures of training clips.

What it takes to lose little was found by leaving out one layer, one weight and one activation at a time; the decision
page on int8 tells. Where a network begins it is most sensitive and least expensive, so it begins in float.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

from model.data.dataset import Clip, DataError
from model.data.recipe import Recipe
from model.data.views import served
from service.errors import ClipError
from service.video.decode import MadePicture, decode

Pictures = NDArray[np.uint8]
"""Pictures of one kind of evidence: uint8 [N, H, W, 3]."""

CLIPS_OF_AN_ACTION = 5
PICTURES_OF_A_CLIP = 2

# Up to here, counted in depthwise convolutions, a network stays in float.
_FLOAT_DEPTHWISE = 2
# The largest weight. Depthwise kernels add in 16 bits or more. The others, on CPUs with AVX2 but without VNNI, add two
# products in 16 bits with saturation: 2 x 255 x 64 still fits, so every CPU computes the same.
_TOP_DEPTHWISE, _TOP = 127, 64
_BATCH = 4


def calibration_clips(clips: Sequence[Clip]) -> list[Clip]:
    """Some clips of every action, spread evenly over their order."""
    by_label: defaultdict[str, list[Clip]] = defaultdict(list)
    for clip in clips:
        by_label[clip.label].append(clip)
    return [same[place] for same in by_label.values() for place in _spread(len(same), CLIPS_OF_AN_ACTION)]


def calibration_pictures(recipe: Recipe, clip: Clip) -> Mapping[str, Pictures]:
    """Some of the pictures that serving sees of a clip, by kind of evidence.

    Raises:
        DataError: the clip cannot be read or decoded.
    """
    made: defaultdict[str, list[MadePicture]] = defaultdict(list)
    try:
        wanted = served(recipe, clip.start_s, clip.end_s)
        decode(clip.path.read_bytes(), wanted, lambda picture: made[picture.kind].append(picture))
    except OSError as error:
        raise DataError(f"the clip {clip.path} cannot be read: {error.strerror}") from error
    except ClipError as error:
        raise DataError(f"the clip {clip.path} cannot be used: {error.detail}", error.advice) from error
    return {
        kind: np.stack([pictures[place].pixels for place in _spread(len(pictures), PICTURES_OF_A_CLIP)])
        for kind, pictures in made.items()
    }


def _spread(count: int, wanted: int) -> list[int]:
    return sorted(set(np.linspace(0, count - 1, wanted).round().astype(int).tolist()))


def quantize(encoder: Path, pictures: Pictures, twin: Path) -> None:
    """Writes the int8 twin of an encoder: the same input and output, the same metadata.

    Activations are uint8 with one scale a tensor, from the least to the greatest value seen; weights are int8 with one
    scale a channel.

    Args:
        encoder: the graph, float32.
        pictures: what it is calibrated on.
        twin: where to.
    """
    model = onnx.load(encoder)
    in_float = _in_float(model)
    _correct_biases(model, pictures, in_float)
    depthwise = [conv for conv in _convolutions(model) if _is_depthwise(conv)]
    with TemporaryDirectory() as directory, _quiet():
        corrected = Path(directory) / "corrected.onnx"
        onnx.save(model, corrected)
        quantize_static(
            corrected,
            twin,
            _Reader(pictures),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            reduce_range=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            op_types_to_quantize=["Conv", "Clip", "Add"],
            nodes_to_exclude=in_float,
            extra_options={
                "TensorQuantOverrides": {
                    conv.input[1]: [{"axis": 0, "reduce_range": False}]
                    for conv in depthwise
                    if conv.name not in in_float
                }
            },
        )
    made = onnx.load(twin)
    onnx.helper.set_model_props(made, {entry.key: entry.value for entry in model.metadata_props})
    _drop_unused(made)
    onnx.checker.check_model(made, full_check=True)
    onnx.save(made, twin)


def _drop_unused(model: ModelProto) -> None:
    """Drops constants that nothing reads: the bounds of activations that the scales took over."""
    read = {name for node in model.graph.node for name in node.input}
    for node in [node for node in model.graph.node if node.op_type == "Constant" and node.output[0] not in read]:
        model.graph.node.remove(node)
    for tensor in [tensor for tensor in model.graph.initializer if tensor.name not in read]:
        model.graph.initializer.remove(tensor)


def _in_float(model: ModelProto) -> list[str]:
    """The names of the nodes that stay as they are: all up to the activation of the last depthwise one."""
    names: list[str] = []
    seen = 0
    for node in model.graph.node:
        if seen == _FLOAT_DEPTHWISE and node.op_type not in {"Clip", "Constant"}:
            return names
        names.append(node.name)
        seen += int(node.op_type == "Conv" and _is_depthwise(node))
    return names


def _convolutions(model: ModelProto) -> list[NodeProto]:
    return [node for node in model.graph.node if node.op_type == "Conv"]


def _is_depthwise(conv: NodeProto) -> bool:
    return any(attribute.name == "group" and attribute.i > 1 for attribute in conv.attribute)


def _correct_biases(model: ModelProto, pictures: Pictures, in_float: Sequence[str]) -> None:
    """Takes from each bias what rounding the weights adds to its channel on average (Nagel et al., ICCV 2019).

    A filter that sees edges sums to about zero; rounded it does not, and the even ground of motion pictures leaks in.
    """
    convs = [conv for conv in _convolutions(model) if conv.name not in in_float]
    _give_biases(model, convs)
    means = _channel_means(model, [conv.input[0] for conv in convs], pictures)
    stored = {tensor.name: tensor for tensor in model.graph.initializer}
    for conv in convs:
        weights = numpy_helper.to_array(stored[conv.input[1]]).astype(np.float64)
        depthwise = _is_depthwise(conv)
        added = (_rounded(weights, _TOP_DEPTHWISE if depthwise else _TOP) - weights).sum((2, 3))
        mean = means[conv.input[0]]
        bias = numpy_helper.to_array(stored[conv.input[2]]) - (added[:, 0] * mean if depthwise else added @ mean)
        stored[conv.input[2]].CopyFrom(numpy_helper.from_array(bias.astype(np.float32), conv.input[2]))


def _give_biases(model: ModelProto, convs: Sequence[NodeProto]) -> None:
    """Gives those without a bias one of zeros."""
    stored = {tensor.name: tensor for tensor in model.graph.initializer}
    for conv in convs:
        if len(conv.input) < 3:
            outputs = stored[conv.input[1]].dims[0]
            bias = numpy_helper.from_array(np.zeros(outputs, np.float32), f"{conv.output[0]}.bias")
            model.graph.initializer.append(bias)
            conv.input.append(bias.name)


def _rounded(weights: NDArray[np.float64], top: int) -> NDArray[np.float64]:
    """Weights [O, I, H, W] as int8 will hold them, the largest of each output channel as `top`."""
    steps = np.abs(weights).max((1, 2, 3), keepdims=True) / top
    steps[steps == 0] = 1
    return np.asarray(np.round(weights / steps) * steps, dtype=np.float64)


def _channel_means(model: ModelProto, names: Sequence[str], pictures: Pictures) -> dict[str, NDArray[np.float64]]:
    """The mean of each channel of some tensors [N, C, H, W] over pictures, float64 [C] by name."""
    names = list(dict.fromkeys(names))
    watched = ModelProto.FromString(model.SerializeToString())
    watched.graph.output.extend(
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in names
    )
    session = ort.InferenceSession(watched.SerializeToString(), providers=["CPUExecutionProvider"])
    sums = [np.float64(0)] * len(names)
    for start in range(0, len(pictures), _BATCH):
        seen = session.run(names, {"pictures": pictures[start : start + _BATCH]})
        sums = [total + values.mean((2, 3), dtype=np.float64).sum(0) for total, values in zip(sums, seen, strict=True)]
    return {name: np.asarray(total / len(pictures)) for name, total in zip(names, sums, strict=True)}


class _Reader(CalibrationDataReader):  # type: ignore[misc]  # onnxruntime is not typed
    """Hands onnxruntime the pictures one by one."""

    def __init__(self, pictures: Pictures) -> None:
        self._left = iter(pictures)

    def get_next(self) -> dict[str, Any] | None:
        """The next input; None when there is none."""
        picture = next(self._left, None)
        return None if picture is None else {"pictures": picture[np.newaxis]}


@contextmanager
def _quiet() -> Iterator[None]:
    """Keeps onnxruntime from advising, on the root logger, a shape inference that these graphs do not need."""
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)
