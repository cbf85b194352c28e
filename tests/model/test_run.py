"""A tiny run, from labelled clips to a bundle that is measured, through the commands."""

import csv
import json
import re
from pathlib import Path
from typing import get_args

import pytest
import typer
from typer.testing import CliRunner, Result

from model import cli
from service.errors import KinemaError
from service.inference.bundle import Bundle
from service.inference.card import Card, Grid
from service.inference.session import Device
from tests.model.clips import TINY, TORCH, WITHOUT_TORCH, quick_twins, write_dataset
from tests.require import need

app = typer.Typer()
for command in (cli.train, cli.evaluate, cli.compare, cli.quantize, cli.strangers, cli.export):
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

    def __init__(self, directory: Path, *further: str) -> None:
        self.data = write_dataset(directory)
        self.golden = self.data.parent / "1.avi"
        self.model, self.bundle = directory / "model", directory / "bundle"
        self.run = self.model / "training"
        recipe = directory / "recipe.json"
        recipe.write_text(TINY.model_dump_json())
        self.options: tuple[str | Path, ...] = (
            *("train", self.data, "-o", self.model, "--recipe", recipe, "--cache", directory / "cache"),
            *("--head", "lstm", "--no-int8", "--views", "2", "--epochs", "3", "--jobs", "1"),
            *further,
        )
        assert "is finished" in kinema(*self.options).stdout
        self.export(self.run, self.bundle)

    def train(self, head: str) -> Path:
        """Another run on the same clips, of one head alone."""
        model = self.model.with_name(f"model-{head}")
        kinema(*self.options, "-o", model, "--head", head, "--no-baselines")
        return model / "training"

    def export(self, run: Path, bundle: Path, *options: str) -> None:
        told = kinema("export", run, "-o", bundle, "--golden", self.golden, "--name", "tiny", *options)
        assert told.exit_code == 0


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


def test_the_bundle_says_when_it_does_not_know_a_clip_and_how_well_strangers_are_told(tiny: Tiny) -> None:
    (tiny.run.parent / "strangers").mkdir(exist_ok=True)
    others = write_dataset(tiny.run.parent / "strangers", clips=4)
    told = kinema("strangers", tiny.run, others, "--name", "others", "--cache", tiny.run / "cache")
    assert "others: AUROC" in told.stdout
    bundle = tiny.run.with_name("bundle-abstaining")
    tiny.export(tiny.run, bundle)
    abstention = Card.read(bundle).abstention
    assert abstention is not None
    assert (abstention.output, abstention.clips) == ("familiarity", 8)
    assert [(one.name, one.clips) for one in abstention.strangers] == [("others", 4)]
    Bundle.load(bundle, Device.choose("cpu", 1))


def test_run_and_bundle_answer_alike(tiny: Tiny) -> None:
    found = {
        where: kinema("evaluate", where, tiny.data, "-o", tiny.run / f"of-{where.name}", "--cache", tiny.run / "cache")
        for where in (tiny.run, tiny.bundle)
    }
    first = [one.stdout.splitlines()[0] for one in found.values()]
    assert first[0] == first[1]
    assert re.fullmatch(r"accuracy \d+\.\d % \(95 % interval \d+\.\d to \d+\.\d\) on 8 clips", first[0])
    matrices = [(tiny.run / f"of-{where.name}" / "confusion.csv").read_text() for where in found]
    assert matrices[0] == matrices[1]


@pytest.fixture(scope="module")
def spatial(tiny: Tiny) -> Path:
    return tiny.train("spatial")


def test_a_head_that_reads_a_map_is_trained_and_answers_alike_as_a_bundle(tiny: Tiny, spatial: Path) -> None:
    bundle = spatial.with_name("bundle-spatial")
    tiny.export(spatial, bundle)
    card = Card.read(bundle)
    assert card.recurrent.head == "spatial"
    assert [kind.file for kind in card.evidence] == ["look-map.onnx", "drift.onnx"]
    assert [kind.map for kind in card.evidence] == [Grid(rows=2, columns=2, channels=320), None]
    assert [(one.name, one.axes) for one in card.recurrent.outputs] == [("attention_map", ("steps", 2, 2))]
    said = [kinema("evaluate", where, tiny.data, "--cache", tiny.run / "cache").stdout for where in (spatial, bundle)]
    assert said[0].splitlines()[0] == said[1].splitlines()[0]


