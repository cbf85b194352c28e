"""Graphs that others exported: imported by the command line, served by a real process, answered over a real socket."""

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from service.alone import answer
from service.inference.bundle import Bundle
from service.inference.card import Card
from service.inference.session import Device
from tests.foreign import LABELS, ONNX
from tests.samples import CLIPS, ROOT, clip
from tests.server import PATIENCE_S, Server, kinema

NORMALISED = ("--mean", "0.485,0.456,0.406", "--std", "0.229,0.224,0.225")
OPTIONS: dict[str, tuple[str, ...]] = {
    "torchscript": NORMALISED,
    "dynamo": NORMALISED,
    "half": (*NORMALISED, "--steps", "last"),
    "state": (*NORMALISED, "--clip-len", "8"),
    "handmade": (),
}
SAMPLES = ("real-golf.mp4", "h264.mp4", "short.mp4", "real-pullup.mp4")


def command(name: str, directory: Path, *options: str) -> subprocess.CompletedProcess[str]:
    labels = ("--labels", str(ONNX / "labels.txt"), "--fps", "8")
    return kinema("import", ONNX / f"{name}.onnx", "-o", directory, *labels, *OPTIONS[name], *options)


def post(server: Server, sample: str) -> dict[str, Any]:
    response = httpx.post(
        f"{server.url}/predict", params={"top_k": 4}, files={"file": clip(sample)}, timeout=PATIENCE_S
    )
    assert response.status_code == 200, response.text
    answered: dict[str, Any] = response.json()
    return answered


@pytest.mark.parametrize("name", OPTIONS)
def test_a_graph_is_imported_and_served(name: str, tmp_path: Path) -> None:
    made = command(
        name, tmp_path / "bundle", "--name", f"my-{name}", "--version", "2.1", "--description", "A sentence."
    )
    assert made.returncode == 0, made.stderr
    assert made.stdout.splitlines()[-1] == f"Serve it: kinema serve --model {tmp_path / 'bundle'}"
    alone = Bundle.load(tmp_path / "bundle", Device.choose("cpu", 1))
    with Server("--model", str(tmp_path / "bundle")) as server:
        server.wait_ready()
        (listed,) = httpx.get(f"{server.url}/models").json()["models"]
        assert (listed["name"], listed["version"], listed["head"]) == (f"my-{name}", "2.1", "whole")
        assert (listed["labels"], listed["description"]) == (list(LABELS), "A sentence.")
        told = httpx.get(f"{server.url}/models/my-{name}").json()
        assert Card.model_validate(told) == alone.card
        with ThreadPoolExecutor(len(SAMPLES)) as pool:
            answers = dict(zip(SAMPLES, pool.map(lambda sample: post(server, sample), SAMPLES), strict=True))
    for sample, answered in answers.items():
        found = np.zeros(len(LABELS))
        for one in answered["predictions"]:
            found[one["label_id"]] = one["score"]
        np.testing.assert_allclose(found, answer(alone, clip(sample)), rtol=0, atol=2e-3 if name == "half" else 1e-5)
    short = answers["short.mp4"]
    assert short["sampling"]["padded"] == 8 - 3
    assert short["sampling"]["pictures"] == {"clip": 8}
    assert "last frame repeated 5 times, since the model reads 8 frames at once" in short["warnings"]
    assert answers["h264.mp4"]["sampling"]["pictures"] == {"clip": 16}
    assert answers["h264.mp4"]["sampling"]["padded"] == 0


def test_predict_and_models_know_such_a_bundle(tmp_path: Path) -> None:
    assert command("half", tmp_path / "bundle").returncode == 0
    done = kinema("predict", "--model", tmp_path / "bundle", "--top-k", "1", "--json", CLIPS / "real-golf.mp4")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["predictions"][0]["label"] in LABELS
    shown = kinema("models", tmp_path / "bundle")
    assert shown.returncode == 0, shown.stderr
    assert "frames go in as float16" in shown.stdout
    refused = kinema("models", tmp_path / "bundle", precision="int8")
    assert refused.returncode == 1
    assert "has no int8 twins" in refused.stderr


def test_the_bundle_takes_the_name_of_the_file_and_lies_where_the_command_is_run(tmp_path: Path) -> None:
    graph = tmp_path / "My Net v2.onnx"
    graph.write_bytes((ONNX / "handmade.onnx").read_bytes())
    program = [sys.executable, "-m", "service.cli", "import", str(graph)]
    labels = ["--labels", str(ONNX / "labels.txt"), "--fps", "8", "--golden", str(CLIPS / "h264.mp4")]
    done = subprocess.run([*program, *labels], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "Serve it: kinema serve --model my-net-v2"
    card = Card.read(tmp_path / "my-net-v2")
    assert (card.name, card.version, card.licences.weights) == ("my-net-v2", "1.0.0", "not stated")
    assert (tmp_path / "my-net-v2" / card.golden.clip).read_bytes() == clip("h264.mp4")


def test_what_is_missing_is_told_at_once() -> None:
    done = kinema("import", ONNX / "state.onnx")
    assert done.returncode == 1
    assert all(option in done.stderr for option in ("--labels", "--fps", "--clip-len", "--mean and --std"))
    assert "--layout" not in done.stderr
    assert "--golden" not in done.stderr, "the shipped model has one"
    assert "Traceback" not in done.stderr


def test_without_a_shipped_model_a_golden_clip_is_asked_for(tmp_path: Path) -> None:
    done = kinema("import", ONNX / "state.onnx", model=tmp_path)
    assert "--golden: a small clip" in done.stderr


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--mean", "0.5,0.5"), "takes one number, or three"),
        (("--mean", "nan"), "takes one number, or three"),
        (("--std", "0"), "has to be above 0"),
        (("--layout", "thwc"), "thwc"),
        (("--name", "My Net"), "is no name for a model"),
        (("--golden", "/not/there.mp4"), "golden clip /not/there.mp4 cannot be read"),
    ],
)
def test_options_that_cannot_be_meant_are_refused_in_words(options: tuple[str, str], words: str) -> None:
    done = kinema("import", ONNX / "torchscript.onnx", *options)
    assert done.returncode in {1, 2}
    assert words in " ".join(done.stderr.replace("│", " ").split())
    assert "Traceback" not in done.stderr


def test_importing_needs_no_package_for_onnx(tmp_path: Path) -> None:
    program = (
        "import sys; sys.modules.update(dict.fromkeys(('torch', 'onnx', 'model', 'model.cli'))); "
        "import service.cli as c; c.main()"
    )
    options = ["-o", str(tmp_path / "bundle"), "--fps", "8", "--labels", str(ONNX / "labels.txt")]
    done = subprocess.run(
        [sys.executable, "-c", program, "import", str(ONNX / "handmade.onnx"), *options],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
