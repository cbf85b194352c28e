"""Which frame is handed over: the newest, or the next."""

import threading

from service.watch.desk import Desk
from service.watch.slots import COUNT
from service.watch.wire import WANT, Shot


def shot(slot: int, time_s: float, jump: str | None = None) -> Shot:
    return Shot(slot, time_s, 0.0, jump, "auto", 0, 0)


class Handed:
    """Keeps what is handed over."""

    def __init__(self, newest: bool) -> None:
        self.shots: list[Shot] = []
        self.desk = Desk(newest, self.shots.append)

    def put(self, time_s: float, jump: str | None = None) -> None:
        slot = self.desk.place()
        assert slot is not None
        self.desk.put(shot(slot, time_s, jump))


def test_the_newest_takes_the_place_of_what_waits_and_counts_it() -> None:
    handed = Handed(newest=True)
    for index in range(10 * COUNT):
        handed.put(float(index))
    assert not handed.shots
    handed.desk.want(WANT)
    (newest,) = handed.shots
    assert (newest.time_s, newest.received, newest.dropped) == (39.0, 40, 39)


def test_a_frame_that_is_passed_over_leaves_its_jump_to_the_next() -> None:
    handed = Handed(newest=True)
    handed.put(0.0, "a jump")
    handed.put(1.0)
    handed.desk.want(WANT)
    handed.put(2.0)
    handed.desk.want(handed.shots[0].slot)
    assert [one.jump for one in handed.shots] == ["a jump", None]


def test_a_frame_that_is_wanted_is_handed_over_as_it_comes() -> None:
    handed = Handed(newest=True)
    handed.desk.want(WANT)
    handed.put(1.0)
    assert [one.time_s for one in handed.shots] == [1.0]


def test_in_order_a_place_is_there_once_the_last_frame_has_been_handed_over() -> None:
    handed = Handed(newest=False)
    handed.put(0.0)
    placed = threading.Event()

    def put_more() -> None:
        handed.put(1.0)
        placed.set()

    writer = threading.Thread(target=put_more)
    writer.start()
    assert not placed.wait(0.05)
    handed.desk.want(WANT)
    assert placed.wait(10)
    handed.desk.want(handed.shots[0].slot)
    writer.join()
    assert [(one.time_s, one.dropped) for one in handed.shots] == [(0.0, 0), (1.0, 0)]


def test_no_frame_is_written_over_while_it_is_looked_at() -> None:
    handed = Handed(newest=True)
    handed.desk.want(WANT)
    handed.put(0.0)
    held = handed.shots[0].slot
    for index in range(20):
        slot = handed.desk.place()
        assert slot != held
        assert slot is not None
        handed.desk.put(shot(slot, index))


def test_nobody_waits_at_a_desk_that_is_closed() -> None:
    handed = Handed(newest=False)
    handed.put(0.0)
    handed.desk.close()
    assert handed.desk.place() is None
    assert not handed.desk.finish()
