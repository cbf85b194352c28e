"""Every head of the family, trained on the same clips, served from its bundle and asked over a real socket."""

from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import httpx
import numpy as np
import pytest

from model import cli
from service.alone import answer
from service.inference.bundle import Bundle
from service.inference.card import Card
from service.inference.session import Device
from tests.samples import BUNDLE, clip
from tests.server import Server

FAMILY = {Card.read(card.parent).recurrent.head: card.parent for card in sorted(BUNDLE.parent.glob("*/card.json"))}
CLIP = "real-golf.mp4"


@pytest.fixture(scope="module", params=get_args(cli.Head))
def served(request: pytest.FixtureRequest) -> Iterator[tuple[Server, Path]]:
    bundle = FAMILY[request.param]
    with Server("--model", str(bundle), precision="fp32") as running:
        yield running.wait_ready(), bundle


def test_it_answers_as_its_bundle_does_without_a_server(served: tuple[Server, Path]) -> None:
    server, directory = served
    answered = httpx.post(f"{server.url}/predict", params={"top_k": 21}, content=clip(CLIP), timeout=60).json()
    bundle = Bundle.load(directory, Device.choose("cpu", 1))
    expected = answer(bundle, clip(CLIP))
    for one in answered["predictions"]:
        assert one["score"] == pytest.approx(expected[one["label_id"]], abs=1e-4)
    assert answered["predictions"][0]["label"] == "golf"
    assert answered["warnings"] == ["shorter than the model's window of 1.70 s: 15 of 16 steps could be looked at"]


def test_its_card_says_which_head_it_is_and_what_it_gives(served: tuple[Server, Path]) -> None:
    server, directory = served
    card = Card.read(directory)
    shown = httpx.get(f"{server.url}/models/{card.name}").json()
    assert shown["recurrent"]["head"] == card.recurrent.head
    assert shown["recurrent"]["streams"] is (card.recurrent.head != "bidirectional")
    wanted = {"attention": ["attention"], "spatial": ["attention_map"]}.get(card.recurrent.head, [])
    assert [one["name"] for one in shown["recurrent"]["outputs"]] == wanted
    (accuracy,) = (metric for metric in card.metrics if metric.name == "accuracy")
    assert accuracy.clips == 669


def test_its_outputs_are_shares(served: tuple[Server, Path]) -> None:
    server, directory = served
    parameters = {"top_k": "1", "outputs": "true"}
    answered = httpx.post(f"{server.url}/predict", params=parameters, content=clip(CLIP), timeout=60).json()
    for window in answered["outputs"]:
        steps = len(window["times_s"])
        for output in Card.read(directory).recurrent.outputs:
            shares = np.asarray(window["values"][output.name])
            assert shares.shape == output.shape(steps)
            over = tuple(range(1, shares.ndim))
            np.testing.assert_allclose(shares.sum(axis=over), 1, atol=1e-3)


def test_the_family_shares_its_encoders() -> None:
    assert set(FAMILY) == set(get_args(cli.Head))
    for directory in FAMILY.values():
        if directory != BUNDLE:
            own = {path.name for path in directory.iterdir()}
            assert own == {"card.json", "recurrent.onnx"}
