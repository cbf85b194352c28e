"""POST /predict with `post`: events, and nothing else of the answer changed."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from tests.foreign import imported
from tests.http.conftest import running
from tests.samples import clip

GOLF = clip("real-golf.mp4")
CHAIN = "ema:tau_s=0.3,hysteresis:on=0.6:off=0.4,min_length:seconds=0.5"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """A model that somebody exported elsewhere: one graph, whole windows in, logits out."""
    bundle: Path = tmp_path_factory.mktemp("whole") / "bundle"
    imported("torchscript", bundle)
    with running(model=bundle) as ready:
        yield ready


def ask(client: TestClient, data: bytes, **parameters: Any) -> dict[str, Any]:
    response = client.post("/predict", params=parameters, files={"file": ("clip.mp4", data)})
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


def refused(client: TestClient, **parameters: Any) -> dict[str, Any]:
    response = client.post("/predict", params=parameters, files={"file": ("clip.mp4", GOLF)})
    assert response.status_code == 400, response.text
    problem: dict[str, Any] = response.json()
    assert problem["type"] == "urn:kinema:problem:malformed-request"
    return problem


def test_a_golf_swing_is_an_event_within_what_was_looked_at(client: TestClient) -> None:
    answer = ask(client, GOLF, post=CHAIN)
    (event,) = answer["events"]
    assert (event["processor"], event["label"], event["count"]) == ("hysteresis", "golf", None)
    times_s = answer["sampling"]["times_s"]
    assert times_s[0] < event["start_s"] < event["end_s"] == times_s[-1]
    assert 0.6 <= event["peak"] <= 1


def test_events_are_null_unless_asked_for_and_asking_changes_nothing_else(client: TestClient) -> None:
    plain, asked = ask(client, GOLF), ask(client, GOLF, post=CHAIN)
    assert plain.pop("events") is None
    assert asked.pop("events")
    for answer in (plain, asked):
        answer.pop("timing_ms")
    assert plain == asked


def test_where_nothing_is_found_there_are_no_events(client: TestClient) -> None:
    assert ask(client, GOLF, post="hysteresis:on=1:off=1")["events"] == []
    assert ask(client, GOLF, post="ema")["events"] == []


def test_every_label_is_followed_from_the_first_step_to_the_last(client: TestClient) -> None:
    answer = ask(client, GOLF, post="hysteresis:on=0:off=0", top_k=100)
    # The first moment is the anchor, which no step reads; one window answers, so its last step is the prediction.
    _, first, *_, last = answer["sampling"]["times_s"]
    assert {(one["start_s"], one["end_s"]) for one in answer["events"]} == {(first, last)}
    peaks = {one["label"]: one["peak"] for one in answer["events"]}
    assert set(peaks) == {one["label"] for one in answer["predictions"]}
    assert all(peaks[one["label"]] >= one["score"] - 1e-6 for one in answer["predictions"])


@pytest.mark.parametrize(
    ("post", "detail", "advice"),
    [
        ("median", "there is no post-processor 'median'", "There are ema (tau_s), hysteresis"),
        ("ema:tau_s=100", "tau_s is 100, which is not a number from 0.01 to 60", "default 0.8"),
        ("", "there is no post-processor ''", "There are ema"),
    ],
)
def test_what_there_is_not_is_refused_with_what_there_is(
    client: TestClient, post: str, detail: str, advice: str
) -> None:
    problem = refused(client, post=post)
    assert detail in problem["detail"]
    assert advice in problem["advice"]


def test_it_is_refused_before_the_clip_is_looked_at(client: TestClient) -> None:
    assert "post-processor" in refused(client, post="median", start_s=10)["detail"]


def test_a_text_without_end_is_refused_as_a_parameter(client: TestClient) -> None:
    response = client.post("/predict", params={"post": "e" * 1001}, files={"file": ("clip.mp4", GOLF)})
    assert response.status_code == 422
    assert response.json()["errors"][0]["parameter"] == "post"


def test_a_graph_that_reads_whole_windows_is_observed_once_a_window(whole: TestClient) -> None:
    answer = ask(whole, clip("h264.mp4"), post="hysteresis:on=0:off=0", top_k=4)
    assert len(answer["events"]) == 4
    assert all(one["start_s"] <= one["end_s"] for one in answer["events"])
    assert {one["end_s"] for one in answer["events"]} == {answer["sampling"]["times_s"][-1]}


def test_counting_without_motion_is_warned_of(whole: TestClient) -> None:
    answer = ask(whole, GOLF, post="repetitions")
    assert answer["events"] == []
    assert any("does not look at motion" in warning for warning in answer["warnings"])
    assert not any("motion" in warning for warning in ask(whole, GOLF, post="ema")["warnings"])


def test_openapi_describes_events_and_how_they_are_asked_for(client: TestClient) -> None:
    document = client.get("/openapi.json").json()
    asked = {one["name"]: one for one in document["paths"]["/predict"]["post"]["parameters"]}
    assert "hysteresis" in asked["post"]["description"]
    assert set(document["components"]["schemas"]["EventOut"]["properties"]) == {
        "processor", "label", "label_id", "start_s", "end_s", "peak", "count",
    }  # fmt: skip
