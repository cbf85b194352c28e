"""A folder of clips: trained by the command, interrupted and gone on with, served, and asked over a real socket."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.inference.bundle import Bundle
from service.inference.card import Card
from service.inference.session import Device
from tests.model.clips import TINY, TORCH, WITHOUT_TORCH, write_clip
from tests.processes import heard
from tests.require import need
from tests.samples import ROOT, clip
from tests.server import Server, kinema

# Looking starts processes of its own, which take their time on a machine that does other work.
PATIENCE_S = 600.0
CLIPS = 8
KNOWN = "right/bbbbb.avi"


class Folder:
    """A folder of two actions, and what trains a model on it."""

    def __init__(self, directory: Path) -> None:
        self.clips, self.directory = directory / "my clips", directory
        for number in range(CLIPS):
            label, drift = (("left", 4), ("right", -4))[number % 2]
            place = self.clips / label
            place.mkdir(parents=True, exist_ok=True)
            write_clip(place / f"{'abcdefgh'[number] * 5}.avi", drift, seed=number)
        self.others = directory / "other clips"
        for label, drift in (("left", 4), ("right", -4)):
            (self.others / label).mkdir(parents=True)
            write_clip(self.others / label / "0.avi", drift, seed=CLIPS + drift)
        (self.clips / "left" / "broken.avi").write_bytes(b"RIFF, but no video" * 20)
        self.recipe = directory / "recipe.json"
        self.recipe.write_text(TINY.model_dump_json())

    def start(self, model: str, *options: str, cache: str = "cache") -> subprocess.Popen[str]:
        """Starts `kinema train`."""
        command = ("train", str(self.clips), "-o", str(self.directory / model), "--recipe", str(self.recipe))
        tiny = ("--cache", str(self.directory / cache), "--views", "2", "--epochs", "2", "--name", "tiny")
        with heard(signal.SIGINT):
            return subprocess.Popen(
                [sys.executable, "-m", "service.cli", *command, *tiny, *options],
                cwd=ROOT,
                env={**os.environ, "COLUMNS": "200"},
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )

    def train(self, model: str, *options: str) -> tuple[str, str]:
        """What `kinema train` says when it has ended well, to programs and to people."""
        with self.start(model, *options) as process:
            told, said = process.communicate(timeout=PATIENCE_S)
        assert process.returncode == 0, said
        return told, said


def files(model: Path) -> dict[str, bytes]:
    """The bundle in a model's directory."""
    card = Card.read(model)
    return {name: (model / name).read_bytes() for name in ("card.json", *card.files)}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    need("train", TORCH, WITHOUT_TORCH)
    return Folder(tmp_path_factory.mktemp("train"))


@pytest.fixture(scope="module")
def said(folder: Folder) -> str:
    """What people are told while the model `mine` is made."""
    told, said = folder.train("mine")
    assert told == f"{folder.directory / 'mine'} is finished. Serve it: kinema serve --model {folder.directory}/mine\n"
    return said


def test_a_folder_becomes_a_model_that_is_served(folder: Folder, said: str) -> None:
    model = folder.directory / "mine"
    assert "1 file left out" in said
    assert "95 % interval" in said
    assert "the mean-pooled head" in said
    assert (model / "report.html").read_text().startswith("<!doctype html>")
    card = Bundle.load(model, Device.choose("cpu", 1), "int8").card
    assert card.description == "2 actions: left, right."
    assert {metric.clips for metric in card.metrics} == {CLIPS}
    with Server("--model", str(model)) as server:
        server.wait_ready()
        known, strange = (ask(server, data) for data in ((folder.clips / KNOWN).read_bytes(), clip("real-golf.mp4")))
        assert {one["label"] for one in known["predictions"]} == {"left", "right"}
        assert (known["abstained"], strange["abstained"]) == (False, True)
        assert server.metric("kinema_abstained_total") == 1


def ask(server: Server, data: bytes) -> dict[str, Any]:
    answered = httpx.post(f"{server.url}/predict", files={"file": data}, timeout=PATIENCE_S)
    assert answered.status_code == 200, answered.text
    answer: dict[str, Any] = answered.json()
    return answer


def test_a_model_is_judged_on_other_clips(folder: Folder, said: str) -> None:
    report = folder.directory / "judged"
    told = kinema(
        "evaluate", folder.directory / "mine", folder.others, "-o", report, "--cache", folder.directory / "cache"
    )
    assert "on 2 clips" in told.stdout, told.stderr
    assert (report / "report.html").is_file()


def test_clips_that_a_folder_keeps_for_testing_are_tested_and_never_trained_on(folder: Folder, tmp_path: Path) -> None:
    own = Folder(tmp_path)
    own.clips = shutil.copytree(folder.clips, tmp_path / "own" / "train").parent
    shutil.copytree(folder.others, own.clips / "test")
    _, heard = own.train("own model", "--head", "mean", "--no-baselines", "--no-int8")
    assert "Your own split is kept: the 2 clips of test are never trained on." in heard
    assert "Of the 2 clips that your split keeps out," in heard
    card = Card.read(tmp_path / "own model")
    clips = {metric.name: metric.clips for metric in card.metrics}
    assert clips["accuracy"] == CLIPS
    assert clips["accuracy on clips kept out"] == 2


def interrupted(process: subprocess.Popen[str], directory: Path, pattern: str) -> str:
    """Sends SIGINT as soon as there is such a file, and returns what the process then said."""
    deadline = time.monotonic() + PATIENCE_S
    while not list(directory.glob(pattern)):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.005)
    process.send_signal(signal.SIGINT)
    _, heard = process.communicate(timeout=PATIENCE_S)
    return heard


def test_an_interrupted_training_goes_on_to_the_same_bundle_byte_for_byte(folder: Folder, said: str) -> None:
    with folder.start("again") as process:
        heard = interrupted(process, folder.directory / "again" / "training", "trials/*.json")
    assert process.returncode == 130, heard
    assert "--resume goes on" in heard
    assert "Traceback" not in heard
    assert not (folder.directory / "again" / "card.json").exists()
    folder.train("again", "--resume")
    assert files(folder.directory / "again") == files(folder.directory / "mine")


def test_looking_can_be_interrupted(folder: Folder) -> None:
    with folder.start("looking", "--jobs", "2", cache="other-cache") as process:
        heard = interrupted(process, folder.directory / "other-cache", "*/*.npz")
    assert process.returncode == 130, heard
    assert "Traceback" not in heard


def test_hardly_any_time_still_makes_a_model(folder: Folder, said: str) -> None:
    folder.train("hasty", "--minutes", "0.01")
    card = Bundle.load(folder.directory / "hasty", Device.choose("cpu", 1)).card
    assert card.recurrent.head == "mean"
    assert card.int8 is None
