"""Who may come in."""

import asyncio

import pytest

from service.admission import Admission
from service.errors import Busy, Draining


async def test_a_full_house_refuses_at_once_and_says_when_to_come_back() -> None:
    admission = Admission(slots=2, side_by_side=1)
    with admission.slot(), admission.slot():
        assert admission.in_flight == 2
        with pytest.raises(Busy, match="all 2 slots") as refused, admission.slot():
            pass
        assert refused.value.retry_after_s >= 1
    assert admission.in_flight == 0


async def test_a_slot_is_free_again_whatever_happened_in_it() -> None:
    admission = Admission(slots=1, side_by_side=1)
    with pytest.raises(RuntimeError), admission.slot():
        raise RuntimeError
    with admission.slot():
        assert admission.in_flight == 1


async def test_draining_refuses_the_new_and_waits_for_the_old() -> None:
    admission = Admission(slots=2, side_by_side=1)
    with admission.slot():
        admission.drain()
        with pytest.raises(Draining), admission.slot():
            pass
        idle = asyncio.create_task(admission.idle())
        await asyncio.sleep(0)
        assert not idle.done()
    await idle
    assert admission.draining
