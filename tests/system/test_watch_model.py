"""`kinema watch` with the shipped model: it says of a file what the model says of the same seconds as a clip."""

import json
from typing import Any

import pytest

from tests.samples import CLIPS
from tests.server import kinema


def told(*options: str) -> list[dict[str, Any]]:
    done = kinema("watch", CLIPS / "real-golf.mp4", *options)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_a_file_is_watched_to_its_end_and_its_action_told() -> None:
    said = told("--top-k", "21")
    answers = [one for one in said if one["type"] == "answer"]
    (clip,) = map(json.loads, kinema("predict", "--json", "--top-k", "21", CLIPS / "real-golf.mp4").stdout.splitlines())
    scores = {one["label"]: one["score"] for one in clip["predictions"]}
    for one in answers[-1]["predictions"]:
        assert one["score"] == pytest.approx(scores[one["label"]], abs=1e-5)  # they are told with six digits
    assert {(one["camera_fps"], one["model_fps"]) for one in answers[3:]} == {(30.0, 10.0)}
    began, ended = (one for one in said if one["type"] == "event")
    assert (began["label"], began["end_s"], ended["label"]) == ("golf", None, "golf")
    assert ended["end_s"] == answers[-1]["time_s"]
    assert said[-1]["reason"] == "the source has ended"


def test_what_an_action_is_can_be_said() -> None:
    said = told("--post", "ema:tau_s=0.1,hysteresis:on=1:off=1")
    assert not [one for one in said if one["type"] == "event"]
    refused = kinema("watch", CLIPS / "real-golf.mp4", "--post", "median")
    assert refused.returncode == 2
    assert "hysteresis" in refused.stderr
