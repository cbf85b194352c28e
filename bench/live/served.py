"""`python -m bench.live.served serve`: the service as it is, which at SIGUSR1 also tells how many tasks live in it."""

from __future__ import annotations

import asyncio
import gc
import signal
import sys
from types import FrameType

from service.cli import main

TASKS = "tasks alive:"


def _tell(number: int, frame: FrameType | None) -> None:
    gc.collect()
    alive = sum(isinstance(one, asyncio.Task) and not one.done() for one in gc.get_objects())
    sys.stderr.write(f"{TASKS} {alive}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    signal.signal(signal.SIGUSR1, _tell)
    main()
