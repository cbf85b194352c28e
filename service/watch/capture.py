"""A process that reads one source: `python -m service.watch.capture CONNECTION MEMORY`.

It takes a request from the socket behind the one descriptor, puts frames into the memory behind the other, and ends
with the socket. It is a process of its own since a server that hangs can be got rid of only so, since FFmpeg reads what
strangers send, and since decoders of clips may open no URL at all, which OpenCV knows only for a whole process.
"""

from __future__ import annotations

import math
import os
import resource
import signal
import socket
import sys
import threading
import time
from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from service.watch.clock import Clock, Kind
from service.watch.desk import Desk
from service.watch.opening import Refused, open_source
from service.watch.slots import Slots
from service.watch.wire import Opened, Over, Request, Shot, read_request, write_said

_CREDIBLE_FPS = (0.5, 480.0)
_ASSUMED_FPS = 25.0
# How long a source may take to be closed in good manners: cameras let few in, and wait for those who just left.
_LEAVING_S = 0.5
_LINE = 1 << 16

Frame = NDArray[np.uint8]


class Capture:
    """One source, read until it ends.

    Args:
        request: what is read, and how.
        connection: the socket to the watch.
        memory: the descriptor of the memory for frames.
    """

    def __init__(self, request: Request, connection: socket.socket, memory: int) -> None:
        self._request = request
        self._connection = connection
        self._memory = memory

    def run(self) -> None:
        """Reads the source and says what comes of it."""
        try:
            source = open_source(self._request)
            good, first = source.read()
            if not good:
                raise Refused("it opens, but not one frame of it could be decoded")
        except Refused as refusal:
            self._say(Over(str(refusal), opened=False, complete=False))
            return
        self._read(source, np.asarray(first, np.uint8))

    def _read(self, source: cv2.VideoCapture, first: Frame) -> None:
        arrived_s, request, fps = time.monotonic(), self._request, _fps(source)
        # A whole file behind a URL would come as fast as the network is, and most of it would be passed over.
        paced = request.paced or (request.live and _finite(source))
        height, width = _scaled(first, request.height).shape[:2]
        slots = Slots(self._memory, width, height, make=True)
        desk = Desk(request.live, self._say)
        clock = Clock(_kind(request, source), request.live and not paced, 1 / (fps or _ASSUMED_FPS))
        self._say(Opened(width, height, fps, _fourcc(source)))
        listening = threading.Thread(target=_listen, args=(self._connection, desk), daemon=True)
        listening.start()
        try:
            over = Reading(replace(request, paced=paced), source, slots, desk, clock).run(first, arrived_s)
        except Refused as refusal:
            over = Over(str(refusal), opened=True, complete=False)
        if desk.finish():
            self._say(over)
            # Whoever leaves first while the other still speaks takes his last words with him.
            listening.join()

    def _say(self, said: Opened | Shot | Over) -> None:
        self._connection.sendall(write_said(said))


