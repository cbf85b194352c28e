"""Lists of clips are read as people write them."""

from pathlib import Path

import pytest

from model.data.dataset import DataError
from tests.unit.folder_clips import clip_bytes, fill, found_in, labels

NAMES = ("run/a.avi", "walk/b c.avi")


def listed(tmp_path: Path, text: str, name: str = "list.csv") -> Path:
    return fill(tmp_path / "clips", *NAMES, content={name: text.encode()}) / name


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("path,label\nrun/a.avi,run\nwalk/b c.avi,walk\n", "list.csv"),
        ("\ufeffClass;File Name\r\nrun;run/a.avi\r\nwalk;walk/b c.avi\r\n", "list.csv"),
        ("action\tvideo\nrun\trun/a.avi\nwalk\twalk/b c.avi\n", "list.tsv"),
        ("run/a.avi run\nwalk/b c.avi walk\n", "list.txt"),
        ("path label\nrun/a.avi run\nwalk/b c.avi walk\n", "list.txt"),
        ("# mine\nrun/a.avi\trun\n\nwalk/b c.avi\twalk\n", "list.txt"),
        ("run/a.avi,run\nwalk/b c.avi,walk\n", "list.txt"),
        ("filename,category\nrun\\a.avi,run\nwalk/b c,walk\n", "list.csv"),
        ("file,activity\na.avi,run\nb c.avi,walk\n", "list.csv"),
    ],
)
def test_a_list_is_read_in_many_manners(tmp_path: Path, text: str, name: str) -> None:
    table = listed(tmp_path, text, name)
    for where in (table, table.parent):  # named, and found in the directory
        found = found_in(where)
        assert [one.label for one in found.clips] == ["run", "walk"]
        assert [one.path.name for one in found.clips] == ["a.avi", "b c.avi"]
        assert found.layout.startswith(f"the list {table}, with ")
        assert found.skipped == ()


def test_all_columns_are_read(tmp_path: Path) -> None:
    table = listed(
        tmp_path,
        "fold,split,group,end,start,label,path\n"
        "0,training,x,0.2,0,run,run/a.avi\n"
        "1,valid,x,0:00.5,0.2,walk,run/a.avi\n"
        "2,test,,,,walk,walk/b c.avi\n",
    )
    found = found_in(table)
    assert [(one.label, one.source, one.fold, one.split, one.span) for one in found.clips] == [
        ("run", "x", 0, "train", "0.0-0.2"),
        ("walk", "x", 1, "val", "0.2-0.5"),
        ("walk", "", 2, "test", ""),
    ]
    assert "with the columns fold, split, source, end, start, label and path" in found.layout


def test_lines_that_cannot_be_used_are_told(tmp_path: Path) -> None:
    table = listed(
        tmp_path,
        "path,label,start,end\nrun/a.avi,run,,\nwalk/b c.avi,walk,,\nnone.avi,run,,\nrun/a.avi,,,\n"
        "run/a.avi,run,3,2\nrun/a.avi,run,soon,2\nrun/a.avi,run,9,10\n",
    )
    found = found_in(table)
    assert len(found.clips) == 2
    assert [one.reason for one in found.skipped] == [
        "line 4 of list.csv: there is no such file, or several of that name",
        "line 5 of list.csv: it has no label",
        "line 6 of list.csv: the span ends at 2 s and begins at 3 s",
        "line 7 of list.csv: 'soon' is no time in seconds",
        "the span begins at 9 s and the file lasts 0.50 s",
    ]


@pytest.mark.parametrize(
    ("names", "content", "expected"),
    [
        ("classes.txt", "jog\nstroll\n", ["jog", "stroll"]),
        ("labels.txt", "1 stroll\n0 jog\n", ["jog", "stroll"]),
        ("other.txt", "jog\nstroll\n", ["0", "1"]),
    ],
)
def test_numbers_are_named_by_a_file_beside_the_list(
    tmp_path: Path, names: str, content: str, expected: list[str]
) -> None:
    table = listed(tmp_path, "run/a.avi 0\nwalk/b c.avi 1\n", "list.txt")
    (table.parent / names).write_text(content)
    found = found_in(table)
    assert [one.label for one in found.clips] == expected
    assert len(found.notes) == 1


def test_numbers_from_1_are_counted_from_1(tmp_path: Path) -> None:
    table = listed(tmp_path, "run/a.avi 1\nwalk/b c.avi 2\n", "list.txt")
    (table.parent / "classInd.txt").write_text("jog\nstroll\n")
    assert [one.label for one in found_in(table).clips] == ["jog", "stroll"]


def test_a_list_for_each_part_is_read_with_the_others(tmp_path: Path) -> None:
    root = fill(tmp_path / "clips", "a.avi", "b.avi", "c.avi", content={"readme.txt": b"Clips of mine, see below.\n"})
    (root / "my_train_list.txt").write_text("a.avi run\nb.avi walk\n")
    (root / "my_val_list.txt").write_text("c.avi run\n")
    found = found_in(root)
    assert [(one.path.name, one.split) for one in found.clips] == [
        ("a.avi", "train"),
        ("b.avi", "train"),
        ("c.avi", "val"),
    ]
    assert found.layout.endswith("2 classes together")