def test_runs_share_the_files_of_their_encoders(tiny: Tiny, spatial: Path) -> None:
    one, other = (run / "encoders" / "drift.onnx" for run in (tiny.run, spatial))
    assert one.samefile(other)
    assert not (tiny.run / "encoders" / "look.onnx").samefile(spatial / "encoders" / "look.onnx")  # it has a map


def test_bundles_share_encoders_and_golden_clip(tiny: Tiny, spatial: Path) -> None:
    heads = tiny.model.with_name("heads")
    for run in (tiny.run, spatial):
        tiny.export(run, heads / run.parent.name, "--share", "shared")
    assert {path.name for path in (heads / "shared").iterdir()} == {
        *("look.onnx", "look-map.onnx", "drift.onnx", "golden.avi")
    }
    for run in (tiny.run, spatial):
        assert {path.name for path in (heads / run.parent.name).iterdir()} == {"card.json", "recurrent.onnx"}
        Bundle.load(heads / run.parent.name, Device.choose("cpu", 1))


def test_a_bundle_takes_what_another_has_in_spite_of_its_metadata(tiny: Tiny, spatial: Path) -> None:
    import onnx

    heads = tiny.model.with_name("more-heads")
    tiny.export(tiny.run, heads / "whole")
    stamped = onnx.load(heads / "whole" / "drift.onnx")
    onnx.helper.set_model_props(stamped, {"owner": "whole"})
    onnx.save(stamped, heads / "whole" / "drift.onnx")
    tiny.export(spatial, heads / "sharing", "--share", "whole", "--share", "encoders")
    files = Card.read(heads / "sharing").files
    assert files["drift.onnx"].beside == "whole"
    assert files["look-map.onnx"].beside == "encoders"
    assert {path.name for path in (heads / "encoders").iterdir()} == {"look-map.onnx"}


def test_what_is_shared_is_not_overwritten(tiny: Tiny) -> None:
    heads = tiny.model.with_name("heads-in-the-way")
    (heads / "shared").mkdir(parents=True)
    (heads / "shared" / "look.onnx").write_text("something else")
    with pytest.raises(KinemaError, match=r"look\.onnx is another file"):
        tiny.export(tiny.run, heads / "one", "--share", "shared")
    assert [path.name for path in heads.iterdir()] == ["shared"]


def test_only_directories_beside_the_bundle_are_shared(tiny: Tiny) -> None:
    heads = tiny.model.with_name("heads-by-name")
    for name in ("../elsewhere", "/tmp", ".", "one/deeper"):
        with pytest.raises(KinemaError, match="is no name of a directory beside"):
            tiny.export(tiny.run, heads / "one", "--share", name)
    tiny.export(tiny.run, heads / "one")
    before = {path.name for path in (heads / "one").iterdir()}
    with pytest.raises(KinemaError, match="is the bundle that is to be written"):
        tiny.export(tiny.run, heads / "one", "--share", "one")
    assert {path.name for path in (heads / "one").iterdir()} == before
    assert [path.name for path in heads.iterdir()] == ["one"]


def test_a_bundle_that_others_share_from_is_not_replaced_by_one_without_their_files(tiny: Tiny, spatial: Path) -> None:
    heads = tiny.model.with_name("heads-that-rely")
    tiny.export(tiny.run, heads / "whole")
    tiny.export(spatial, heads / "relying", "--share", "whole", "--share", "encoders")
    tiny.export(tiny.run, heads / "whole")  # the same files again
    before = {path.name for path in (heads / "whole").iterdir()}
    with pytest.raises(KinemaError, match=r"relying shares \S+ of whole, which would lose it"):
        tiny.export(tiny.run, heads / "whole", "--share", "encoders")
    assert {path.name for path in (heads / "whole").iterdir()} == before
    assert not list(heads.glob(".*"))
    Bundle.load(heads / "relying", Device.choose("cpu", 1))