class Reading:
    """The frames of an open source, one after the other.

    Args:
        request: how they are read.
        source: where they come from.
        slots: where they go to.
        desk: whom they are given to.
        clock: what tells when they were.
    """

    def __init__(self, request: Request, source: cv2.VideoCapture, slots: Slots, desk: Desk, clock: Clock) -> None:
        self._request = request
        self._source = source
        self._slots = slots
        self._desk = desk
        self._clock = clock
        self._started_s = time.monotonic()

    def run(self, first: Frame, arrived_s: float) -> Over:
        """Reads on from the first frame until no more come; closes the source.

        Raises:
            Refused: it cannot be opened for the next round.
        """
        slot = self._desk.place()
        if slot is not None:
            self._slots.frame(slot)[:] = _scaled(first, self._request.height)
            self._put(slot, arrived_s)
        while (slot := self._desk.place()) is not None:
            if not self._grab():
                finite = _finite(self._source) or not self._request.live
                self._source.release()
                return Over("no more frames came", opened=True, complete=finite)
            arrived_s = time.monotonic()
            if not self._retrieve(self._slots.frame(slot)):
                self._source.release()
                return Over("its pictures have another size now", opened=True, complete=False)
            self._put(slot, arrived_s)
        self._source.release()
        return Over("it was not wanted any more", opened=True, complete=False)

    def _grab(self) -> bool:
        """Reads the next frame, if need be from the beginning."""
        if self._source.grab():
            return True
        if not self._request.loop:
            return False
        self._source.release()
        self._source = open_source(self._request)
        self._clock.begin_again()
        return self._source.grab()

    def _retrieve(self, slot: Frame) -> bool:
        """Puts the frame that was read last into a slot; False where it does not fit.

        OpenCV scales what changes its size in between to the size that was first; what it leaves, no slot takes.
        """
        # OpenCV writes to the slot itself where the frame fits and need not be turned.
        good, frame = self._source.retrieve(None if self._request.height else slot)
        if not good:
            return False
        scaled = _scaled(np.asarray(frame, np.uint8), self._request.height)
        if scaled.shape != slot.shape:
            return False
        if not np.may_share_memory(scaled, slot):
            slot[:] = scaled
        return True

    def _put(self, slot: int, arrived_s: float) -> None:
        stamp_s = self._source.get(cv2.CAP_PROP_POS_MSEC) / 1e3
        moment = self._clock.tick(stamp_s, arrived_s)
        if self._request.paced:
            time.sleep(max(0.0, self._started_s + moment.time_s - time.monotonic()))
            arrived_s = time.monotonic()
        self._desk.put(Shot(slot, moment.time_s, arrived_s, moment.jump, self._clock.kind, received=0, dropped=0))


def _scaled(frame: Frame, height: int) -> Frame:
    """A frame no higher than that; 0 leaves it as it is."""
    rows, columns = frame.shape[:2]
    if not 0 < height < rows:
        return frame
    size = (max(1, round(columns * height / rows)), height)
    return np.asarray(cv2.resize(frame, size, interpolation=cv2.INTER_AREA), np.uint8)


def _kind(request: Request, source: cv2.VideoCapture) -> Kind:
    # A camera's pictures one after the other have no timestamps: FFmpeg counts 25 of them a second.
    bare = request.opened.startswith(("http:", "https:")) and _fourcc(source) == "MJPG"
    return "arrival" if bare and request.clock == "auto" else request.clock


def _finite(source: cv2.VideoCapture) -> bool:
    return source.get(cv2.CAP_PROP_FRAME_COUNT) > 0


def _fps(source: cv2.VideoCapture) -> float | None:
    fps = source.get(cv2.CAP_PROP_FPS)
    return fps if math.isfinite(fps) and _CREDIBLE_FPS[0] <= fps <= _CREDIBLE_FPS[1] else None


def _fourcc(source: cv2.VideoCapture) -> str:
    code = int(source.get(cv2.CAP_PROP_FOURCC))
    letters = "".join(chr((code >> shift) & 0xFF) for shift in (0, 8, 16, 24)).strip("\0 ")
    return letters if letters and letters.isprintable() else "unknown"


def _listen(connection: socket.socket, desk: Desk) -> None:
    """Hears what the watch wants, and ends the process with it, whatever the source does."""
    try:
        while wanted := connection.recv(64):
            for byte in wanted:
                desk.want(byte)
    except OSError:
        pass
    desk.close()
    leaving = threading.Timer(_LEAVING_S, os._exit, (0,))
    leaving.daemon = True
    leaving.start()


def _take(connection: socket.socket) -> Request:
    line = b""
    while not line.endswith(b"\n"):
        more = connection.recv(_LINE)
        if not more:
            sys.exit(0)
        line += more
    return read_request(line)


def main() -> None:
    """Runs the process."""
    descriptor, memory = map(int, sys.argv[1:])
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the watch ends this process
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    cv2.setNumThreads(1)
    try:
        with socket.socket(fileno=descriptor) as connection:
            Capture(_take(connection), connection, memory).run()
    except (BrokenPipeError, ConnectionResetError):
        sys.exit(0)  # the watch has gone


if __name__ == "__main__":
    main()