def test_a_list_of_something_else_is_no_list(tmp_path: Path) -> None:
    root = fill(
        tmp_path / "clips", *NAMES, content={"prices.csv": b"name,label\napples,2\npears,3\n", "n.txt": b"\xff"}
    )
    assert found_in(root).layout.startswith("a folder for each class")


def test_paths_start_where_the_user_says(tmp_path: Path) -> None:
    fill(tmp_path / "clips", *NAMES)
    table = tmp_path / "elsewhere" / "list.csv"
    table.parent.mkdir()
    table.write_text("path,label\nrun/a.avi,run\nwalk/b c.avi,walk\n")
    assert len(found_in(table, tmp_path / "clips").clips) == 2


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "lists no clip"),
        ("one two three\n", r"line 1: 'one two three' is no path and label|holds no clip"),
        ("path,colour\nrun/a.avi,red\n", "none for labels"),
        ("path,label,fold\nrun/a.avi,run,one\n", "line 2: the fold is 'one'"),
        ("alone\n", "is no path and label"),
    ],
)
def test_what_is_wrong_with_a_list_is_said(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(DataError, match=said):
        found_in(listed(tmp_path, text))


def test_kinetics(tmp_path: Path) -> None:
    root = fill(
        tmp_path / "clips",
        "videos/run/abcdefghijk_000003_000013.avi",
        "videos/walk/lmnopqrstuv.avi",
        content={
            "train.csv": (
                b"label,youtube_id,time_start,time_end,split,is_cc\n"
                b"run,abcdefghijk,3,13,train,0\nwalk,lmnopqrstuv,7,17,validate,0\nwalk,wxyzabcdefg,1,11,train,0\n"
            ),
            "videos/walk/wxyzabcdefg.avi": clip_bytes(7, frames=40),
        },
    )
    (root / "train.csv").write_text((root / "train.csv").read_text().replace("1,11", "1,2"))
    for where in (root, root / "train.csv"):
        found = found_in(where)
        assert found.layout == f"a list as Kinetics has them, {root / 'train.csv'}: 2 classes"
        assert [(one.label, one.source, one.split, one.span) for one in found.clips] == [
            ("run", "abcdefghijk", "train", ""),
            ("walk", "lmnopqrstuv", "val", ""),
            ("walk", "wxyzabcdefg", "train", "1.0-2.0"),  # lasts longer than the span: it is still whole
        ]


def test_kinetics_without_some_of_its_videos(tmp_path: Path) -> None:
    rows = "".join(f"run,gone{number:07d},0,10\n" for number in range(9))
    text = f"label,youtube_id,time_start,time_end\nrun,abcdefghijk,3,13\nwalk,lmnopqrstuv,7,17\n{rows}"
    root = fill(tmp_path / "clips", "abcdefghijk_000003_000013.avi", "lmnopqrstuv.avi")
    (root / "kinetics_val.csv").write_text(text)
    found = found_in(root)
    assert {one.split for one in found.clips} == {"val"}
    assert len(found.skipped) == 9
    assert "there is no file gone0000000_000000_000010 or gone0000000" in found.skipped[0].reason


def test_hmdb_splits(tmp_path: Path) -> None:
    root = fill(tmp_path / "clips", *(f"{label}/{label}{n}.avi" for label in ("run", "walk") for n in range(3)))
    for label in ("run", "walk"):
        for split in (1, 2):
            lines = "".join(f"{label}{n}.avi {(n + split) % 3} \n" for n in range(3))
            path = root / "splits" / f"{label}_test_split{split}.txt"
            path.parent.mkdir(exist_ok=True)
            path.write_text(lines)
    for where in (root, root / "splits/run_test_split1.txt"):
        found = found_in(where, root)
        assert found.layout == f"the lists of HMDB51's split 1 in {root / 'splits'}: 2 classes"
        assert labels(found) == {"run0.avi": "run", "run1.avi": "run", "walk0.avi": "walk", "walk1.avi": "walk"}
        assert [one.split for one in found.clips] == ["train", "test"] * 2
        assert found.notes == ("the split leaves out 2 clips",)


def test_ucf_lists(tmp_path: Path) -> None:
    names = [f"{label}/v_{label}_g0{g}_c01.avi" for label in ("Run", "Walk") for g in (1, 2)]
    root = fill(tmp_path / "clips", *(f"UCF-101/{name}" for name in names))
    lists = root / "ucfTrainTestlist"
    lists.mkdir()
    (lists / "classInd.txt").write_text("1 Run\n2 Walk\n")
    (lists / "trainlist01.txt").write_text(f"{names[0]} 1\n{names[2]} 2\n")
    (lists / "testlist01.txt").write_text(f"{names[1]}\n{names[3]}\nRun/v_Run_g09_c01.avi\n")
    found = found_in(root)
    assert found.layout == f"UCF101's lists testlist01.txt and trainlist01.txt in {lists}: 2 classes"
    assert sorted((one.split, one.label) for one in found.clips) == [
        *(("test", label) for label in ("Run", "Walk")),
        *(("train", label) for label in ("Run", "Walk")),
    ]
    assert [one.reason for one in found.skipped] == ["testlist01.txt: there is no such file"]
