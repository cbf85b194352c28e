"""A tiny run and its bundle, judged through the command: on new clips, strangers, clips that are none, and by folds."""

import csv
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import typer
from typer.testing import CliRunner, Result

from model import cli
from service.errors import KinemaError
from tests.model.clips import TINY, TORCH, WITHOUT_TORCH, write_clip, write_dataset
from tests.require import need

app = typer.Typer()
for command in (cli.train, cli.evaluate, cli.export):
    app.command()(command)

FILES = ("confusion.csv", "confusion-matrix.png", "reliability.png", "per-class.csv", "predictions.csv", "report.html")


def kinema(*arguments: str | Path) -> Result:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


class Judged:
    """A run of the quickest head, its bundle, and a folder of clips that it was not made of."""

    def __init__(self, directory: Path) -> None:
        data = write_dataset(directory)
        self.directory, self.bundle, self.folder = directory, directory / "bundle", directory / "folder"
        self.run = directory / "model" / "training"
        self.cache = directory / "cache"
        recipe = directory / "recipe.json"
        recipe.write_text(TINY.model_dump_json())
        quick = ("--head", "mean", "--no-baselines", "--views", "1", "--epochs", "2", "--no-int8")
        kinema("train", data, "-o", self.run.parent, "--recipe", recipe, "--cache", self.cache, *quick)
        golden = directory / "1.avi"
        kinema("export", self.run, "-o", self.bundle, "--golden", golden, "--name", "tiny")
        for label, drift in (("left", 4), ("right", -4), ("upwards & <b>", 0)):
            (self.folder / label).mkdir(parents=True)
            for number in range(2):
                write_clip(self.folder / label / f"{number}.avi", drift, seed=90 + 7 * drift + number)
        (self.folder / "left" / "broken.mp4").write_bytes(b"no clip at all \0\1\2")


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> Judged:
    need("train", TORCH, WITHOUT_TORCH)
    return Judged(tmp_path_factory.mktemp("judged"))


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_folder_is_judged_and_strangers_and_bad_clips_do_not_end_it(judged: Judged) -> None:
    found = {}
    for where, jobs in ((judged.run, "1"), (judged.bundle, "2")):
        output = judged.directory / f"of-{where.name}"
        done = kinema("evaluate", where, judged.folder, "-o", output, "--cache", judged.cache, "--jobs", jobs)
        assert re.search(r"accuracy .* on 4 clips", done.stdout)
        assert "2 strangers" in done.stdout
        assert "1 clips skipped" in done.stdout
        assert {path.name for path in output.iterdir()} == set(FILES)
        assert (output / "reliability.png").read_bytes().startswith(b"\x89PNG")
        page = (output / "report.html").read_text()
        assert "upwards &amp; &lt;b&gt;" in page
        assert "broken.mp4" in page
        assert "<script" not in page
        found[where] = rows(output / "predictions.csv")
        counted = {row["action"]: row["clips"] for row in rows(output / "per-class.csv")}
        assert counted == {"left": "2", "right": "2"}
    run, bundle = ({row["path"]: row for row in one} for one in found.values())
    assert set(run) == set(bundle)
    assert sum(row["label"].startswith("upwards") for row in run.values()) == 2
    for path, row in run.items():
        assert row["answer"] == bundle[path]["answer"]
        assert float(row["score"]) == pytest.approx(float(bundle[path]["score"]), abs=0.01)


def test_a_run_is_judged_by_its_own_folds(judged: Judged, tmp_path: Path) -> None:
    said = kinema("evaluate", judged.run, "-o", tmp_path / "folds").stdout
    assert said.startswith("accuracy ")
    matrix = [[int(cell) for cell in list(row.values())[1:]] for row in rows(tmp_path / "folds" / "confusion.csv")]
    kept = [[int(cell) for cell in list(row.values())[1:]] for row in rows(judged.run / "confusion.csv")]
    assert matrix == kept
    assert np.sum(matrix) == 8
    page = (tmp_path / "folds" / "report.html").read_text()
    assert "2-fold cross-validation" in page
    again = kinema("evaluate", judged.run, judged.directory / "clips.csv", "--folds")
    assert again.stdout == said


def test_clips_that_it_was_trained_on_are_told(judged: Judged, tmp_path: Path) -> None:
    table = judged.directory / "some.csv"
    table.write_text("path,label\n0.avi,left\n1.avi,right\n")
    kinema("evaluate", judged.run, table, "-o", tmp_path, "--cache", judged.cache)
    assert "trained on 2 of these 2 clips" in (tmp_path / "report.html").read_text()


def test_what_cannot_be_judged_is_said_in_words(judged: Judged, tmp_path: Path) -> None:
    assert kinema("evaluate", judged.bundle).exit_code == 2  # a bundle has no folds
    strangers = tmp_path / "strangers" / "upwards"
    strangers.mkdir(parents=True)
    shutil.copyfile(judged.directory / "0.avi", strangers / "0.avi")
    with pytest.raises(KinemaError, match="knows no action upwards"):
        kinema("evaluate", judged.bundle, strangers.parent, "--cache", judged.cache)
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(KinemaError, match="cannot be made"):
        kinema("evaluate", judged.run, "-o", tmp_path / "file")
    moved = Path(shutil.copytree(judged.run, tmp_path / "run"))
    (moved / "clips.json").unlink()
    with pytest.raises(KinemaError, match="does not say which clips"):
        kinema("evaluate", moved)
