"""Graphs that others might have exported, and bundles made of them; `tests/onnx/make` tells what each is."""

from pathlib import Path
from typing import Any

from service.foreign.bundle import Imported, import_graph
from service.foreign.given import Given, Title
from service.inference.card import Licences
from tests.samples import ROOT, clip

ONNX = ROOT / "tests" / "onnx"
LABELS = ("crawl", "jump", "sleep", "wave")
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
TITLE = Title("tiny", "1.0.0", "For tests.", Licences(weights="none", data="none"))

# What each graph needs to be told beside labels, fps and a golden clip.
FLOATS: dict[str, Any] = {"mean": MEAN, "std": STD}
NEEDED: dict[str, dict[str, Any]] = {
    "torchscript": FLOATS,
    "dynamo": FLOATS,
    "half": {**FLOATS, "steps": "last"},
    "state": {**FLOATS, "clip_len": 8},
    "handmade": {},
}


def given(**changes: Any) -> Given:
    """What nearly every graph has to be told, with changes."""
    return Given(**{"labels": LABELS, "fps": 8.0, "golden": clip("real-golf.mp4"), **changes})


def imported(name: str, directory: Path, **changes: Any) -> Imported:
    """A bundle of one of the graphs; of an `odd-*` one with ImageNet's normalisation."""
    told = given(**{**NEEDED.get(name, FLOATS), **changes})
    return import_graph(ONNX / f"{name}.onnx", told, TITLE, directory)
