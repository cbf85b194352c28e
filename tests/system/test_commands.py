"""The commands of `kinema` beside `serve`."""

import csv
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from service.http.schemas import PredictResponse
from service.inference.card import Card, sha256
from tests.samples import BUNDLE, CLIPS, ROOT
from tests.server import kinema

GOLF, PULLUP, TEXT = CLIPS / "real-golf.mp4", CLIPS / "real-pullup.mp4", CLIPS / "text.mp4"


def test_predict_tells_people_in_a_table() -> None:
    done = kinema("predict", "--top-k", "2", GOLF, PULLUP)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].split()[:3] == ["clip", "action", "score"]
    assert [line.split()[1] for line in lines[1:] if line.startswith(str(CLIPS))] == ["golf", "pullup"]
    assert "shorter" in done.stderr


def test_predict_tells_programs_in_json_lines() -> None:
    done = kinema("predict", "--json", GOLF, PULLUP)
    assert done.returncode == 0, done.stderr
    golf, pullup = map(json.loads, done.stdout.splitlines())
    assert golf.pop("clip") == str(GOLF)
    answer = PredictResponse.model_validate(golf)
    assert answer.predictions[0].label == "golf"
    assert pullup["predictions"][0]["label"] == "pullup"


def test_predict_tells_spreadsheets_in_csv() -> None:
    done = kinema("predict", "--csv", "--top-k", "3", GOLF)
    rows = list(csv.DictReader(done.stdout.splitlines()))
    assert [row["rank"] for row in rows] == ["1", "2", "3"]
    assert (rows[0]["clip"], rows[0]["label"]) == (str(GOLF), "golf")
    assert 0 < float(rows[1]["score"]) < float(rows[0]["score"]) < 1


@pytest.mark.parametrize("form", [[], ["--json"], ["--csv"]], ids=["table", "json", "csv"])
def test_a_bad_clip_does_not_stop_the_rest_and_shows_in_the_exit_code(form: list[str]) -> None:
    done = kinema("predict", *form, TEXT, CLIPS / "not-there.mp4", GOLF)
    assert done.returncode == 1
    told = done.stdout + done.stderr
    assert "golf" in told
    assert "text, not a video" in told
    assert "No such file" in told


def test_predict_takes_one_form_only() -> None:
    assert kinema("predict", "--json", "--csv", GOLF).returncode == 2


def test_predict_with_a_directory_that_is_no_bundle_says_so(tmp_path: Path) -> None:
    done = kinema("predict", "--model", tmp_path, GOLF)
    assert done.returncode == 1
    assert "is not a bundle" in done.stderr
    assert "Traceback" not in done.stderr


def test_models_verifies_a_bundle_and_shows_its_card() -> None:
    done = kinema("models", BUNDLE)
    assert done.returncode == 0, done.stderr
    card = Card.read(BUNDLE)
    assert f"{card.name} {card.version}" in done.stdout
    assert "appearance.onnx" in done.stdout
    assert "verified" in done.stdout


def test_models_refuses_a_bundle_with_a_file_missing(tmp_path: Path) -> None:
    bundle = Path(shutil.copytree(BUNDLE, tmp_path / "bundle"))
    (bundle / "recurrent.onnx").unlink()
    done = kinema("models", bundle)
    assert done.returncode == 1
    assert "card.json lists recurrent.onnx" in done.stderr


def test_models_refuses_a_file_that_is_no_graph_in_words(tmp_path: Path) -> None:
    bundle = Path(shutil.copytree(BUNDLE, tmp_path / "bundle"))
    (bundle / "motion.onnx").write_bytes(b"no graph")
    card = json.loads((bundle / "card.json").read_text())
    card["files"]["motion.onnx"]["sha256"] = sha256(bundle / "motion.onnx")
    (bundle / "card.json").write_text(json.dumps(card))
    done = kinema("models", bundle)
    assert done.returncode == 1
    assert "motion.onnx is not a graph" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_installation_for_serving_alone_has_no_training_commands() -> None:
    program = "import sys; sys.modules['model'] = sys.modules['model.cli'] = None; import service.cli as c; c.main()"
    done = subprocess.run(
        [sys.executable, "-c", program, "--help"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert "serve" in done.stdout
    assert "train" not in done.stdout


def test_version_and_help() -> None:
    assert kinema("--version").stdout.startswith("kinema ")
    told = kinema("--help").stdout
    assert all(command in told for command in ("serve", "predict", "models", "train", "evaluate", "export"))


@pytest.mark.parametrize("program", ["import service.cli; service.cli._join_commands()", "import service.app"])
def test_serving_imports_no_training_framework(program: str) -> None:
    check = f"{program}; import sys; print(sorted({{'torch', 'onnx', 'model.net', 'matplotlib'}} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", check], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
