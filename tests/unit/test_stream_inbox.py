"""Frames that wait: as many as there may be, and those for which there is no room are counted."""

import asyncio

import pytest

from service.errors import Busy
from service.stream.inbox import Budget, Drop, Frame, Inbox
from service.video.follow import Served

PATIENCE_S = 30.0


def frame(number: int, size: int = 10) -> Frame:
    return Frame(float(number), bytes(size), Served(0.0, number + 1, None), 0.0)


def times(inbox: Inbox) -> list[float]:
    found = []
    while one := inbox.take():
        found.append(one.time_s)
    return found


async def fill(inbox: Inbox, *numbers: int, size: int = 10) -> list[bool]:
    return [await inbox.put(frame(number, size)) for number in numbers]


async def test_frames_leave_in_the_order_in_which_they_came() -> None:
    inbox = Inbox(5, Drop.NONE, Budget(1000))
    assert await fill(inbox, 1, 2, 3) == [True] * 3
    assert len(inbox) == 3
    assert times(inbox) == [1, 2, 3]
    assert inbox.take() is None


async def test_the_oldest_is_dropped_and_counted() -> None:
    inbox = Inbox(2, Drop.OLDEST, Budget(1000))
    assert await fill(inbox, 1, 2, 3, 4, 5) == [True] * 5
    assert inbox.dropped == 3
    assert times(inbox) == [4, 5]


async def test_the_newest_is_dropped_and_counted() -> None:
    inbox = Inbox(2, Drop.NEWEST, Budget(1000))
    assert await fill(inbox, 1, 2, 3, 4) == [True, True, False, False]
    assert inbox.dropped == 2
    assert times(inbox) == [1, 2]


async def test_where_nothing_may_be_dropped_the_sender_waits_for_room() -> None:
    inbox = Inbox(1, Drop.NONE, Budget(1000))
    await fill(inbox, 1)
    waiting = asyncio.create_task(inbox.put(frame(2)))
    await asyncio.sleep(0)
    assert not waiting.done()
    taken = inbox.take()
    assert taken is not None
    assert taken.time_s == 1
    assert await asyncio.wait_for(waiting, PATIENCE_S)
    assert times(inbox) == [2]
    assert inbox.dropped == 0


async def test_a_sender_that_goes_while_it_waits_leaves_nothing() -> None:
    budget = Budget(1000)
    inbox = Inbox(1, Drop.NONE, budget)
    await fill(inbox, 1)
    waiting = asyncio.create_task(inbox.put(frame(2)))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert budget.taken == 10
    assert times(inbox) == [1]
    assert budget.taken == 0


async def test_bytes_are_bounded_over_all_inboxes() -> None:
    budget = Budget(100)
    one, other = Inbox(50, Drop.NEWEST, budget), Inbox(50, Drop.NEWEST, budget)
    await fill(one, *range(6))
    assert await fill(other, *range(6)) == [True] * 4 + [False] * 2
    assert budget.taken == 100
    one.clear()
    assert budget.taken == 40
    assert await fill(other, 6) == [True]


@pytest.mark.parametrize("drop", [Drop.OLDEST, Drop.NEWEST])
async def test_a_frame_that_has_no_room_at_all_is_dropped(drop: Drop) -> None:
    budget = Budget(15)
    inbox = Inbox(5, drop, budget)
    assert await inbox.put(frame(1, 16)) is False
    assert (inbox.dropped, len(inbox), budget.taken) == (1, 0, 0)


async def test_a_stream_makes_room_among_its_own_frames_alone() -> None:
    budget = Budget(30)
    one, other = Inbox(5, Drop.OLDEST, budget), Inbox(5, Drop.OLDEST, budget)
    await fill(one, 1, 2)
    await fill(other, 1, 2, 3)
    assert (one.dropped, other.dropped) == (0, 2)
    assert times(one) == [1, 2]
    assert times(other) == [3]


async def test_where_nothing_may_be_dropped_and_others_take_all_room_the_sender_is_told() -> None:
    budget = Budget(20)
    await fill(Inbox(5, Drop.NONE, budget), 1, 2)
    with pytest.raises(Busy, match="other streams leave no room"):
        await Inbox(5, Drop.NONE, budget).put(frame(1))


async def test_clearing_lets_a_waiting_sender_go_on() -> None:
    inbox = Inbox(1, Drop.NONE, Budget(1000))
    await fill(inbox, 1)
    waiting = asyncio.create_task(inbox.put(frame(2)))
    await asyncio.sleep(0)
    inbox.clear()
    assert await asyncio.wait_for(waiting, PATIENCE_S)
