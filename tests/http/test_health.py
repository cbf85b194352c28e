"""The probes, the models, the metrics and the description of it all."""

import re
from typing import Any

import pytest
from fastapi.testclient import TestClient
from pydantic import TypeAdapter

from service.http import schemas
from service.inference.card import Card
from tests.http.conftest import running
from tests.samples import BUNDLE, clip

CHECKS = {"loaded", "warmed", "golden_clip", "engine", "decoders", "accepting"}


def test_a_ready_service_says_so_everywhere(client: TestClient) -> None:
    assert client.get("/livez").json() == {"status": "alive"}
    ready = client.get("/readyz").json()
    assert ready["status"] == "ready"
    assert set(ready["checks"]) == CHECKS
    assert all(check["ok"] for check in ready["checks"].values())


def test_health_names_model_version_and_uptime(client: TestClient) -> None:
    health, card = client.get("/health").json(), Card.read(BUNDLE)
    assert health["model"] == {"name": card.name, "version": card.version}
    assert health["uptime_s"] > 0
    assert health["slots"] == 64
    assert set(health["checks"]) == CHECKS


def test_models_lists_the_model_and_its_card_is_the_bundles(client: TestClient) -> None:
    (summary,) = client.get("/models").json()["models"]
    card = Card.read(BUNDLE)
    assert summary["labels"] == list(card.labels)
    told = Card.model_validate(client.get(f"/models/{summary['name']}").json())
    assert told in (card, card.served_in("int8"))


def test_the_root_leads_to_the_page_to_try_it_on(client: TestClient) -> None:
    assert client.get("/", follow_redirects=False).headers["Location"] == "/docs"
    page = client.get("/docs").text
    assert "swagger" in page
    assert not re.search(r"https?://", page), "the page works without a network"


METRICS = {
    "kinema_requests_total": {"model", "code"},
    "kinema_request_failures_total": {"model", "reason"},
    "kinema_request_duration_seconds_count": {"model"},
    "kinema_queue_duration_seconds_count": {"model"},
    "kinema_decode_duration_seconds_count": {"model"},
    "kinema_encode_duration_seconds_count": {"model"},
    "kinema_recur_duration_seconds_count": {"model"},
    "kinema_queue_depth": set(),
    "kinema_requests_in_progress": set(),
    "kinema_batch_size_count": {"evidence"},
    "kinema_frames_total": {"stage"},
    "kinema_model_info": {"model", "version", "device", "precision"},
    "kinema_ready": set(),
}


def series(client: TestClient) -> dict[str, float]:
    lines = client.get("/metrics").text.splitlines()
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines if line[0] != "#")}


@pytest.mark.parametrize(("name", "labels"), METRICS.items(), ids=list(METRICS))
def test_every_metric_is_there_with_its_labels(client: TestClient, name: str, labels: set[str]) -> None:
    client.post("/predict", files={"file": ("c.mp4", clip("short.mp4"))})
    client.post("/predict", files={"file": ("c.mp4", clip("text.mp4"))})
    found = [one for one in series(client) if one.partition("{")[0] == name]
    assert found
    assert all(set(re.findall(r'(\w+)="', one)) == labels for one in found)


def test_metrics_count_what_happened() -> None:
    with running() as client:
        assert not any(one.startswith("kinema_decode_duration") for one in series(client)), "the golden clip is none"
        answer = client.post("/predict", files={"file": ("c.mp4", clip("slow.mp4"))}).json()
        client.post("/predict", files={"file": ("c.mp4", clip("text.mp4"))})
        client.post("/predict", files={"file": ("c.mp4", b"")})
        counted, model = series(client), answer["model"]["name"]
    assert counted[f'kinema_requests_total{{code="200",model="{model}"}}'] == 1
    assert counted[f'kinema_requests_total{{code="415",model="{model}"}}'] == 1
    assert counted[f'kinema_request_failures_total{{model="{model}",reason="media"}}'] == 2
    assert counted['kinema_frames_total{stage="decoded"}'] == answer["media"]["frames_decoded"]
    assert counted['kinema_frames_total{stage="sampled"}'] == sum(answer["sampling"]["pictures"].values())
    assert counted['kinema_frames_total{stage="padded"}'] == answer["sampling"]["padded"]
    assert counted["kinema_ready"] == 1
    assert counted["kinema_requests_in_progress"] == 0


def test_two_services_in_one_process_do_not_mix_their_metrics() -> None:
    with running() as first, running() as second:
        first.post("/predict", files={"file": ("c.mp4", clip("short.mp4"))})
        assert any(one.startswith("kinema_requests_total") for one in series(first))
        assert not any(one.startswith("kinema_requests_total") for one in series(second))


def example(schema: dict[str, Any], definitions: dict[str, Any]) -> Any:
    """The example of a schema, put together from those of its fields."""
    if "$ref" in schema:
        return example(definitions[schema["$ref"].rpartition("/")[2]], definitions)
    if "examples" in schema:
        return schema["examples"][0]
    match schema.get("type"):
        case None:
            return example(schema["anyOf"][0], definitions)
        case "object" if "properties" in schema:
            return {name: example(field, definitions) for name, field in schema["properties"].items()}
        case "object":
            return {"name": example(schema["additionalProperties"], definitions)}
        case "array":
            return [example(schema["items"], definitions)]
        case "string":
            return "text"
        case kind:
            raise AssertionError(f"no example of {kind}: {schema}")


@pytest.mark.parametrize("name", ["PredictResponse", "Health", "Readiness", "Alive", "Models"])
def test_the_examples_of_openapi_fit_their_schema(client: TestClient, name: str) -> None:
    definitions = client.get("/openapi.json").json()["components"]["schemas"]
    TypeAdapter(getattr(schemas, name)).validate_python(example(definitions[name], definitions), strict=True)


def test_openapi_describes_both_ways_to_send_a_clip(client: TestClient) -> None:
    body = client.get("/openapi.json").json()["paths"]["/predict"]["post"]["requestBody"]
    assert {"multipart/form-data", "video/*", "application/octet-stream"} <= set(body["content"])
