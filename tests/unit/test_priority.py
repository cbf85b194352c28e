"""How computing threads share the cores."""

import os
import sys
import threading

import pytest

from service import priority


def niceness_of_a_thread(wanted: int) -> int:
    found: list[int] = []

    def work() -> None:
        priority.compute_in_long_turns(wanted)
        found.append(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    return found[0]


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere threads have no niceness of their own")
@pytest.mark.parametrize("machine", ["x86_64", "aarch64", "unheard of"])
def test_a_thread_stands_back_alone_whatever_the_machine_can(machine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if machine != "unheard of" and machine != os.uname().machine:
        monkeypatch.setitem(priority._CALLS, os.uname().machine, -1)  # a call that there is not
    else:
        monkeypatch.setattr("platform.machine", lambda: machine)
    own = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
    assert niceness_of_a_thread(own + 3) == own + 3
    assert os.getpriority(os.PRIO_PROCESS, threading.get_native_id()) == own
