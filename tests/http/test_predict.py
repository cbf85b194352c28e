"""POST /predict: answers."""

import math

import numpy as np
import pytest
from fastapi.testclient import TestClient

from service.http.schemas import PredictResponse
from service.inference.card import Card
from tests.samples import BUNDLE, clip
from tests.streaming import scores

GOLF = clip("real-golf.mp4")


def post(client: TestClient, data: bytes, **parameters: object) -> PredictResponse:
    response = client.post("/predict", params=parameters, files={"file": ("clip.mp4", data)})  # type: ignore[arg-type]
    assert response.status_code == 200, response.text
    return PredictResponse.model_validate(response.json(), strict=True)


def test_a_golf_swing_is_golf(client: TestClient) -> None:
    answer = post(client, GOLF)
    assert answer.predictions[0].label == "golf"
    assert answer.predictions[0].score > 0.5
    assert answer.model.name == Card.read(BUNDLE).name


def test_the_scores_of_all_labels_sum_to_one_and_fall(client: TestClient) -> None:
    labels = Card.read(BUNDLE).labels
    answer = post(client, GOLF, top_k=len(labels))
    scores = [one.score for one in answer.predictions]
    assert len(scores) == len(labels)
    assert math.isclose(sum(scores), 1.0, abs_tol=1e-9)
    assert scores == sorted(scores, reverse=True)
    assert all(labels[one.label_id] == one.label for one in answer.predictions)


def test_five_predictions_are_the_default(client: TestClient) -> None:
    assert len(post(client, GOLF).predictions) == 5


def test_min_score_leaves_out_the_rest(client: TestClient) -> None:
    answer = post(client, GOLF, min_score=0.5)
    assert [one.label for one in answer.predictions] == ["golf"]


def test_asking_for_more_labels_than_there_are_is_warned_of(client: TestClient) -> None:
    answer = post(client, GOLF, top_k=500)
    assert len(answer.predictions) == len(Card.read(BUNDLE).labels)
    assert any("500" in warning for warning in answer.warnings)


def test_media_says_what_the_clip_is(client: TestClient) -> None:
    media = post(client, clip("h264.mp4")).media
    assert (media.width, media.height, media.fps, media.fps_source) == (160, 120, 30.0, "container")
    assert (media.codec, media.duration_s) == ("h264", 2.0)
    assert 0 < media.frames_decoded <= 60


def test_the_receipt_lists_the_moments_looked_at(client: TestClient) -> None:
    card, answer = Card.read(BUNDLE), post(client, clip("h264.mp4"))
    times = answer.sampling.times_s
    assert len(times) == card.plan.moments_per_window
    assert all(math.isclose(time * 30, round(time * 30), abs_tol=1e-3) for time in times), "frames of a 30 fps clip"
    steps = len(times) - 1
    assert answer.sampling.pictures == {kind.name: math.ceil(steps / kind.cadence) for kind in card.evidence}
    assert answer.sampling.padded == 0


def test_a_span_excludes_its_end(client: TestClient) -> None:
    times = post(client, clip("h264.mp4"), start_s=0.5, end_s=1.0).sampling.times_s
    assert times
    assert all(0.5 <= time < 1.0 for time in times)


def test_timing_names_every_stage(client: TestClient) -> None:
    timing = post(client, GOLF).timing_ms
    assert min(timing.decode, timing.encode, timing.recur, timing.total) > 0
    assert timing.total >= max(timing.decode, timing.encode)


def test_a_short_clip_is_answered_with_a_warning(client: TestClient) -> None:
    assert any("shorter" in warning for warning in post(client, clip("short.mp4")).warnings)


def test_repeated_frames_are_counted_and_warned_of(client: TestClient) -> None:
    answer = post(client, clip("slow.mp4"))
    assert answer.sampling.padded > 0
    assert any("repeated" in warning for warning in answer.warnings)


@pytest.mark.parametrize("content_type", ["video/mp4", "video/x-anything", "application/octet-stream", None])
def test_the_raw_body_is_answered_as_the_form_is(client: TestClient, content_type: str | None) -> None:
    headers = {} if content_type is None else {"Content-Type": content_type}
    response = client.post("/predict", content=GOLF, headers=headers)
    assert response.status_code == 200, response.text
    raw = PredictResponse.model_validate(response.json(), strict=True)
    np.testing.assert_allclose(scores(raw.predictions), scores(post(client, GOLF).predictions), atol=1e-5)


def test_a_request_id_is_sent_back_or_made(client: TestClient) -> None:
    assert client.get("/livez", headers={"X-Request-ID": "mine-1"}).headers["X-Request-ID"] == "mine-1"
    made = client.get("/livez", headers={"X-Request-ID": "not usable\t"}).headers["X-Request-ID"]
    assert made
    assert made != "not usable"
