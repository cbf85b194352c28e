"""A tiny run, from labelled clips to a bundle that is measured, through the commands."""

import csv
import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from model import cli
from service.errors import KinemaError
from service.inference.bundle import Bundle
from service.inference.card import Card
from service.inference.session import Device
from tests.require import need
from tests.unit.model_clips import TINY, TORCH, WITHOUT_TORCH, write_dataset

app = typer.Typer()
for command in (cli.train, cli.evaluate, cli.quantize, cli.export):
    app.command()(command)


@pytest.fixture(autouse=True, scope="module")
def _torch() -> None:
    need("train", TORCH, WITHOUT_TORCH)


def kinema(*arguments: str | Path) -> Result:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


class Tiny:
    """A finished run and the bundle made of it."""

    def __init__(self, directory: Path) -> None:
        self.data = write_dataset(directory)
        self.run, self.bundle = directory / "run", directory / "bundle"
        recipe = directory / "recipe.json"
        recipe.write_text(TINY.model_dump_json())
        self.options: tuple[str | Path, ...] = (
            *("train", self.data, "-o", self.run, "--recipe", recipe, "--cache", directory / "cache"),
            *("--views", "2", "--seeds", "1", "--epochs", "3"),
        )
        assert "is finished" in kinema(*self.options).stdout
        golden = self.data.parent / "1.avi"
        assert kinema("export", self.run, "-o", self.bundle, "--golden", golden, "--name", "tiny").exit_code == 0


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    need("train", TORCH, WITHOUT_TORCH)
    return Tiny(tmp_path_factory.mktemp("tiny"))


def test_a_run_keeps_its_table_log_and_pictures(tiny: Tiny) -> None:
    with (tiny.run / "table.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["head"], row["kinds"], row["fold"]) for row in rows] == [
        (head, kinds, fold)
        for head, kinds in (("lstm", "look+drift"), ("mean", "look+drift"), ("mean", "look"), ("mean", "drift"))
        for fold in ("0", "1")
    ]
    assert all(row["clips"] == "4" for row in rows)
    log = [json.loads(line) for line in (tiny.run / "log.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in log if line["training"] == "final"] == [1, 2, 3]
    for picture in ("confusion-matrix.png", "training-curve.png"):
        assert (tiny.run / picture).read_bytes().startswith(b"\x89PNG")


def test_the_bundle_loads_and_its_golden_scores_are_its_own(tiny: Tiny) -> None:
    bundle = Bundle.load(tiny.bundle, Device.choose("cpu", 1))
    assert bundle.card.labels == ("left", "right")
    assert [kind.name for kind in bundle.card.evidence] == ["look", "drift"]
    assert sum(bundle.card.golden.scores) == pytest.approx(1)
    assert {metric.clips for metric in bundle.card.metrics} == {8}


def test_run_and_bundle_answer_alike(tiny: Tiny) -> None:
    found = {
        where: kinema("evaluate", where, tiny.data, "-o", tiny.run / f"of-{where.name}", "--cache", tiny.run / "cache")
        for where in (tiny.run, tiny.bundle)
    }
    assert found[tiny.run].stdout == found[tiny.bundle].stdout
    assert "on 8 clips" in found[tiny.run].stdout
    matrices = [(tiny.run / f"of-{where.name}" / "confusion.csv").read_text() for where in found]
    assert matrices[0] == matrices[1]


def test_an_interrupted_run_goes_on(tiny: Tiny) -> None:
    with pytest.raises(KinemaError, match="holds a run already"):
        kinema(*tiny.options)
    before = {path: path.read_bytes() for path in (tiny.run / "trials").iterdir()}
    lost = sorted(before)[3]
    lost.unlink()
    (tiny.run / "final.json").unlink()
    with pytest.raises(KinemaError, match=r"no final\.json"):
        kinema("evaluate", tiny.run, tiny.data)
    assert kinema(*tiny.options, "--resume").exit_code == 0
    assert {path: path.read_bytes() for path in (tiny.run / "trials").iterdir()} == before


def test_a_run_is_resumed_only_as_it_was_planned(tiny: Tiny) -> None:
    with pytest.raises(KinemaError, match="has another plan"):
        kinema(*tiny.options, "--resume", "--epochs", "4")


def test_a_model_is_not_measured_on_actions_that_it_does_not_know(tiny: Tiny) -> None:
    other = tiny.data.with_name("other.csv")
    other.write_text("path,label\n0.avi,upwards\n")
    with pytest.raises(KinemaError, match="knows no action upwards"):
        kinema("evaluate", tiny.bundle, other)


def test_a_clip_that_is_no_video_is_named(tiny: Tiny) -> None:
    other = tiny.data.with_name("text.csv")
    other.write_text("path,label\ntext.csv,left\n")
    for where in (tiny.run, tiny.bundle):
        with pytest.raises(KinemaError, match=r"text\.csv cannot be used: this is text"):
            kinema("evaluate", where, other)


def test_what_is_no_model_is_named(tiny: Tiny, tmp_path: Path) -> None:
    with pytest.raises(KinemaError, match="not a bundle"):
        kinema("evaluate", tmp_path, tiny.data)
    with pytest.raises(KinemaError, match="holds no run"):
        kinema("export", tmp_path, "-o", tmp_path / "out", "--golden", tiny.data, "--name", "x")
    assert kinema("export", tmp_path, "-o", tmp_path, "--golden", tiny.data, "--name", "A name").exit_code == 2


def test_the_card_is_the_one_that_was_asked_for(tiny: Tiny) -> None:
    card = Card.read(tiny.bundle)
    assert (card.name, card.version, card.recurrent.head) == ("tiny", "1.0.0", "lstm")
    assert card.sampling == TINY.sampling


def test_a_runs_twins_are_measured_and_go_into_its_bundle(tiny: Tiny) -> None:
    with pytest.raises(KinemaError, match="trained on other clips"):
        kinema("quantize", tiny.run, write_dataset(tiny.run, clips=4))
    said = kinema("quantize", tiny.run, tiny.data, "--cache", tiny.run / "cache").stdout
    assert "with their int8 twins" in said
    with (tiny.run / "int8.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["seed"], row["fold"], row["clips"]) for row in rows] == [("0", "0", "4"), ("0", "1", "4")]
    directory = tiny.run / "with-twins"
    golden = tiny.data.parent / "1.avi"
    assert kinema("export", tiny.run, "-o", directory, "--golden", golden, "--name", "tiny").exit_code == 0
    card = Bundle.load(directory, Device.choose("cpu", 1), "int8").card
    assert [kind.int8 for kind in card.evidence] == ["look.int8.onnx", "drift.int8.onnx"]
    assert card.int8 is not None
    lost = sum(int(row["right"]) - int(row["right_int8"]) for row in rows)
    assert card.int8.accuracy_fall == pytest.approx(100 * lost / 8)
    assert sum(card.int8.scores) == pytest.approx(1)
