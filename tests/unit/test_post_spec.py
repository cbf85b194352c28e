"""The text that names post-processors: read, refused in words, written."""

import re

import pytest

from service.errors import MalformedRequest
from service.post.chain import DEFAULT, Chain
from service.post.spec import KNOWN, Spec

LABELS = ("run", "walk")


def test_names_and_parameters_are_read_and_the_rest_is_default() -> None:
    spec = Spec.parse("ema:tau_s=1.5, hysteresis:on=0.7 , min_length")
    assert str(spec) == "ema:tau_s=1.5,hysteresis:on=0.7:off=0.4:gap_s=2,min_length:seconds=0.5"


def test_what_is_written_is_read_as_the_same() -> None:
    spec = Spec.parse("ema,repetitions:min_period_s=0.333,min_length:seconds=1")
    assert Spec.parse(str(spec)) == spec
    assert Spec.of_json(spec.json()) == spec
    assert Spec.of_json(str(spec)) == spec


def test_json_says_every_parameter() -> None:
    assert Spec.parse("ema").json() == [{"name": "ema", "tau_s": 0.8}]


def test_streams_are_smoothed_by_default() -> None:
    assert [name for name, _ in DEFAULT.links] == ["ema"]


@pytest.mark.parametrize(
    ("text", "detail", "advice"),
    [
        ("median", "there is no post-processor 'median'", r"There are ema \(tau_s\), hysteresis \(on, off, gap_s\)"),
        ("", "there is no post-processor ''", "There are ema"),
        ("ema,", "there is no post-processor ''", "There are ema"),
        ("ema:tau=1", "ema has no parameter 'tau'", r"ema has tau_s \(0.01 to 60, default 0.8\)"),
        ("ema:tau_s=99", "tau_s is 99, which is not a number from 0.01 to 60", "0.01 to 60, default 0.8"),
        ("ema:tau_s=nan", "tau_s is nan, which is not a number from 0.01 to 60", "ema has tau_s"),
        ("ema:tau_s=slow", "tau_s is slow, which is not a number", "ema has tau_s"),
        ("ema:0.8", "'0.8' of 'ema' is not a parameter", "name=value"),
        ("ema:tau_s=1:tau_s=2", "tau_s is given twice", "once"),
        ("ema,ema", "'ema' is named twice", "once"),
        ("hysteresis:on=0.3", "off is 0.4, which is above on, 0.3", r"off \(0 to 1, default 0.4\)"),
        ("ema,min_length", "before 'min_length' nothing makes events", "hysteresis or repetitions"),
        ("repetitions:min_period_s=5", "min_period_s is 5, which is above max_period_s, 3", "repetitions has"),
        ("repetitions:window_s=5", "two cycles of max_period_s, 3, do not fit", "repetitions has"),
        ("repetitions:window_s=30", "window_s is 30, which is more than 64 cycles of min_period_s", "repetitions has"),
        ("repetitions:on=0.1", "off is 0.15, which is above on, 0.1", "repetitions has"),
    ],
)
def test_what_cannot_be_is_refused_with_what_there_is(text: str, detail: str, advice: str) -> None:
    with pytest.raises(MalformedRequest, match=detail) as raised:
        Spec.parse(text)
    assert re.search(advice, raised.value.advice)


@pytest.mark.parametrize("value", [None, 3, {"name": "ema"}, ["ema"], [{"tau_s": 1}], []])
def test_json_that_is_no_list_of_named_objects_is_refused(value: object) -> None:
    with pytest.raises(MalformedRequest):
        Spec.of_json(value)


def test_json_with_a_parameter_that_is_no_number_is_refused() -> None:
    with pytest.raises(MalformedRequest, match="tau_s is None"):
        Spec.of_json([{"name": "ema", "tau_s": None}])


@pytest.mark.parametrize("name", KNOWN)
def test_every_parameter_says_what_it_is_and_its_default_is_in_its_range(name: str) -> None:
    parameters = KNOWN[name][1]
    for key, field in parameters.model_fields.items():
        least, most = parameters.bounds(key)
        assert least <= field.default <= most
        assert field.description


def test_a_chain_is_made_of_a_text() -> None:
    assert str(Chain.parse("ema", LABELS).spec) == "ema:tau_s=0.8"