def test_a_link_to_a_bundle_is_followed(tiny: Tiny) -> None:
    heads = tiny.model.with_name("heads-linked")
    tiny.export(tiny.run, heads / "one")
    (heads / "latest").symlink_to("one")
    tiny.export(tiny.run, heads / "latest")
    assert (heads / "latest").is_symlink()
    assert {path.name for path in heads.iterdir()} == {"one", "latest"}


def test_a_run_of_another_version_is_named(tiny: Tiny) -> None:
    import torch

    run = tiny.train("mean")
    torch.save({"narrow.look.weight": torch.zeros(1)}, run / "head.pt")
    with pytest.raises(KinemaError, match="another network than this version trains"):
        kinema("compare", run)


def test_a_head_that_reads_positions_needs_frames(tiny: Tiny) -> None:
    recipe = tiny.model.with_name("flow-alone.json")
    recipe.write_text(TINY.model_copy(update={"evidence": TINY.evidence[1:]}).model_dump_json())
    run = tiny.model.with_name("model-without-frames")
    with pytest.raises(KinemaError, match="the recipe has no rgb"):
        kinema(*tiny.options, "-o", run, "--recipe", recipe, "--head", "convlstm", "--no-baselines")


def test_heads_are_put_side_by_side(tiny: Tiny, spatial: Path) -> None:
    table = tiny.model.with_name("family.csv")
    assert kinema("compare", tiny.run, spatial, "-o", table).exit_code == 0
    with table.open() as file:
        rows = {row["head"]: row for row in csv.DictReader(file)}
    assert set(rows) == {"lstm", "spatial"}
    with (spatial / "table.csv").open() as file:
        right = sum(int(row["right"]) for row in csv.DictReader(file))
    assert float(rows["spatial"]["accuracy"]) == pytest.approx(100 * right / 8, abs=0.05)
    for row in rows.values():
        assert row["clips"] == "8"
        assert row["streams"] == "yes"
        assert int(row["parameters"]) > 1000
        assert float(row["ms/step"]) > 0
        assert float(row["ms/window"]) > 0
        assert {"fold 0", "fold 1"} < set(row)


def test_runs_that_were_not_trained_alike_are_not_compared(tiny: Tiny) -> None:
    other = tiny.model.with_name("other-model")
    kinema(*tiny.options, "-o", other, "--no-baselines", "--epochs", "2")
    with pytest.raises(KinemaError, match="were not trained alike"):
        kinema("compare", tiny.run, other)


def test_the_heads_that_can_be_asked_for_are_those_that_there_are() -> None:
    from model.net.classifier import HEADS

    assert get_args(cli.Head) == HEADS


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
    with quick_twins():
        said = kinema("quantize", tiny.run, tiny.data, "--cache", tiny.run / "cache").stdout
    assert "with their int8 twins" in said
    with (tiny.run / "int8.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["seed"], row["fold"], row["clips"]) for row in rows] == [("0", "0", "4"), ("0", "1", "4")]
    assert all(len(row) == 6 for row in rows)
    directory = tiny.run / "with-twins"
    golden = tiny.data.parent / "1.avi"
    assert kinema("export", tiny.run, "-o", directory, "--golden", golden, "--name", "tiny").exit_code == 0
    card = Bundle.load(directory, Device.choose("cpu", 1), "int8").card
    assert [kind.int8 for kind in card.evidence] == ["look.int8.onnx", "drift.int8.onnx"]
    assert card.int8 is not None
    lost = sum(int(row["right"]) - int(row["right_int8"]) for row in rows)
    assert card.int8.accuracy_fall == pytest.approx(100 * lost / 8)
    assert card.abstention is not None
    assert card.abstention.false_alarms_int8 is not None
    assert sum(card.int8.scores) == pytest.approx(1)
