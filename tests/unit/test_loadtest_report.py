"""What is said about what was found."""

import json

import pytest

from service.load.arrivals import Arrivals
from service.load.offer import Pace
from service.load.report import Report
from service.load.step import Goal, Step
from service.load.tell import Bar, tell
from service.load.work import ANSWERED, REFUSED

URL = "http://localhost:8000"


def step(rate: float, latency_s: float, *, refused: int = 0, lag_s: float = 0.0, waited: int = 0) -> Step:
    answered = int(rate * 10) - refused
    outcomes = {ANSWERED: answered, REFUSED: refused}
    return Step(rate, 10.0, answered + refused, outcomes, [latency_s] * answered, answered, waited=waited, lag_s=lag_s)


def report(*steps: Step, alone_s: float = 0.2, interrupted: bool = False) -> Report:
    pace = Pace(Arrivals.FIXED, 10.0, 2.0, 256)
    goal = Goal(p95_s=1.0, errors=0.01)
    return Report(URL, "clips", ["a.mp4"], goal, pace, [alone_s], list(steps), interrupted)


@pytest.mark.parametrize(
    ("made", "verdict"),
    [
        (
            report(step(2.0, 0.3), step(4.0, 1.5), step(3.0, 0.4)),
            f"{URL} carries 3.00 clips/s (p95 400 ms, wanted 1000 ms; at 4.00: p95 1500 ms).",
        ),
        (report(step(2.0, 0.3)), f"{URL} carries 2.00 clips/s (p95 300 ms, wanted 1000 ms)."),
        (
            report(step(4.0, 1.5), step(2.0, 0.2, refused=10)),
            f"{URL} does not carry 2.00 clips/s: 50.0% refused (429).",
        ),
        (report(alone_s=1.2), "One of the clips takes 1200 ms without load, over 1000 ms."),
        (report(interrupted=True), "Interrupted. No step was completed."),
        (
            report(step(2.0, 0.3), interrupted=True),
            f"Interrupted. {URL} carries 2.00 clips/s (p95 300 ms, wanted 1000 ms).",
        ),
    ],
)
def test_the_verdict_is_a_sentence(made: Report, verdict: str) -> None:
    assert made.verdict == verdict


def test_says_where_the_load_itself_was_the_limit() -> None:
    assert report(step(2.0, 0.3)).notes == []
    late, taken = report(step(2.0, 0.3, lag_s=0.2), step(3.0, 0.3, waited=4)).notes
    assert "200 ms late" in late
    assert "256 connections" in taken


def test_people_get_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    made = report(step(2.0, 0.3), step(4.0, 0.4, refused=4, lag_s=0.5))
    tell(made, as_json=False)
    told = capsys.readouterr()
    lines = [line.split() for line in told.out.splitlines()]
    assert lines[1] == ["2.00", "2.00", "300", "300", "300", "0", "0", "carried"]
    assert lines[2] == ["4.00", "3.60", "400", "400", "400", "4", "0", "10.0%", "refused", "(429)"]
    assert "Without load, clips take 200 ms." in told.out
    assert told.out.endswith(f"{made.verdict}\n")
    assert "500 ms late" in told.err


def test_programs_get_an_object(capsys: pytest.CaptureFixture[str]) -> None:
    tell(report(step(2.0, 0.3), step(4.0, 1.5)), as_json=True)
    told = json.loads(capsys.readouterr().out)
    assert told["target"] == {"p95_ms": 1000, "errors_percent": 1}
    assert [one["fault"] for one in told["steps"]] == [None, "p95 1500 ms"]
    assert told["carried"] == {"rate": 2, "answered_per_s": 2, "p95_ms": 300}


def test_nothing_carried_is_null(capsys: pytest.CaptureFixture[str]) -> None:
    tell(report(step(4.0, 1.5)), as_json=True)
    assert json.loads(capsys.readouterr().out)["carried"] is None


def test_no_bar_where_standard_error_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with Bar() as bar:
        bar.begin("2.00 clips/s", 10.0)
        bar.advance(5.0)
    assert capsys.readouterr().err == ""


def streams(*steps: Step) -> Report:
    made = report(*steps, alone_s=0.02)
    made.noun, made.wishes = "streams", {"every_s": 0.0, "fps": 10.0}
    return made


def test_streams_are_whole(capsys: pytest.CaptureFixture[str]) -> None:
    made = streams(step(8, 0.3), step(9, 1.5, lag_s=0.2))
    assert made.verdict == f"{URL} carries 8 streams (p95 300 ms, wanted 1000 ms; at 9: p95 1500 ms)."
    assert streams(step(9, 1.5)).verdict == f"{URL} does not carry 9 streams: p95 1500 ms."
    tell(made, as_json=False)
    told = capsys.readouterr()
    assert told.out.split()[0] == "streams"
    assert told.out.splitlines()[1].split()[0] == "8"
    assert "Frames were sent 200 ms late" in told.err


def test_programs_get_the_number_of_streams(capsys: pytest.CaptureFixture[str]) -> None:
    tell(streams(step(8, 0.3)), as_json=True)
    told = json.loads(capsys.readouterr().out)
    assert told["steps"][0]["streams"] == told["carried"]["streams"] == 8
    assert told["fps"] == 10
    assert "rate" not in told["steps"][0]
    assert "connections" not in told
