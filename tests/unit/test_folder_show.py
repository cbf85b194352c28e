"""`kinema look` says what was found, and what would make it better."""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from model import cli
from model.data.dataset import NO_FOLD, Clip
from model.folder.advice import advise
from model.folder.folds import split
from model.folder.gather import Found, Seen
from model.folder.sources import Sources
from tests.unit.folder_clips import clips_named, fill

SEEN = Seen(Path("a.mp4"), "00", 2.0, 320, 240, 25.0)


def found_with(clips: list[Clip], **facts: Any) -> Found:
    names = tuple(str(clip.path) for clip in clips)
    return Found(Path("clips"), "", tuple(clips), names, (replace(SEEN, **facts),) * len(clips))


def advice(clips: list[Clip], of: list[str] | None = None, **facts: Any) -> list[str]:
    sources = Sources("column", "stated", "", tuple(of or (f"{number}" for number in range(len(clips)))))
    return list(advise(found_with(clips, **facts), sources, 1.7))


def many(*labels: str, clips: int = 10) -> list[Clip]:
    return clips_named(*(f"{label}/{number}.mp4" for label in labels for number in range(clips)))


def test_where_nothing_is_amiss_nothing_is_said() -> None:
    assert advice(many("run", "background")) == []


@pytest.mark.parametrize(
    ("clips", "of", "facts", "said"),
    [
        (
            many("run", "other", clips=5),
            None,
            {},
            "Too few clips to learn from or to judge by: other (5 clips) and run",
        ),
        (many("run", "idle"), ["a", "b"] * 10, {}, "Too few sources: idle (2 sources) and run (2 sources)"),
        ([*many("run", "none", clips=50), *many("none", clips=300)], None, {}, "none has 350 clips and run 50"),
        (many("run", "none"), None, {"duration_s": 60}, "20 clips last longer than 10 s, and the model looks at 1.7 s"),
        (many("run", "none"), None, {"duration_s": 0.3}, "20 clips last less than 0.6 s"),
        (many("run", "none"), None, {"height": 72}, "20 clips are smaller than 96 pixels"),
        (many("run", "none"), None, {"fps": 5}, "20 clips have fewer than 8 frames a second"),
        (many("run", "walk"), None, {}, "No class looks like a background"),
        (many("run", "Run ", "none"), None, {}, "The classes Run  and run differ only in spelling"),
    ],
)
def test_what_would_help_is_said(clips: list[Clip], of: list[str] | None, facts: dict[str, Any], said: str) -> None:
    assert any(sentence.startswith(said) for sentence in advice(clips, of, **facts)), advice(clips, of, **facts)


def test_folds_of_a_column_are_kept_and_their_leaks_told() -> None:
    clips = [replace(clip, fold=place % 3) for place, clip in enumerate(many("run", "walk", clips=6))]
    kept = split(clips, Sources("column", "stated", "", tuple(str(place % 6) for place in range(12))))
    assert [clip.fold for clip in kept.clips] == [clip.fold for clip in clips]
    assert (kept.by, kept.count, kept.warnings) == ("column", 3, ())
    leaky = split(clips, Sources("column", "stated", "", ("x", "x", *map(str, range(10)))))
    assert leaky.warnings[0].startswith("2 clips of 12 share a source")


def test_few_sources_make_fewer_folds_and_one_source_is_told() -> None:
    clips = many("run", "walk")
    three = split(clips, Sources("column", "stated", "", tuple(f"{place // 10}{place % 3}" for place in range(20))))
    assert three.count == 3
    alone = split(clips, Sources("column", "stated", "", tuple(map(str, [0] * 10 + list(range(1, 11))))))
    assert alone.count == 5
    assert alone.warnings[0].startswith("run has clips of one source alone")


def test_near_duplicates_that_swallow_everything_are_told_and_not_joined() -> None:
    clips = many("run", "walk")
    sources = Sources("nothing", "none", "", tuple(map(str, range(20))))
    folds = split(clips, sources, [range(12)])
    assert folds.count == 5
    assert folds.warnings[-1].startswith("More than half of the clips look nearly the same")
    assert len({clip.fold for clip in split(clips, sources, [range(8)]).clips[:8]}) == 1


def test_a_class_that_only_a_test_has_is_told() -> None:
    clips = [*many("run", "walk"), *(replace(clip, split="test") for clip in many("run", "jump", clips=2))]
    folds = split(clips, Sources("nothing", "none", "", tuple(map(str, range(len(clips))))))
    assert folds.sentence.startswith("Your own split is kept: the 4 clips of test are never trained on.")
    assert folds.warnings == ("Your split tests jump and has no clip of it to train on.",)
    assert {clip.fold for clip in folds.clips[20:]} == {NO_FOLD}


def test_the_command_prints_all_of_it_without_torch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)  # importing it now fails
    root = fill(tmp_path / "clips", *(f"{label}/place-{n}.avi" for label in ("run", "[walk]") for n in range(3)))
    (root / "run/empty.mp4").write_bytes(b"")
    app = typer.Typer()
    app.command()(cli.look)
    done = CliRunner().invoke(app, [str(root), "--cache", str(tmp_path / "cache"), "--jobs", "1"])
    assert done.exit_code == 0, done.output
    for said in (
        f"Found a folder for each class in {root}: 2 classes.",
        "[walk]",
        "Nothing tells which clips were cut from one video",
        "6 groups of clips make 3 folds",
        "Left out: 1 file.",
        "empty.mp4: it is empty",
        "What would help:",
        "- Too few clips to learn from",
    ):
        assert said in done.stdout
