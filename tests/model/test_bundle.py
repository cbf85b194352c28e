"""The bundle that ships is what its card says, and answers its golden clip as its card says."""

import csv
import json
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest

from model.data.recipe import EVERYDAY
from service.alone import answer, look
from service.inference.bundle import Bundle
from service.inference.card import Card, sha256
from service.inference.session import Device

SHIPPED = Path(__file__).parents[2] / "model/artifacts/default"
RECORD = SHIPPED.parent / "record"


@pytest.fixture(scope="module")
def card() -> Card:
    return Card.read(SHIPPED)


def test_every_file_is_the_one_that_the_card_lists(card: Card) -> None:
    assert {path.name for path in SHIPPED.iterdir()} == {*card.files, "card.json"}
    for name, record in card.files.items():
        assert sha256(SHIPPED / name) == record.sha256
        assert (SHIPPED / name).stat().st_size == record.bytes


def test_the_recurrent_graph_carries_what_the_card_says(card: Card) -> None:
    stated = ort.InferenceSession(SHIPPED / card.recurrent.file).get_modelmeta().custom_metadata_map
    assert json.loads(stated["kinema.labels"]) == list(card.labels)
    assert json.loads(stated["kinema.sampling"]) == card.sampling.model_dump()
    assert (stated["kinema.name"], stated["kinema.version"]) == (card.name, card.version)


def test_the_card_follows_the_recipe(card: Card) -> None:
    assert card.sampling == EVERYDAY.sampling
    assert card.plan == EVERYDAY.plan
    for kind, planned in zip(card.evidence, EVERYDAY.evidence, strict=True):
        assert kind.model_dump(exclude={"features", "map", "file", "int8"}) == planned.model_dump()


def test_the_golden_clip_is_small_and_gets_its_scores(card: Card) -> None:
    bundle = Bundle.load(SHIPPED, Device.choose("cpu", 1))
    assert len(bundle.golden_clip) < 150_000
    found = answer(bundle, bundle.golden_clip)
    np.testing.assert_allclose(found, card.golden.scores, rtol=0, atol=1e-4)
    assert found.sum() == pytest.approx(1)


def test_the_golden_clip_gets_its_scores_in_int8_too(card: Card) -> None:
    bundle = Bundle.load(SHIPPED, Device.choose("cpu", 1), "int8")
    assert card.int8 is not None
    np.testing.assert_allclose(answer(bundle, bundle.golden_clip), card.int8.scores, rtol=0, atol=2e-3)


def test_a_clip_in_chunks_is_the_whole_clip() -> None:
    bundle = Bundle.load(SHIPPED, Device.choose("cpu", 1))
    clip = look(bundle, bundle.golden_clip)
    steps = int(clip["lengths"][0])
    expected, _ = bundle.recurrent.run(clip)
    state = None
    for start, end in ((0, 5), (5, 6), (6, steps)):
        chunk = {kind.name: clip[kind.name][:, start:end] for kind in bundle.card.evidence}
        logits, state = bundle.recurrent.run({**chunk, "lengths": np.array([end - start])}, state)
    np.testing.assert_allclose(logits, expected, rtol=0, atol=1e-5)


def test_the_figures_are_those_of_the_record(card: Card) -> None:
    lines = (RECORD / "table.csv").read_text().splitlines()[1:]
    tested = [line.split(",") for line in lines]
    kept = [row for row in tested if row[:2] == ["lstm", "appearance+motion+pose"]]
    right, tests = (sum(int(row[column]) for row in kept) for column in (6, 5))
    accuracy = next(metric for metric in card.metrics if metric.name == "accuracy")
    assert accuracy.value == pytest.approx(right / tests, abs=1e-4)
    assert accuracy.clips * len({row[2] for row in kept}) == tests


def test_what_int8_costs_is_that_of_the_record(card: Card) -> None:
    with (RECORD / "int8.csv").open() as file:
        tested = list(csv.DictReader(file))
    tests, right, right_int8 = (sum(int(row[name]) for row in tested) for name in ("clips", "right", "right_int8"))
    assert card.int8 is not None
    assert card.int8.accuracy_fall == pytest.approx(100 * (right - right_int8) / tests, abs=0.01)
    assert card.int8.clips * len({row["seed"] for row in tested}) == tests
