"""Labels from a text file: every fault is told with its line."""

from pathlib import Path

import pytest

from service.errors import ImportRefused
from service.foreign.labels import read_labels


def written(directory: Path, text: str | bytes) -> Path:
    path = directory / "labels.txt"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


@pytest.mark.parametrize("text", ["golf\nbrush hair\n", "golf\r\nbrush hair", "\ufeffgolf\n brush hair \n"])
def test_one_label_a_line(tmp_path: Path, text: str) -> None:
    assert read_labels(written(tmp_path, text)) == ("golf", "brush hair")


def test_blank_lines_and_repeats_are_told_all_at_once(tmp_path: Path) -> None:
    with pytest.raises(ImportRefused, match=r"line 2 is blank; line 4 repeats 'golf' of line 1; line 5 is blank"):
        read_labels(written(tmp_path, "golf\n\nwave\ngolf\n \n"))


@pytest.mark.parametrize(
    ("text", "fault"), [("golf\n", "has 1 labels"), ("", "has 0 labels"), (b"golf\nl\xe4uft\n", "no text in UTF-8")]
)
def test_other_files_are_refused(tmp_path: Path, text: str | bytes, fault: str) -> None:
    with pytest.raises(ImportRefused, match=fault):
        read_labels(written(tmp_path, text))


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ImportRefused, match=r"labels\.txt cannot be read: No such file"):
        read_labels(tmp_path / "labels.txt")
