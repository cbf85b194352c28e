"""What a head gives beside scores, from a bundle with a map and encoders beside it, through a real server."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from service.http.schemas import PredictResponse
from service.inference.card import Card
from service.video.decode import DecodeTask, MadePicture, decode
from service.video.source import NO_LIMITS
from tests.bundles import COLUMNS, HOPS, ROWS, make_bundle, parts
from tests.samples import BUNDLE, CLIPS, clip
from tests.server import Server, kinema
from tests.streaming import scores

TWO_WINDOWS, SHORT = "h264.mp4", "short.mp4"


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bundle(tmp_path_factory.mktemp("bundles"))


@pytest.fixture(scope="module")
def looking(bundle: Path) -> Iterator[Server]:
    """A server of the small bundle."""
    with Server(model=bundle) as running:
        yield running.wait_ready()


def post(server: Server, name: str, **parameters: Any) -> PredictResponse:
    response = httpx.post(f"{server.url}/predict", params=parameters, content=clip(name), timeout=60)
    assert response.status_code == 200, response.text
    return PredictResponse.model_validate(response.json(), strict=True)


def test_outputs_come_only_when_they_are_asked_for(looking: Server) -> None:
    assert post(looking, TWO_WINDOWS).outputs is None
    assert post(looking, TWO_WINDOWS, outputs="false").outputs is None


def test_outputs_are_what_the_head_saw_step_by_step(looking: Server, bundle: Path) -> None:
    card = Card.read(bundle)
    answer = post(looking, TWO_WINDOWS, top_k=2, outputs="true")
    lights: dict[tuple[int, int], Any] = {}

    def take(made: MadePicture) -> None:
        if made.kind == "look":
            lights[made.window, made.step] = parts(made.pixels).mean(axis=-1)

    steps = decode(clip(TWO_WINDOWS), DecodeTask(card.plan, card.evidence, NO_LIMITS), take).steps
    assert answer.outputs is not None
    assert [one.window for one in answer.outputs] == [0, 1]
    for one, count in zip(answer.outputs, steps, strict=True):
        by_hand = [lights[one.window, step - step % 4] for step in range(count)]
        np.testing.assert_allclose(np.asarray(one.values["attention_map"], dtype=float), by_hand, atol=1e-4)
        assert np.asarray(one.values["attention"]).shape == (HOPS, count)
    # A window's first moment is its anchor, which no step reads.
    windows = np.asarray(answer.sampling.times_s).reshape(2, -1)
    assert [one.times_s for one in answer.outputs] == windows[:, 1:].tolist()
    assert not answer.warnings


def test_a_short_clip_has_places_for_its_own_steps_alone(looking: Server) -> None:
    answer = post(looking, SHORT, outputs="true")
    assert answer.outputs is not None
    (one,) = answer.outputs
    count = len(answer.sampling.times_s) - 1
    assert 0 < count < 6
    assert len(one.times_s) == count
    assert np.asarray(one.values["attention_map"]).shape == (count, ROWS, COLUMNS)
    assert np.asarray(one.values["attention"]).shape == (HOPS, count)


def test_asking_changes_no_score(looking: Server) -> None:
    asked, plain = (post(looking, TWO_WINDOWS, outputs=outputs).predictions for outputs in ("true", "false"))
    np.testing.assert_allclose(scores(asked), scores(plain), atol=1e-5)


def test_the_command_line_gives_the_same_outputs(looking: Server, bundle: Path) -> None:
    done = kinema("predict", "--json", "--outputs", "--model", bundle, CLIPS / TWO_WINDOWS)
    assert done.returncode == 0, done.stderr
    asked = post(looking, TWO_WINDOWS, outputs="true")
    assert asked.outputs is not None
    for one, other in zip(json.loads(done.stdout)["outputs"], asked.outputs, strict=True):
        assert (one["window"], one["times_s"]) == (other.window, other.times_s)
        assert one["values"].keys() == other.values.keys()
        for name, values in one["values"].items():
            # Which pictures share a batch moves the last digits.
            np.testing.assert_allclose(values, np.asarray(other.values[name], dtype=float), atol=1e-5)


def test_the_command_line_gives_outputs_in_json_alone() -> None:
    done = kinema("predict", "--outputs", CLIPS / SHORT)
    assert done.returncode == 2
    assert "--outputs needs --json" in done.stderr


def test_a_model_without_further_outputs_says_so(server: Server) -> None:
    answer = post(server, "real-golf.mp4", outputs="true")
    assert answer.outputs == []
    assert any("outputs were asked for" in warning for warning in answer.warnings)


def test_the_list_of_models_says_how_each_reads_and_what_it_gives(looking: Server, server: Server) -> None:
    (small,) = httpx.get(f"{looking.url}/models").json()["models"]
    assert (small["head"], small["streams"], small["outputs"]) == ("spatial", False, ["attention", "attention_map"])
    (shipped,) = httpx.get(f"{server.url}/models").json()["models"]
    assert (shipped["head"], shipped["streams"], shipped["outputs"]) == ("lstm", True, [])


def test_the_card_that_is_served_describes_map_and_outputs(looking: Server, bundle: Path) -> None:
    card = httpx.get(f"{looking.url}/models/small").json()
    assert card["recurrent"]["outputs"][1]["axes"] == ["steps", ROWS, COLUMNS]
    assert card["evidence"][0]["map"] == {"rows": ROWS, "columns": COLUMNS, "channels": 3}
    assert Card.model_validate(card).recurrent == Card.read(bundle).recurrent


def test_models_shows_head_outputs_and_shared_files(bundle: Path) -> None:
    told = kinema("models", bundle).stdout
    assert "spatial, needs the whole window at once" in told
    assert f"attention_map [steps, {ROWS}, {COLUMNS}]: how light each part of the picture is" in told
    assert "look.onnx in encoders beside the bundle" in told
    shipped = kinema("models", BUNDLE).stdout
    assert "lstm, streams" in shipped
    assert "no others than scores" in shipped


def test_a_server_without_the_encoders_beside_it_says_what_is_missing(bundle: Path, tmp_path: Path) -> None:
    alone = tmp_path / bundle.name
    alone.mkdir()
    for file in bundle.iterdir():
        (alone / file.name).write_bytes(file.read_bytes())
    done = kinema("models", alone)
    assert done.returncode == 1
    assert "have to be kept together" in done.stderr
    assert "Traceback" not in done.stderr
