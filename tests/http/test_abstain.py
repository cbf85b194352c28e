"""POST /predict: a model that says when a clip is like nothing it was trained on, and one that cannot."""

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from service.inference.abstain import ABSTAINED
from tests.bundles import add_abstention, make_bundle
from tests.http.conftest import running
from tests.require import need
from tests.samples import clip

LIGHT, DARK = clip("real-golf.mp4"), clip("h264.mp4")


@pytest.fixture(scope="module")
def abstaining(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """A model to which only what is light enough is familiar: a golfer on grass is, a test picture is not."""
    need("train", find_spec("onnx") is not None, "graphs are made with the package onnx: pip install '.[train]'")
    bundle: Path = make_bundle(tmp_path_factory.mktemp("abstaining"))
    add_abstention(bundle, LIGHT, DARK)
    with running(model=bundle) as ready:
        yield ready


def ask(client: TestClient, data: bytes, **parameters: object) -> dict[str, Any]:
    response = client.post("/predict", params=parameters, files={"file": ("clip.mp4", data)})  # type: ignore[arg-type]
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


def test_a_strange_clip_is_abstained_from_and_told_all_the_same(abstaining: TestClient) -> None:
    answer = ask(abstaining, DARK)
    assert answer["abstained"] is True
    assert ABSTAINED in answer["warnings"]
    assert len(answer["predictions"]) == 2
    assert answer["outputs"] is None


def test_a_known_clip_is_not(abstaining: TestClient) -> None:
    answer = ask(abstaining, LIGHT, outputs=True)
    assert answer["abstained"] is False
    assert ABSTAINED not in answer["warnings"]
    assert {name for one in answer["outputs"] for name in one["values"]} == {"attention", "attention_map"}


def test_strange_clips_are_counted(abstaining: TestClient) -> None:
    def counted() -> float:
        lines = abstaining.get("/metrics").text.splitlines()
        return sum(float(line.split()[1]) for line in lines if line.startswith("kinema_abstained_total"))

    before = counted()
    ask(abstaining, DARK)
    ask(abstaining, LIGHT)
    assert counted() == before + 1


def test_the_card_says_how_it_is_told(abstaining: TestClient) -> None:
    assert abstaining.get("/models/small").json()["abstention"]["output"] == "familiarity"


def test_a_model_without_a_threshold_cannot_tell(tmp_path: Path) -> None:
    with running(model=make_bundle(tmp_path)) as client:
        assert ask(client, DARK)["abstained"] is None
