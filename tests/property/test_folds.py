"""Folds, whatever the clips, their sources and what is alike among them."""

from dataclasses import replace
from pathlib import Path

from hypothesis import assume, given
from hypothesis import strategies as st

from model.data.dataset import NO_FOLD, Clip
from model.folder.folds import split
from model.folder.group import Groups
from model.folder.sources import Sources

Case = tuple[list[Clip], Sources, list[list[int]]]


@st.composite
def cases(draw: st.DrawFn, parts: tuple[str, ...] = ("",)) -> Case:
    size = draw(st.integers(4, 60))
    labels = draw(st.lists(st.sampled_from("abcd"), min_size=size, max_size=size))
    of = draw(st.lists(st.integers(0, draw(st.integers(2, 40))), min_size=size, max_size=size))
    split_of = draw(st.lists(st.sampled_from(parts), min_size=size, max_size=size))
    clips = [
        Clip(Path(f"{number}.avi"), label, "", NO_FOLD, split=part)
        for number, (label, part) in enumerate(zip(labels, split_of, strict=True))
    ]
    duplicates = draw(st.lists(st.lists(st.integers(0, size - 1), min_size=2, max_size=4, unique=True), max_size=4))
    return clips, Sources("column", "stated", "", tuple(map(str, of))), duplicates


def groups_of(case: Case) -> Groups:
    clips, sources, duplicates = case
    groups = Groups(len(clips))
    groups.join_equal(sources.of)
    for group in duplicates:
        for place in group:
            groups.join(group[0], place)
    return groups


@given(cases(), st.integers(2, 8))
def test_every_clip_is_in_one_fold_and_no_group_in_two(case: Case, most: int) -> None:
    clips, sources, duplicates = case
    groups = groups_of(case)
    assume(len(groups.all()) > 1)
    assume(max(map(len, groups.all())) <= len(clips) / 2)
    folds = split(clips, sources, duplicates, most)
    assert [replace(clip, source="", fold=NO_FOLD) for clip in folds.clips] == clips
    assert {clip.fold for clip in folds.clips} == set(range(folds.count))
    assert 2 <= folds.count <= most
    for group in groups.all():
        assert len({folds.clips[place].fold for place in group}) == 1
    assert split(clips, sources, duplicates, most) == folds


@given(cases(parts=("train", "train", "val", "test")))
def test_what_a_split_keeps_for_testing_is_in_no_fold(case: Case) -> None:
    clips, sources, _ = case
    parts = {clip.split for clip in clips}
    out = next((part for part in ("test", "val") if part in parts and len(parts) > 1), None)
    assume(len({source for clip, source in zip(clips, sources.of, strict=True) if clip.split != out}) > 1)
    folds = split(clips, sources)
    assert all((clip.fold == NO_FOLD) == (clip.split == out) for clip in folds.clips)
    assert folds.by == ("split" if out else "made")
    trained = {clip.source for clip in folds.clips if clip.fold != NO_FOLD}
    leaking = sum(clip.fold == NO_FOLD and clip.source in trained for clip in folds.clips)
    said = [warning for warning in folds.warnings if warning.startswith(f"Your split leaks: {leaking} of ")]
    assert len(said) == bool(leaking)


@given(st.integers(2, 5), st.integers(5, 12), st.integers(2, 5))
def test_even_classes_are_spread_evenly(classes: int, sources: int, most: int) -> None:
    clips, of = [], []
    for label in range(classes):
        for number in range(sources):
            clips.append(Clip(Path(f"{label}-{number}.avi"), str(label), "", NO_FOLD))
            of.append(f"{label}-{number}")
    folds = split(clips, Sources("nothing", "none", "", tuple(of)), folds=most)
    assert folds.count == most
    for label in range(classes):
        sizes = [sum(c.fold == fold and c.label == str(label) for c in folds.clips) for fold in range(folds.count)]
        assert max(sizes) - min(sizes) <= 1
