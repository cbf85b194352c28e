"""Load: so many clients, each of which posts its next clip when the answer to the one before is there.

Threads with plain HTTP connections of the standard library: on two cores the load shares the CPU with what it measures,
and this costs a few milliseconds of CPU a clip, which the report states.
"""

from __future__ import annotations

import ipaddress
import itertools
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from urllib.parse import urlsplit

from bench.errors import NotHere

# A clip that takes longer is an error; the system's own deadline comes first.
_TIMEOUT_S = 120.0
# Where every post fails at once, so many failures end the load instead of filling its time.
_MOST_ERRORS = 100

Post = Callable[[HTTPConnection], bytes]
"""Posts the clip on a connection and returns the body of the answer; raises Refused where it is none."""


class Refused(Exception):
    """An answer that is not one; the message is its status."""


def connect(url: str) -> HTTPConnection:
    """A connection to a server on this machine, not opened yet.

    Raises:
        NotHere: the URL names another machine, or a name instead of an address.
    """
    parts = urlsplit(url)
    try:
        here = ipaddress.ip_address(parts.hostname or "").is_loopback
    except ValueError:
        here = False
    if not here or parts.hostname is None:
        raise NotHere(f"{url} is not a loopback address: load is put on this machine alone")
    return HTTPConnection(parts.hostname, parts.port, timeout=_TIMEOUT_S)


@dataclass(slots=True)
class Load:
    """What came of it.

    Attributes:
        times_s: seconds from each post to its answer.
        bodies: the answers.
        errors: the status or the exception of each post that failed.
        elapsed_s: seconds from the first post to the last answer.
    """

    times_s: list[float] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    elapsed_s: float = 0.0


def put(url: str, post: Post, concurrency: int, seconds: float, most: int = 100_000) -> Load:
    """Puts load on a server of this machine.

    Args:
        url: where it is.
        post: posts one clip.
        concurrency: clients at a time.
        seconds: no post begins later than this; those under way are waited for.
        most: posts in all, at most.

    Raises:
        NotHere: the server is not on this machine.
    """
    connections = [connect(url) for _ in range(concurrency)]
    load, tickets = Load(), itertools.count()
    started_s = time.perf_counter()

    def client(connection: HTTPConnection) -> None:
        while time.perf_counter() - started_s < seconds and next(tickets) < most:
            _one(connection, post, load)
            if len(load.errors) >= _MOST_ERRORS:
                break
        connection.close()

    clients = [threading.Thread(target=client, args=(connection,)) for connection in connections]
    for thread in clients:
        thread.start()
    for thread in clients:
        thread.join()
    load.elapsed_s = time.perf_counter() - started_s
    return load


def _one(connection: HTTPConnection, post: Post, load: Load) -> None:
    posted_s = time.perf_counter()
    try:
        body = post(connection)
    except Refused as refused:
        load.errors.append(str(refused))
    except (OSError, HTTPException) as error:
        load.errors.append(type(error).__name__)
        connection.close()  # the next post opens it again
    else:
        load.times_s.append(time.perf_counter() - posted_s)
        load.bodies.append(body)
