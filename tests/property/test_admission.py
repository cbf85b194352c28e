"""Admission, whoever comes and goes in whatever order and at whatever price."""

import asyncio
from contextlib import AbstractContextManager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.admission import Admission, Ticket
from service.errors import Busy, Draining

happenings = st.lists(st.sampled_from(["come", "go", "drain"]) | st.floats(0, 20), max_size=40)


class House:
    """Admission, and what is known of who is inside."""

    def __init__(self, slots: int, cores: int, backlog_s: float) -> None:
        self.admission = Admission(slots, cores, backlog_s)
        self.most_s = cores * backlog_s
        self.inside: list[tuple[AbstractContextManager[Ticket], Ticket]] = []
        self.draining = False

    def come(self) -> None:
        place = self.admission.enter()
        try:
            ticket = place.__enter__()
        except Busy:
            assert self.inside, "an empty house refuses nobody"
            assert not self.draining
        except Draining:
            assert self.draining
        else:
            assert not self.draining
            self.inside.append((place, ticket))

    def go(self) -> None:
        if self.inside:
            self.inside.pop(0)[0].__exit__(None, None, None)

    def drain(self) -> None:
        self.admission.drain()
        self.draining = True

    def price(self, cost_s: float) -> None:
        if not self.inside:
            return
        place, ticket = self.inside[-1]
        try:
            ticket.price(cost_s, 1e9)
        except Busy as busy:
            self.inside.pop()
            assert self.inside, "one alone is always let in"
            place.__exit__(Busy, busy, None)

    async def check(self) -> None:
        admission, costs = self.admission, [ticket.cost_s for _, ticket in self.inside]
        assert admission.in_flight == len(self.inside) <= admission.slots
        assert admission.backlog_s == pytest.approx(sum(costs), abs=1e-9)
        if len(costs) > 1:
            assert sum(costs) <= self.most_s + max(costs) + 1e-9, "one alone may exceed it, no two"
        assert admission.draining == self.draining
        idle = asyncio.ensure_future(admission.idle())
        await asyncio.sleep(0)
        assert idle.done() == (not self.inside)
        idle.cancel()


@given(st.integers(1, 5), st.integers(1, 4), st.floats(0.1, 5), happenings)
def test_slots_and_backlog_are_never_exceeded_and_the_rest_is_refused(
    slots: int, cores: int, backlog_s: float, events: list[str | float]
) -> None:
    async def play() -> None:
        house = House(slots, cores, backlog_s)
        for event in events:
            if isinstance(event, float):
                house.price(event)
            else:
                {"come": house.come, "go": house.go, "drain": house.drain}[event]()
            await house.check()
        while house.inside:
            house.go()

    asyncio.run(play())
