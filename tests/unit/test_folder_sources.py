"""Sources are told by a column or learnt from names, and where nothing tells them that is said."""

import csv
from collections import Counter
from collections.abc import Sequence

import pytest

from model.folder.sources import Sources, find_sources
from tests.require import need
from tests.samples import ROOT
from tests.unit.folder_clips import clips_named

DATA = ROOT.parent / "shared/data"


def told(*names: str) -> Sources:
    return find_sources(clips_named(*names), names)


def grouped(sources: Sources) -> list[int]:
    """The sources by number, in the order in which they come."""
    numbers: dict[str, int] = {}
    return [numbers.setdefault(source, len(numbers)) for source in sources.of]


def test_a_column_is_believed() -> None:
    clips = [*clips_named("run/a.avi", "walk/b.avi", source="x"), *clips_named("walk/c.avi")]
    sources = find_sources(clips, ["run/a.avi", "walk/b.avi", "walk/c.avi"])
    assert (sources.by, sources.sure, sources.of) == ("column", "stated", ("x", "x", "walk/c.avi"))
    assert sources.sentence.endswith("2 sources of 3 clips. 1 clip without one count as sources of their own.")


@pytest.mark.parametrize(
    ("by", "sure", "names", "groups"),
    [
        (
            "HMDB51",
            "likely",
            (
                "brush_hair/April_09_brush_hair_u_nm_np1_ba_goo_0.avi",
                "brush_hair/April_09_brush_hair_u_nm_np1_ba_goo_1.avi",
                "kick/A_Film_kickball_f_cm_np2_le_med_6.avi",
            ),
            [0, 0, 1],
        ),
        (
            "UCF101",
            "likely",
            ("Run/v_Run_g01_c01.avi", "Run/v_Run_g01_c02.avi", "Run/v_Run_g02_c01.avi", "Walk/v_Walk_g01_c01.avi"),
            [0, 0, 1, 2],
        ),
        (
            "KTH",
            "likely",
            ("box/person01_boxing_d1_uncomp.avi", "jog/person01_jogging_d2.avi", "jog/person02_jogging_d1.avi"),
            [0, 0, 1],
        ),
        (
            "Kinetics",
            "likely",
            ("a/-bcdefghij__000003_000013.mp4", "b/-bcdefghij__000103_000113.mp4", "b/0123456789a_000003_000013.mp4"),
            [0, 0, 1],
        ),
        (
            "sub-folders",
            "guessed",
            (
                "run/mon/1.mp4",
                "run/mon/2.mp4",
                "run/tue/1.mp4",
                "walk/wed/1.mp4",
                "walk/wed/2.mp4",
                "walk/mon/7.mp4",
            ),
            [0, 0, 1, 2, 2, 0],
        ),
        (
            "person and action",
            "guessed",
            (
                "run/ann_run1.avi",
                "run/ann_run2.avi",
                "run/bob_run.avi",
                "walk/cy_walk.avi",
                "walk/ann-walk.avi",
                "walk/cy_walk2.avi",
            ),
            [0, 0, 1, 2, 0, 2],
        ),
        (
            "person and action",
            "guessed",
            (
                "run/run_ann_1.avi",
                "run/run_ann_2.avi",
                "run/run_bob_1.avi",
                "walk/walk_cy_1.avi",
                "walk/walk_dee_1.avi",
            ),
            [0, 0, 1, 2, 3],
        ),
        (
            "sessions",
            "guessed",
            (
                "run/2024-05-01_12-30-10.mp4",
                "run/2024-05-01_12-41-00.mp4",
                "run/2024-05-01 at 18.00.01.mp4",
                "walk/20240502_080000.mp4",
                "walk/20240502_081500.mp4",
                "walk/20240503_081500.mp4",
            ),
            [0, 0, 1, 2, 2, 3],
        ),
        (
            "days",
            "guessed",
            (
                "run/VID_20240501_090000.mp4",
                "run/VID_20240501_120000.mp4",
                "run/VID_20240502_090000.mp4",
                "walk/VID_20240503_090000.mp4",
                "walk/VID_20240503_150000.mp4",
            ),
            [0, 0, 1, 2, 2],
        ),
        (
            "numbered names",
            "guessed",
            (
                "run/park-1.mp4",
                "run/park-2.mp4",
                "run/yard part3.mp4",
                "walk/yard (2).mp4",
                "walk/beach_00012_00045.mp4",
                "walk/beach_00112_00145.mp4",
                "walk/hall clip 7.mp4",
            ),
            [0, 0, 1, 1, 2, 2, 3],
        ),
    ],
)
def test_names_tell_sources(by: str, sure: str, names: Sequence[str], groups: list[int]) -> None:
    sources = told(*names)
    assert (sources.by, sources.sure) == (by, sure), sources
    assert grouped(sources) == groups
    assert f"{max(groups) + 1} sources of {len(names)} clips" in sources.sentence
    assert " is taken for a part of " in sources.sentence


@pytest.mark.parametrize(
    "names",
    [
        [f"{label}/{number:04d}.mp4" for label in ("run", "walk") for number in range(9)],
        [f"{label}/{label}_{number}.mp4" for label in ("run", "walk") for number in range(9)],
        [f"{label}/IMG_{number:04d}.MOV" for label in ("run", "walk") for number in range(9)],
        [f"{label}/my clip {number}.MOV" for label in ("run", "walk") for number in range(9)],
        [f"{label}/{place}.mp4" for label in ("run", "walk") for place in ("park", "yard", "beach")],
    ],
)
def test_where_nothing_tells_sources_each_clip_is_its_own_and_that_is_said(names: list[str]) -> None:
    sources = told(*names)
    assert (sources.by, sources.sure, list(sources.of)) == ("nothing", "none", names)
    assert "accuracy will look better than it is" in sources.sentence


def test_spans_of_a_file_have_one_source() -> None:
    clips = clips_named("run/a.avi", "run/a.avi", "walk/b.avi")
    assert grouped(find_sources(clips, ["run/a.avi", "run/a.avi", "walk/b.avi"])) == [0, 0, 1]


@pytest.mark.parametrize(("name", "by"), [("jhmdb", "HMDB51"), ("weizmann", "person and action")])
def test_names_of_real_clips_tell_what_their_column_states(name: str, by: str) -> None:
    table = DATA / f"{name}.csv"
    need("data", table.is_file(), f"the shared clips are not at {DATA}")
    with table.open() as file:
        rows = list(csv.DictReader(file))
    sources = told(*(row["path"] for row in rows))
    assert sources.by == by
    stated = [row["source"] for row in rows]

    def pairs(keys: Sequence[object]) -> int:
        return sum(size * (size - 1) // 2 for size in Counter(keys).values())

    both = pairs(list(zip(stated, sources.of, strict=True)))
    assert (both / pairs(sources.of), both / pairs(stated)) == (1, 1)  # precision and recall over pairs of clips
