"""What processes cost: CPU time and peak memory, read from Linux' /proc."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

_PROC = Path("/proc")
_TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")
# Writing this to clear_refs sets a process' peak memory back to what it holds now.
_RESET_PEAK = "5"
# Of the words of /proc/stat: user, nice, system, irq, softirq and steal; not idle and iowait, and guests are in user.
_BUSY = (0, 1, 2, 5, 6, 7)


def family(pids: Sequence[int]) -> Iterator[int]:
    """The processes and all their living descendants; those that have ended are left out."""
    for pid in pids:
        with suppress(OSError):
            children = [int(word) for file in _PROC.glob(f"{pid}/task/*/children") for word in file.read_text().split()]
            yield pid
            yield from family(children)


def cpu_s(pids: Sequence[int]) -> float:
    """CPU seconds, user and system, that processes and their descendants have used so far."""
    return sum(map(_own_cpu_s, family(pids)))


def _own_cpu_s(pid: int) -> float:
    try:
        stat = (_PROC / str(pid) / "stat").read_text()
    except OSError:
        return 0.0
    # The name in parentheses may hold spaces. After it: state is field 3, utime 14, stime 15, and 16 and 17 are the
    # same of the children that have ended.
    fields = stat.rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / _TICKS_A_SECOND


def reset_peak(pids: Sequence[int]) -> None:
    """Lets peak memory count from now on; where the kernel refuses, it counts from the start."""
    for pid in family(pids):
        with suppress(OSError):
            (_PROC / str(pid) / "clear_refs").write_text(_RESET_PEAK)


def peak_bytes(pids: Sequence[int]) -> int:
    """The peaks of resident memory of processes and their descendants, added up; pages they share count for each."""
    return sum(map(_own_peak_bytes, family(pids)))


def _own_peak_bytes(pid: int) -> int:
    with suppress(OSError):
        for line in (_PROC / str(pid) / "status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return 0


@dataclass(frozen=True, slots=True)
class Held:
    """What one process holds now.

    Attributes:
        rss_bytes: resident memory, shared pages in full.
        pss_bytes: the same, each shared page divided by how many processes have it.
        descriptors: open files and sockets.
        threads: of it.
    """

    rss_bytes: int
    pss_bytes: int
    descriptors: int
    threads: int

    @classmethod
    def by(cls, pid: int) -> Self:
        """Reads /proc.

        Raises:
            OSError: there is no such process.
        """
        here = _PROC / str(pid)
        lines = (line.split() for line in (here / "smaps_rollup").read_text().splitlines()[1:])
        sizes = {words[0]: int(words[1]) * 1024 for words in lines}
        threads = sum(1 for _ in (here / "task").iterdir())
        return cls(sizes["Rss:"], sizes["Pss:"], sum(1 for _ in (here / "fd").iterdir()), threads)


def machine_cpu_s() -> float:
    """CPU seconds that the whole machine has been busy, over all cores, what a hypervisor took included."""
    words = (_PROC / "stat").read_text().splitlines()[0].split()[1:]
    return sum(int(words[n]) for n in _BUSY) / _TICKS_A_SECOND


@dataclass(frozen=True, slots=True)
class Usage:
    """What was used between two moments.

    Attributes:
        cpu_s: CPU seconds of the processes measured.
        load_cpu_s: CPU seconds of this process and of those that post.
        others_cpu_s: CPU seconds that the machine spent on anything else.
        peak_bytes: peak resident memory of the processes measured.
    """

    cpu_s: float
    load_cpu_s: float
    others_cpu_s: float
    peak_bytes: int


class Meter:
    """Measures processes and their descendants from now on.

    Args:
        pids: the processes.
        posting: processes that post, beside this one.
    """

    def __init__(self, pids: Sequence[int], posting: Sequence[int] = ()) -> None:
        self._pids = pids
        self._posting = posting
        reset_peak(pids)
        self._began_s = time.perf_counter()
        self._before = self._now()

    def _now(self) -> tuple[float, float, float]:
        return cpu_s(self._pids), time.process_time() + cpu_s(self._posting), machine_cpu_s()

    @property
    def elapsed_s(self) -> float:
        """Seconds so far."""
        return time.perf_counter() - self._began_s

    def read(self) -> Usage:
        """What has been used so far."""
        own_s, load_s, machine_s = (now - before for now, before in zip(self._now(), self._before, strict=True))
        return Usage(own_s, load_s, max(0.0, machine_s - own_s - load_s), peak_bytes(self._pids))
