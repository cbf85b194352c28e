"""How threads that compute share the cores: which stand back, and how long each goes on before another has its turn.

A decoder and an encoder that alternate every few milliseconds on a core empty each other's caches. Linux lets a thread
ask for longer turns (its slice, from 6.12 on); those that answer requests keep short ones and go first when they wake.
"""

from __future__ import annotations

import ctypes
import os
import platform
import struct
import sys
import threading
from contextlib import suppress

# The longest that Linux grants.
_SLICE_NS = 100_000_000
# sched_setattr(2) is in no library; its number differs by architecture.
_CALLS = {"x86_64": 314, "aarch64": 274}
# struct sched_attr, first version: size, policy, flags, nice, priority, runtime, deadline, period.
_ATTRIBUTES = struct.Struct("=IIQiIQQQ")


def compute_in_long_turns(niceness: int) -> None:
    """Gives the calling thread long turns, and lets it stand back by `niceness` (0 to 19); does what the system can."""
    if sys.platform != "linux":  # where a niceness concerns the whole process
        return
    call = _CALLS.get(platform.machine())
    attributes = _ATTRIBUTES.pack(_ATTRIBUTES.size, os.SCHED_OTHER, 0, niceness, 0, _SLICE_NS, 0, 0)
    if call is None or ctypes.CDLL(None).syscall(call, 0, attributes, 0):
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), niceness)
