"""Admission, whoever comes and goes in whatever order."""

import asyncio
from contextlib import AbstractContextManager

from hypothesis import given
from hypothesis import strategies as st

from service.admission import Admission
from service.errors import Busy, Draining


@given(st.integers(1, 5), st.integers(1, 4), st.lists(st.sampled_from(["come", "go", "drain"]), max_size=40))
def test_never_more_than_the_slots_are_in_flight_and_the_rest_is_refused(
    slots: int, side_by_side: int, happenings: list[str]
) -> None:
    async def play() -> None:
        admission = Admission(slots, side_by_side)
        inside: list[AbstractContextManager[None]] = []
        draining = False
        for happening in happenings:
            match happening:
                case "come":
                    slot = admission.slot()
                    try:
                        slot.__enter__()
                    except Busy:
                        assert not draining
                        assert len(inside) == slots
                    except Draining:
                        assert draining
                    else:
                        assert not draining
                        inside.append(slot)
                case "go" if inside:
                    inside.pop(0).__exit__(None, None, None)
                case "drain":
                    admission.drain()
                    draining = True
            assert admission.in_flight == len(inside) <= slots
            assert admission.draining == draining
            idle = asyncio.ensure_future(admission.idle())
            await asyncio.sleep(0)
            assert idle.done() == (not inside)
            idle.cancel()
        while inside:
            inside.pop().__exit__(None, None, None)

    asyncio.run(play())
