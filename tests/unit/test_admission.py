"""Who may come in, and at what price."""

import asyncio

import pytest

from service.admission import Admission
from service.errors import Busy, DeadlineExceeded, Draining

FOREVER_S = 1e9


async def test_without_a_free_slot_a_clip_is_refused_at_once_and_told_when_to_come_back() -> None:
    admission = Admission(slots=2, cores=1, backlog_s=FOREVER_S)
    with admission.enter(), admission.enter():
        assert admission.in_flight == 2
        with pytest.raises(Busy, match="all 2 slots") as refused, admission.enter():
            pass
        assert refused.value.retry_after_s >= 1
    assert admission.in_flight == 0


async def test_a_slot_is_free_again_whatever_happened_in_it() -> None:
    admission = Admission(slots=1, cores=1, backlog_s=FOREVER_S)
    with pytest.raises(RuntimeError), admission.enter():
        raise RuntimeError
    with admission.enter():
        assert admission.in_flight == 1


async def test_a_clip_that_would_exceed_the_backlog_is_refused_and_the_wait_follows_from_the_surplus() -> None:
    admission = Admission(slots=9, cores=2, backlog_s=10)
    with admission.enter() as first:
        first.price(15.0, FOREVER_S)
        assert admission.backlog_s == 15.0
        with pytest.raises(Busy, match=r"about 7\.5 s") as refused, admission.enter() as second:
            second.price(13.0, FOREVER_S)
        assert refused.value.retry_after_s == 4, "(15 + 13 - 2 x 10) seconds of a core at 2 cores"
        assert admission.backlog_s == 15.0, "who was refused costs nothing"
        with admission.enter() as third:
            third.price(4.0, FOREVER_S)
            assert admission.backlog_s == 19.0


async def test_behind_a_full_backlog_clips_are_refused_at_the_door() -> None:
    admission = Admission(slots=9, cores=1, backlog_s=1)
    with admission.enter() as first:
        first.price(1.0, FOREVER_S)
        with pytest.raises(Busy), admission.enter():
            raise AssertionError


async def test_a_clip_that_alone_exceeds_the_backlog_is_let_in_when_nothing_else_is_there() -> None:
    admission = Admission(slots=9, cores=1, backlog_s=1)
    with admission.enter() as only:
        only.price(30.0, FOREVER_S)
    assert admission.backlog_s == 0.0


async def test_a_clip_whose_turn_would_come_after_its_deadline_is_refused_before_it_costs_anything() -> None:
    admission = Admission(slots=9, cores=2, backlog_s=100)
    with admission.enter() as first:
        first.price(10.0, FOREVER_S)
        with pytest.raises(DeadlineExceeded, match=r"about 6\.0 s .* 5\.9 s are left"), admission.enter() as second:
            second.price(2.0, left_s=5.9)
        with admission.enter() as third:
            third.price(2.0, left_s=6.1)


async def test_the_rate_follows_what_was_done() -> None:
    admission = Admission(slots=9, cores=4, backlog_s=100)
    assert admission.rate == 4.0
    for _ in range(12):
        with admission.enter() as ticket:
            ticket.price(0.05, FOREVER_S)
            await asyncio.sleep(0.1)
    assert admission.rate < 3.0


async def test_what_came_to_nothing_says_nothing_about_the_rate() -> None:
    admission = Admission(slots=9, cores=4, backlog_s=100)

    def come_to_nothing() -> None:
        with admission.enter() as ticket:
            ticket.price(5.0, FOREVER_S)
            raise RuntimeError

    for _ in range(10):
        with pytest.raises(RuntimeError):
            come_to_nothing()
    assert admission.rate == 4.0


async def test_draining_refuses_the_new_and_waits_for_the_old() -> None:
    admission = Admission(slots=2, cores=1, backlog_s=FOREVER_S)
    with admission.enter():
        admission.drain()
        with pytest.raises(Draining), admission.enter():
            pass
        idle = asyncio.create_task(admission.idle())
        await asyncio.sleep(0)
        assert not idle.done()
    await idle
    assert admission.draining
