"""What a clip is expected to cost."""

import pytest

from service.cost import Cost, Costs
from service.video.work import Work

WORK = Work(frames=100, pixels=100_000, pictures={"look": 10, "drift": 20})
ENCODE_S = {"look": 0.01, "drift": 0.005}


def test_a_cost_has_its_two_parts() -> None:
    cost = Costs(ENCODE_S).of(WORK)
    assert cost.encode_s == pytest.approx(0.2)
    assert 0.01 < cost.decode_s < 1
    assert cost.total_s == cost.decode_s + cost.encode_s


def test_what_decoding_takes_is_learned() -> None:
    costs = Costs(ENCODE_S)
    for _ in range(60):
        costs.learn(WORK, 0.5)
    assert costs.of(WORK).decode_s == pytest.approx(0.5, rel=0.01)
    assert costs.of(WORK).encode_s == pytest.approx(0.2), "encoding was measured"


def test_one_odd_clip_changes_little() -> None:
    costs = Costs(ENCODE_S)
    before = costs.of(WORK).decode_s
    costs.learn(WORK, 1000.0)
    assert costs.of(WORK).decode_s <= before * 1.7
    costs.learn(Work(0, 0, {}), 1.0)
    assert costs.of(Work(0, 0, {})) == Cost(0.0, 0.0)


def test_a_short_window_costs_as_much_as_a_full_one() -> None:
    costs = Costs(ENCODE_S, {"look": 8})
    assert costs.of(WORK).encode_s == pytest.approx(2 * 0.01 + 20 * 0.005)
