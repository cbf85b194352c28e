"""The process that posts: a pool of clients as threads, apart from what starts, watches and reports.

Plain HTTP of the standard library: on two cores the load shares the CPU with what it measures, so it is kept small,
and what it costs is stated with every figure.
"""

from __future__ import annotations

import multiprocessing
import signal
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPResponse
from multiprocessing.connection import Connection

from bench.errors import SystemFailed
from bench.load import connect
from bench.traffic import ANSWERED, LEFT, REFUSED, Arrivals, Clients, Post, Traffic
from bench.wire import Parcel, Wire

# Longer than any clip has to wait for its turn; what takes longer is an error.
_PATIENCE_S = 300.0
_REFUSALS = {429, 503}
# Where a refusal does not say when to come again, and the least that a client waits in any case.
_PAUSE_S = 0.1
# Where every post of a group fails at once, so many failures end it instead of filling its time.
_MOST_ERRORS = 100


@dataclass(frozen=True, slots=True)
class Target:
    """A system as the posting process knows it.

    Attributes:
        url: a loopback address.
        wire: how clips are posted.
        labels: the right answer to each clip.
    """

    url: str
    wire: Wire
    labels: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Errand:
    """What to do: put traffic on a target for so many seconds; posts under way then are waited for."""

    target: Target
    traffic: Traffic
    seconds: float


class Postman:
    """The process.

    Args:
        clips: the encoded bytes by name.
    """

    def __init__(self, clips: Mapping[str, bytes]) -> None:
        spawn = multiprocessing.get_context("spawn")
        self._ours, theirs = spawn.Pipe()
        self._process = spawn.Process(target=_work, args=(theirs, dict(clips)), daemon=True)
        self._process.start()
        theirs.close()

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._process.pid or 0

    def run(self, errand: Errand) -> list[Post]:
        """Does it.

        Raises:
            SystemFailed: the process ended.
        """
        try:
            self._ours.send(errand)
            posts: list[Post] = self._ours.recv()
        except (EOFError, OSError) as error:
            raise SystemFailed("the process that posts ended; what it printed says why") from error
        return posts

    def stop(self) -> None:
        """Ends the process."""
        self._process.terminate()
        self._process.join()
        self._ours.close()


def _work(connection: Connection[list[Post], Errand], clips: Mapping[str, bytes]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that started this one; it ends it
    while True:
        errand = connection.recv()
        connection.send(run(errand, clips))


def run(errand: Errand, clips: Mapping[str, bytes]) -> list[Post]:
    """Puts the traffic on the target, from this process.

    Raises:
        NotHere: the target is not on this machine.
    """
    connect(errand.target.url)
    desk = _Desk(errand, clips)
    threads = [
        threading.Thread(target=desk.client, args=(group,))
        for group in errand.traffic
        if isinstance(group, Clients)
        for _ in range(group.count)
    ]
    threads += [
        threading.Thread(target=desk.arrivals, args=(group,)) for group in errand.traffic if isinstance(group, Arrivals)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return desk.posts


class _Desk:
    """Where all clients of an errand write down what came of their posts."""

    def __init__(self, errand: Errand, clips: Mapping[str, bytes]) -> None:
        self.posts: list[Post] = []
        self._target, self._seconds = errand.target, errand.seconds
        wanted = {group.clip for group in errand.traffic}
        self._parcels = {name: self._target.wire.parcel(clips[name]) for name in wanted}
        self._started_s = time.perf_counter()
        self._errors = 0

    def _now_s(self) -> float:
        return time.perf_counter() - self._started_s

    def client(self, group: Clients) -> None:
        """Posts clip after clip on one connection."""
        connection = connect(self._target.url)
        while self._now_s() < self._seconds and self._errors < _MOST_ERRORS:
            pause_s = self._post(connection, group, group.leave_after_s or _PATIENCE_S)
            time.sleep(min(pause_s, max(0.0, self._seconds - self._now_s())))
        connection.close()

    def arrivals(self, group: Arrivals) -> None:
        """Sends one client after the other on its way, each with a connection of its own."""
        sent: list[threading.Thread] = []
        for moment_s in group.moments(self._seconds):
            time.sleep(max(0.0, moment_s - self._now_s()))
            sent.append(threading.Thread(target=self._visit, args=(group,)))
            sent[-1].start()
        for thread in sent:
            thread.join()

    def _visit(self, group: Arrivals) -> None:
        connection = connect(self._target.url)
        self._post(connection, group, group.leave_after_s)
        connection.close()

    def _post(self, connection: HTTPConnection, group: Clients | Arrivals, patience_s: float) -> float:
        """Posts one clip; returns how long to wait before the next."""
        sent_s, pause_s = self._now_s(), 0.0
        connection.timeout = patience_s
        if connection.sock is not None:
            connection.sock.settimeout(patience_s)
        try:
            response = _send(connection, self._parcels[group.clip])
            body = response.read()
            outcome = self._judge(response.status, body, group.clip)
            if outcome == REFUSED:
                pause_s = max(_PAUSE_S, _retry_after_s(response))
        except TimeoutError:
            outcome = LEFT if patience_s < _PATIENCE_S else "TimeoutError"
            connection.close()
        except (OSError, HTTPException) as error:
            outcome = type(error).__name__
            connection.close()  # the next post opens it again
        self._errors += outcome not in {ANSWERED, REFUSED, LEFT}
        self.posts.append(Post(group.name, sent_s, self._now_s() - sent_s, outcome))
        return pause_s

    def _judge(self, status: int, body: bytes, clip: str) -> str:
        if status in _REFUSALS:
            return REFUSED
        if status != 200:
            return str(status)
        try:
            right = self._target.wire.label(body) == self._target.labels[clip]
        except (ValueError, LookupError, TypeError):
            return "no answer"
        return ANSWERED if right else "wrong answer"


def _send(connection: HTTPConnection, parcel: Parcel) -> HTTPResponse:
    with suppress(BrokenPipeError, ConnectionResetError):  # whoever is refused before the end can still read why
        connection.request("POST", parcel.path, parcel.body, dict(parcel.headers))
    return connection.getresponse()


def _retry_after_s(response: HTTPResponse) -> float:
    told = response.getheader("Retry-After", "")
    return float(told) if told.isdigit() else 0.0
