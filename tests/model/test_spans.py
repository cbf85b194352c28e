"""A span of a file is a clip of its own: its features, its views and its place in a data set's digest."""

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from model.data.dataset import NO_FOLD, Clip, DataError, Dataset
from model.data.features import ClipFeatures, Extractor
from model.data.recipe import EVERYDAY
from model.data.views import Augmentation, served, task
from tests.samples import BUNDLE, CLIPS

GOLF = Clip(CLIPS / "real-golf.mp4", "golf", "", NO_FOLD)
"""It lasts 1.6 s."""


@pytest.fixture
def extractor(tmp_path: Path) -> Extractor:
    kind = EVERYDAY.evidence[0]
    recipe = EVERYDAY.model_copy(update={"evidence": (kind,)})
    return Extractor(recipe, {kind.name: BUNDLE / f"{kind.name}.onnx"}, Augmentation(), tmp_path / "cache")


def test_spans_of_one_file_have_features_of_their_own(extractor: Extractor) -> None:
    clips = [GOLF, replace(GOLF, end_s=0.8), replace(GOLF, start_s=0.8), replace(GOLF, start_s=0.8, end_s=9)]
    seen: dict[Clip, ClipFeatures] = {clip: views[0] for clip, views in extractor.extract(clips, 1, 1)}
    assert [seen[clip].lengths for clip in clips] == [(16,), (8,), (8,), (8,)]
    whole, first, last, more = (seen[clip].kinds["appearance"].features for clip in clips)
    np.testing.assert_array_equal(first[0], whole[0])
    assert not np.array_equal(last[0], first[0])
    np.testing.assert_array_equal(last, more)
    # A whole file's features keep the key that they had before there were spans.
    content = hashlib.sha256(GOLF.path.read_bytes()).hexdigest()
    key = hashlib.sha256(f"{extractor.identity()}/{content}/0".encode()).hexdigest()
    kept = {path.stem for path in extractor.cache.rglob("*.npz")}
    assert len(kept) == 4
    assert key in kept


def test_a_span_that_a_file_has_not_is_named(extractor: Extractor) -> None:
    with pytest.raises(DataError, match=r"real-golf\.mp4, 5-6 s, cannot be used: the clip has no frame in \[5, 6\)"):
        list(extractor.extract([replace(GOLF, start_s=5, end_s=6)], 1, 1))


@pytest.mark.parametrize(
    ("start_s", "end_s", "ends_s"), [(0.0, None, 1.6), (0.4, 1.2, 1.2), (0.4, None, 1.6), (1.0, 9.0, 1.6)]
)
def test_views_trim_within_the_span(start_s: float, end_s: float | None, ends_s: float) -> None:
    data, ranges = GOLF.path.read_bytes(), Augmentation()
    assert task(EVERYDAY, ranges, data, "ab" * 32, 0, start_s, end_s) == served(EVERYDAY, start_s, end_s)
    length_s = ends_s - start_s
    for view in range(1, 9):
        wanted = task(EVERYDAY, ranges, data, "ab" * 32, view, start_s, end_s)
        assert wanted.end_s is not None
        assert start_s <= wanted.start_s <= start_s + ranges.trim * length_s + 1e-9
        assert ends_s - ranges.trim * length_s - 1e-9 <= wanted.end_s <= ends_s


def test_a_digest_covers_spans_and_splits_and_stays_where_there_are_none() -> None:
    lines = "real-golf.mp4,golf,,-1"
    assert Dataset((GOLF,)).digest == hashlib.sha256(lines.encode()).hexdigest()
    clips = [GOLF, replace(GOLF, start_s=1), replace(GOLF, end_s=1), replace(GOLF, split="test")]
    assert len({Dataset((clip,)).digest for clip in clips}) == len(clips)
    assert [clip.span for clip in clips] == ["", "1-", "0.0-1", ""]
