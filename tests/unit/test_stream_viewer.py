"""What pictures of streams are encoded to, and which of them need not be encoded again."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from service.inference.batcher import Batcher
from service.inference.card import Evidence
from service.inference.session import Encoder
from service.stream.viewer import Viewer
from service.video.preprocess import Picture

LOOK = Evidence(name="look", picture="rgb", size=1, cadence=1, features=2, file="look.onnx")


class Counting(Encoder):
    """An encoder whose features are the number in each picture; it counts them."""

    def __init__(self) -> None:
        self.seen: list[int] = []

    def encode(self, pictures: Sequence[Picture]) -> Mapping[str, NDArray[np.float32]]:
        numbers = [int(picture[0, 0, 0]) for picture in pictures]
        self.seen += numbers
        return {"look": np.asarray([[number] * 2 for number in numbers], dtype=np.float32)}


def picture(number: int) -> Picture:
    return np.full((1, 1, 3), number, dtype=np.uint8)


@pytest.fixture
def encoder() -> Counting:
    return Counting()


@pytest.fixture
def viewer(encoder: Counting) -> Iterator[Viewer]:
    batcher = Batcher({"look": encoder}, (LOOK,), slots=1, max_batch=4)
    yield Viewer(batcher)
    batcher.stop()


async def test_a_frame_and_the_same_seen_again_are_told_apart(viewer: Viewer) -> None:
    fresh, again = await viewer.encode({("look", 0): picture(3), ("look", 1): picture(7)})
    assert fresh["look"].tolist() == [3, 3]
    assert again["look"].tolist() == [7, 7]


async def test_frames_seen_again_show_the_same_and_are_encoded_once(viewer: Viewer, encoder: Counting) -> None:
    for number in (1, 2, 3):
        _, again = await viewer.encode({("look", 0): picture(number), ("look", 1): picture(7)})
        assert again["look"].tolist() == [7, 7]
    assert sorted(encoder.seen) == [1, 2, 3, 7]


async def test_nothing_is_encoded_to_nothing(viewer: Viewer, encoder: Counting) -> None:
    assert await viewer.encode({}) == ({}, {})
    assert encoder.seen == []
