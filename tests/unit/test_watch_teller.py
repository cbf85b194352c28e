"""What people and programs are told."""

import io
import json
import re

import pytest
from rich.console import Console

from service.watch import facts
from service.watch.answer import Answer, Event, Prediction
from service.watch.teller import JsonTeller, LineTeller
from tests.samples import ROOT

BEST = (Prediction("golf", 0.93), Prediction("walk", 0.05))
SEEN = facts.Seen(Answer(83.4, BEST, BEST, 4.0, 100, 40, 3, 25.0, 10.0, 42.4, ()), None, 110, 9)
FACTS: list[tuple[facts.Fact, str]] = [
    (facts.Opened("rtsp://cam/1", True, 640, 480, 25.0, "h264"), "rtsp://cam/1: 640x480, 25 fps, h264"),
    (facts.Lost("rtsp://cam/1", "Connection refused", 3, 1.66), "rtsp://cam/1 is lost: Connection refused (3)"),
    (facts.Reset(3723.0, "the connection was lost"), "1:02:03.0 begins with an empty memory: the connection was lost"),
    (facts.Happened("x", Event("golf", 81.0, None, 0.9), None), "0:01:21.0 golf"),
    (facts.Happened("x", Event("golf", 81.0, 83.5, 0.97), None), "0:01:21.0 golf for 2.5 s, at most 0.97"),
    (facts.Saved("clips/a[1].mkv", "golf", 1.0, 3.5, 60), "clips/a[1].mkv: 60 frames, 2.5 s"),
    (facts.Trouble("webhook", "http://x answered 400", 2), "webhook: http://x answered 400 (2 lost so far)"),
    (facts.Ended("stopped", 200, 3, 2, 1, 4, 0), "stopped: 200 frames, 3 missed, 2 events"),
]


@pytest.mark.parametrize(("fact", "words"), FACTS, ids=lambda value: getattr(value, "type", ""))
def test_people_are_told_in_a_line(fact: facts.Fact, words: str) -> None:
    written = io.StringIO()
    teller = LineTeller(Console(file=written, width=100))
    teller.tell(fact)
    teller.end()
    assert words in written.getvalue().splitlines()


def test_people_see_actions_rates_latency_and_drops_in_a_line_that_changes() -> None:
    written = io.StringIO()
    teller = LineTeller(Console(file=written, width=120, force_terminal=True, color_system=None))
    teller.tell(SEEN)
    teller.end()
    assert "0:01:23.4  golf 0.93 ███████████░  walk 0.05" in written.getvalue()
    assert "camera 25.0 fps  model 10.0 fps  42 ms  12 dropped" in written.getvalue()


def test_programs_are_told_in_json(capsys: pytest.CaptureFixture[str]) -> None:
    teller = JsonTeller(lambda: None)
    for fact in (SEEN, *(fact for fact, _ in FACTS)):
        teller.tell(fact)
    answer, *others = map(json.loads, capsys.readouterr().out.splitlines())
    assert answer == {
        "type": "answer", "time_s": 83.4, "at": None,
        "predictions": [{"label": "golf", "score": 0.93}, {"label": "walk", "score": 0.05}],
        "smoothed": [{"label": "golf", "score": 0.93}, {"label": "walk", "score": 0.05}],
        "state_age_s": 4.0, "frames": 110, "missed": 9, "received": 100, "used": 40, "dropped": 3,
        "camera_fps": 25.0, "model_fps": 10.0, "total_ms": 42.4, "events": 0, "abstained": None,
    }  # fmt: skip
    assert [one["type"] for one in others] == [fact.type for fact, _ in FACTS]
    assert others[4] == {
        "type": "event", "source": "x", "at": None, "label": "golf", "start_s": 81.0, "end_s": 83.5, "peak": 0.97,
        "processor": "hysteresis", "count": None,
    }  # fmt: skip


def test_every_line_of_json_is_in_the_documentation_as_it_is() -> None:
    told = [json.loads(line) for line in re.findall(r'^{"type".*$', (ROOT / "docs/watch.md").read_text(), re.MULTILINE)]
    real = {fact.type: facts.as_object(fact) for fact in (SEEN, *(fact for fact, _ in FACTS))}
    assert {one["type"]: list(one) for one in told} == {name: list(one) for name, one in real.items()}


def test_wall_clock_times_are_told_in_iso_8601() -> None:
    assert facts.moment(1_790_000_000.5) == "2026-09-21T14:13:20.500Z"
