"""The pose encoder: what a person's body looks like in a frame, and how it is held.

Its features are those of MoveNet's trunk, averaged over the picture, and beside them the joints that MoveNet finds, as
numbers that neither the person's place nor size nor, but for the numbers that say them, the camera's distance changes.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from model.net import movenet
from model.net.movenet import JOINTS, MoveNet, Pose

_NOSE, _SHOULDERS, _ELBOWS, _WRISTS = 0, (5, 6), (7, 8), (9, 10)
_HIPS, _KNEES, _ANKLES = (11, 12), (13, 14), (15, 16)
_SIDES = tuple(
    limb
    for one, other in (
        (_SHOULDERS, _ELBOWS),
        (_ELBOWS, _WRISTS),
        (_HIPS, _KNEES),
        (_KNEES, _ANKLES),
        (_SHOULDERS, _HIPS),
    )
    for limb in zip(one, other, strict=True)
)
LIMBS = (*_SIDES, _SHOULDERS, _HIPS, _WRISTS, _ANKLES, *((wrist, _NOSE) for wrist in _WRISTS))
"""Pairs of joints whose direction and length say how a body is held."""

_CORE = (*_SHOULDERS, *_HIPS)
# A joint found with less confidence than the first counts as not found; with the second, as found for sure.
_DOUBTFUL, _SURE = 0.15, 0.5
_TINY = 0.02
# Trunk; places about the centre, 2 each; confidence; centre, size, presence; direction and length of each limb.
FEATURES = movenet.FEATURES + 3 * JOINTS + 4 + 3 * len(LIMBS)
"""Length of the feature vector."""


class PoseEncoder(nn.Module):
    """Pictures to features: uint8 [N, 192, 192, 3] → float32 [N, 1383]; normalisation is part of the network."""

    with_map = False

    def __init__(self) -> None:
        super().__init__()
        self.network = MoveNet()

    def forward(self, pictures: Tensor) -> Tensor:
        pose = self.network(pictures.permute(0, 3, 1, 2).float())
        return torch.cat([pose.trunk.mean((2, 3)), held(pose)], 1)


def held(pose: Pose) -> Tensor:
    """How bodies are held, float32 [N, 103]."""
    places, confidence = pose.places, pose.confidence
    weight = confidence.clamp(min=_TINY).square()
    core = weight[:, _CORE].unsqueeze(2)
    centre = (places[:, _CORE] * core).sum(1, keepdim=True) / core.sum(1, keepdim=True)
    about = places - centre
    spread = (about.square().sum(2) * weight).sum(1) / weight.sum(1)
    size = spread.sqrt().clamp(min=_TINY).view(-1, 1, 1)
    found = (confidence > _DOUBTFUL).float() * confidence.clamp(max=_SURE) / _SURE
    one, other = zip(*LIMBS, strict=True)
    limb = places[:, other] - places[:, one]
    length = limb.square().sum(2, keepdim=True).sqrt().clamp(min=_TINY / 2)
    known = (found[:, one] * found[:, other]).unsqueeze(2)
    parts = [
        (about / size * found.unsqueeze(2)).flatten(1),
        confidence,
        centre.flatten(1),
        size.log().flatten(1),
        pose.presence,
        (limb / length * known).flatten(1),
        (length / size * known).flatten(1),
    ]
    return torch.cat(parts, 1)
