"""`kinema predict --post`: the events of clips, as the service tells them."""

import json

import httpx

from tests.samples import CLIPS, clip
from tests.server import Server, kinema

GOLF, PULLUP = CLIPS / "real-golf.mp4", CLIPS / "real-pullup.mp4"
CHAIN = "ema:tau_s=0.3,hysteresis:on=0.6:off=0.4,min_length:seconds=0.5"


def test_people_are_told_in_a_second_table() -> None:
    done = kinema("predict", "--top-k", "1", "--post", CHAIN, GOLF, PULLUP)
    assert done.returncode == 0, done.stderr
    first, second = done.stdout.split("\n\n")
    assert first.splitlines()[0].split() == ["clip", "action", "score", "looked", "at"]
    header, golf, pullup = second.splitlines()
    assert header.split() == ["clip", "event", "from", "to", "peak", "count"]
    assert golf.split()[1] == "golf"
    assert pullup.split()[1] == "pullup"


def test_where_nothing_is_found_the_table_says_so() -> None:
    done = kinema("predict", "--post", "hysteresis:on=1:off=1", GOLF)
    assert done.stdout.splitlines()[-1].split() == [str(GOLF), "none"]


def test_programs_are_told_the_same_as_over_http(server: Server) -> None:
    done = kinema("predict", "--json", "--post", CHAIN, GOLF)
    assert done.returncode == 0, done.stderr
    asked = httpx.post(f"{server.url}/predict", params={"post": CHAIN}, content=clip(GOLF.name), timeout=60).json()
    told = json.loads(done.stdout)["events"]
    assert [one["label"] for one in told] == ["golf"]
    assert told == asked["events"]


def test_without_post_there_are_no_events() -> None:
    done = kinema("predict", "--json", GOLF)
    assert json.loads(done.stdout)["events"] is None


def test_what_there_is_not_is_refused_with_what_there_is() -> None:
    done = kinema("predict", "--post", "median", GOLF)
    assert done.returncode == 2
    assert "there is no post-processor 'median'" in done.stderr
    assert "hysteresis" in done.stderr


def test_a_spreadsheet_has_no_place_for_events() -> None:
    done = kinema("predict", "--csv", "--post", "hysteresis", GOLF)
    assert done.returncode == 2
    assert "--post has no place in --csv" in done.stderr
