"""The encoder in two parts: the trunk, which always stays as it is, and the last stage, which `--finetune` trains.

The last stage has four fifths of the encoder's weights and looks at few positions: what the trunk gave of a picture
can be kept, so that training never computes it again.
"""

from __future__ import annotations

from typing import cast

from torch import Tensor, nn

from model.net.encoder import Encoder

# Blocks of the trunk: all before the last one that halves the sides.
_TRUNK = 11


def trunk(whole: Encoder) -> Encoder:
    """The first part of an encoder, sharing its layers; its map is what the last stage reads.

    uint8 [N, H, W, 3] → float32 [N, 112], which nobody needs, and float32 [N, H / 16, W / 16, 112].
    """
    part = Encoder(with_map=True)
    part.stem, part.blocks, part.head = whole.stem, cast("nn.Sequential", whole.blocks[:_TRUNK]), nn.Sequential()
    return part.eval()


class Stage(nn.Module):
    """The last stage of an encoder, sharing its layers.

    float32 [N, H / 16, W / 16, 112] → features, float32 [N, 1280], and map, float32 [N, H / 32, W / 32, 320].
    """

    def __init__(self, whole: Encoder) -> None:
        super().__init__()
        self.blocks, self.head = whole.blocks[_TRUNK:], whole.head

    def forward(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        seen = self.blocks(positions.permute(0, 3, 1, 2))
        return self.head(seen).mean((2, 3)), seen.permute(0, 2, 3, 1)
