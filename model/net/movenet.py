"""MoveNet: where a person's joints are in a picture. The network is the pose encoder's trunk.

A MobileNetV2 (Sandler et al., CVPR 2018), a feature pyramid over it (Lin et al., CVPR 2017), and four heads that find
the person and the joints as centre points (Zhou et al., *Objects as Points*, 2019). Google published the single-pose
network *Lightning* with weights in 2021 under Apache-2.0; `model.onnx.tfjs` reads them.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from model.net.encoder import SameConv2d

JOINTS = 17
"""Of COCO: nose, eyes, ears, shoulders, elbows, wrists, hips, knees, ankles; left before right."""

SIZE = 192
"""The side in pixels of the pictures that the weights were trained on."""

FEATURES = 1280
"""Length of the trunk's feature vector."""

_STEM = 32
# Width, repeats and stride of each run of blocks. From the runs marked below the pyramid branches off.
_RUNS = ((16, 1, 1), (24, 2, 2), (32, 3, 2), (64, 4, 2), (96, 3, 1), (160, 3, 2), (320, 1, 1))
_BRANCHES = (1, 2, 3)
_NECK = (64, 32, 24)
_HEAD = 96
# The pyramid's finest level has a position for so many pixels of the picture.
_STRIDE = 4
# What is added to a position's distance from where the person's centre expects the joint, before it divides.
_DISTANCE_FLOOR = 1.8


class Pose(NamedTuple):
    """The most central person of each picture.

    Attributes:
        places: of the joints, y and x from 0 to 1 across the picture, float32 [N, 17, 2].
        confidence: of each joint, 0 to 1, float32 [N, 17].
        presence: of the person, 0 to 1, float32 [N, 1].
        trunk: the trunk's last feature map, float32 [N, 1280, H / 32, W / 32].
    """

    places: Tensor
    confidence: Tensor
    presence: Tensor
    trunk: Tensor


class _Block(nn.Module):
    """An inverted residual without batch norms, which are folded into the weights."""

    def __init__(self, inputs: int, outputs: int, stride: int, expand: int) -> None:
        super().__init__()
        hidden = inputs * expand
        widen = [SameConv2d(inputs, hidden, 1), nn.ReLU6()] if expand > 1 else []
        self.layers = nn.Sequential(
            *widen, SameConv2d(hidden, hidden, 3, stride, groups=hidden), nn.ReLU6(), SameConv2d(hidden, outputs, 1)
        )
        self.residual = stride == 1 and inputs == outputs

    def forward(self, input: Tensor) -> Tensor:
        output: Tensor = self.layers(input)
        return output + input if self.residual else output


def _separable(inputs: int, outputs: int) -> nn.Sequential:
    depthwise = SameConv2d(inputs, inputs, 3, groups=inputs, bias=False)
    return nn.Sequential(depthwise, SameConv2d(inputs, outputs, 1), nn.ReLU())


class MoveNet(nn.Module):
    """Pictures, float32 [N, 3, H, W] from 0 to 255, sides divisible by 32, to the most central person's pose."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(SameConv2d(3, _STEM, 3, 2), nn.ReLU6())
        runs: list[nn.Module] = []
        channels = _STEM
        for place, (width, repeats, stride) in enumerate(_RUNS):
            expand = 1 if place == 0 else 6
            first = _Block(channels, width, stride, expand)
            runs.append(nn.Sequential(first, *(_Block(width, width, 1, expand) for _ in range(repeats - 1))))
            channels = width
        self.runs = nn.ModuleList(runs)
        self.trunk = nn.Sequential(SameConv2d(channels, FEATURES, 1), nn.ReLU6())
        self.lateral = nn.ModuleList(
            [
                SameConv2d(FEATURES, _NECK[0], 1),
                *(SameConv2d(_RUNS[one][0], _RUNS[one][0], 1) for one in _BRANCHES[::-1]),
            ]
        )
        self.neck = nn.ModuleList(
            [_separable(_NECK[0], _NECK[1]), _separable(_NECK[1], _NECK[2]), _separable(_NECK[2], _NECK[2])]
        )
        outputs = {"heat": JOINTS, "expected": 2 * JOINTS, "centre": 1, "offset": 2 * JOINTS}
        self.heads = nn.ModuleDict(
            {
                name: nn.Sequential(*_separable(_NECK[2], _HEAD), SameConv2d(_HEAD, width, 1))
                for name, width in outputs.items()
            }
        )
        side = SIZE // _STRIDE
        # How much a person counts at each position: those in the middle count most.
        self.prior = nn.Parameter(torch.ones(side, side), requires_grad=False)

    def forward(self, pictures: Tensor) -> Pose:
        seen = self.stem(pictures / 127.5 - 1)
        levels: list[Tensor] = []
        for run in self.runs:
            seen = run(seen)
            levels.append(seen)
        trunk = self.trunk(seen)
        merged = self.lateral[0](trunk)
        for lateral, neck, level in zip(self.lateral[1:], self.neck, _BRANCHES[::-1], strict=True):
            wider = F.interpolate(merged, scale_factor=2.0, mode="bilinear", align_corners=False)
            merged = neck(wider + lateral(levels[level]))
        found = {name: head(merged).flatten(2) for name, head in self.heads.items()}
        return self._decode(found, trunk)

    @property
    def convolutions(self) -> list[SameConv2d]:
        """All convolutions, in the order in which the graph that was published computes them."""
        lateral = dict(zip(_BRANCHES[::-1], self.lateral[1:], strict=True))
        parts: list[nn.Module] = [self.stem]
        for place, run in enumerate(self.runs):
            parts += [run, lateral[place]] if place in lateral else [run]
        parts += [self.trunk, self.lateral[0], *self.neck]
        layers = [[part for part in head.modules() if isinstance(part, SameConv2d)] for head in self.heads.values()]
        parts += [one for layer in zip(*layers, strict=True) for one in layer]
        return [one for part in parts for one in part.modules() if isinstance(one, SameConv2d)]

    def _decode(self, found: dict[str, Tensor], trunk: Tensor) -> Pose:
        """The person's centre and, near where it expects them, the joints.

        Args:
            found: what each head says at the pyramid's positions, float32 [N, channels, positions].
            trunk: see `Pose`.
        """
        side = self.prior.shape[0]
        rows = torch.arange(side).float().repeat_interleave(side)
        columns = torch.arange(side).float().repeat(side)
        presence = found["centre"].sigmoid()
        centre = (presence * self.prior.flatten()).argmax(2, keepdim=True)
        expected = found["expected"].gather(2, centre.expand(-1, 2 * JOINTS, 1)).view(-1, JOINTS, 2)
        y = expected[..., :1] + rows[centre]
        x = expected[..., 1:] + columns[centre]
        distance = ((rows - y).square() + (columns - x).square()).sqrt() + _DISTANCE_FLOOR
        heat = found["heat"].sigmoid()
        best = (heat / distance).argmax(2, keepdim=True)
        offsets = found["offset"].view(-1, JOINTS, 2, side * side)
        offset = offsets.gather(3, best.unsqueeze(2).expand(-1, JOINTS, 2, 1))[..., 0]
        places = (torch.cat([rows[best], columns[best]], 2) + offset) / side
        return Pose(places, heat.gather(2, best)[..., 0], presence.gather(2, centre)[..., 0], trunk)
