"""What a process and its descendants hold, read from Linux' /proc."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_PROC = Path("/proc")


def children(pid: int) -> Iterator[int]:
    """The living descendants of a process."""
    for file in _PROC.glob(f"{pid}/task/*/children"):
        for word in file.read_text().split():
            yield int(word)
            yield from children(int(word))


def decoders(pid: int) -> list[int]:
    """The decoder processes of a server."""
    return sorted(child for child in children(pid) if b"service.video.worker" in _command(child))


def kill(pid: int) -> None:
    """Kills a process, unless it has gone since it was listed."""
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def _command(pid: int) -> bytes:
    try:
        return (_PROC / str(pid) / "cmdline").read_bytes()
    except OSError:
        return b""


def cpu_ticks(pid: int) -> int:
    """CPU time that a process has used, in ticks; 0 of one that has gone."""
    try:
        fields = (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0
    return int(fields[11]) + int(fields[12])


def descriptors(pid: int) -> int:
    """Open file descriptors of a process."""
    return sum(1 for _ in (_PROC / str(pid) / "fd").iterdir())


def canvases(pid: int) -> int:
    """Pieces of anonymous shared memory that a process has mapped."""
    return (_PROC / str(pid) / "maps").read_text().count("memfd:kinema")


def memory_mb(pid: int) -> float:
    """Memory of a process and its descendants in MB; what they share counts once.

    Pages of files are left out: the kernel may take them back, and how many of a library's are counted here depends on
    who else on the machine has it open.
    """
    total = 0
    for one in (pid, *children(pid)):
        for line in (_PROC / str(one) / "smaps_rollup").read_text().splitlines():
            if line.startswith(("Pss_Anon:", "Pss_Shmem:")):
                total += int(line.split()[1]) * 1024
    return total / 1e6


@contextmanager
def heard(number: signal.Signals) -> Iterator[None]:
    """Lets a process that is started within hear a signal, also where this one was started in the background, deaf."""
    before = signal.signal(number, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(number, before)
