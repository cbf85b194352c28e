"""Training sees clips through the serving code: the same pictures, or the same pictures of another view."""

import hashlib
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from model.data.recipe import EVERYDAY, Recipe
from model.data.views import LIMITS, Augmentation, served, task
from service.video.decode import DecodeTask, MadePicture, decode
from service.video.preprocess import View
from tests.model.clips import TINY, write_clip
from tests.require import need

DATA = Path(__file__).parents[2].parent / "shared/data/jhmdb"


@pytest.fixture
def clip(tmp_path: Path) -> bytes:
    return write_clip(tmp_path / "clip.avi", 3).read_bytes()


def look(data: bytes, wanted: DecodeTask) -> dict[str, NDArray[np.uint8]]:
    pictures: defaultdict[str, list[MadePicture]] = defaultdict(list)
    decode(data, wanted, lambda made: pictures[made.kind].append(made))
    return {kind: np.stack([one.pixels for one in made]) for kind, made in pictures.items()}


def number(data: bytes, recipe: Recipe, view: int) -> DecodeTask:
    return task(recipe, Augmentation(), data, hashlib.sha256(data).hexdigest(), view)


def test_view_0_is_what_serving_sees(clip: bytes) -> None:
    serving = DecodeTask(plan=TINY.plan, pictures=TINY.evidence, limits=LIMITS)
    assert number(clip, TINY, 0) == serving
    expected, found = look(clip, serving), look(clip, number(clip, TINY, 0))
    assert expected.keys() == found.keys() == {"look", "drift"}
    for kind, pictures in expected.items():
        np.testing.assert_array_equal(found[kind], pictures)


def test_a_view_is_the_same_every_time_and_unlike_the_others(clip: bytes) -> None:
    tasks = [number(clip, TINY, view) for view in range(1, 9)]
    assert tasks == [number(clip, TINY, view) for view in range(1, 9)]
    assert len({one.view for one in tasks}) == len(tasks)
    assert {one.view.mirrored for one in tasks} == {True, False}


def test_views_stay_within_their_ranges(clip: bytes) -> None:
    ranges = Augmentation()
    for view in range(1, 30):
        wanted = number(clip, TINY, view)
        assert ranges.least_area - 1e-9 <= wanted.view.height * wanted.view.width * (1 + 1e-9) ** 2 or (
            max(wanted.view.height, wanted.view.width) == 1
        )
        assert max(wanted.view.height, wanted.view.width) <= 1
        assert abs(wanted.plan.fps / TINY.plan.fps - 1) <= ranges.tempo
        assert wanted.end_s is not None
        assert 0 <= wanted.start_s <= 0.15 * 1.2 < 0.85 * 1.2 <= wanted.end_s <= 1.2


def assert_mirrored(data: bytes, recipe: Recipe) -> None:
    plain = look(data, served(recipe))
    mirrored = look(data, replace(served(recipe), view=View(mirrored=True)))
    for kind in recipe.evidence:
        one, other = plain[kind.name].astype(float), mirrored[kind.name][:, :, ::-1].astype(float)
        if kind.picture == "rgb":
            # Resizing rounds the columns of odd remainders to the other side, hence a mean and not a maximum.
            assert np.abs(one - other).mean() <= 1
        else:
            # DIS looks at patches from the left, so flow and mirrored flow differ a little: in the mean by less than 4
            # grey levels, that is 0.4 pixels.
            assert np.abs((one[..., 0] - 128) + (other[..., 0] - 128)).mean() <= 4
            assert np.abs(one[..., 1:] - other[..., 1:]).mean() <= 4


def test_a_mirrored_frame_has_mirrored_flow(clip: bytes) -> None:
    assert_mirrored(clip, TINY)
    drift = look(clip, served(TINY))["drift"][..., 0].astype(float) - 128
    assert drift.mean() < -10  # to the left: the test would prove nothing on a clip at rest


def test_a_mirrored_frame_of_a_real_clip_has_mirrored_flow() -> None:
    need("data", DATA.is_dir(), f"the shared clips are not at {DATA}")
    clip = min((DATA / "golf").glob("*.avi"), key=lambda path: path.stat().st_size)
    assert_mirrored(clip.read_bytes(), EVERYDAY)
