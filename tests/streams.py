"""Real sources on the network, each a process or a thread of its own that can be cut off and brought back.

What they send is a picture that is red for two seconds, then blue for two.
"""

import functools
import http.server
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Protocol, Self

import cv2
import numpy as np

from tests.require import need
from tests.samples import ROOT

# Debian's GStreamer is bound to Debian's Python.
_PYTHON = "/usr/bin/python3"
_GSTREAMER = "import gi; gi.require_version('GstRtspServer', '1.0'); from gi.repository import Gst; Gst.init(None); "
_ELEMENTS = "assert all(map(Gst.ElementFactory.find, ('x264enc', 'rtph264pay')))"
PICTURE = "color=c=red:size=160x120:rate={},drawbox=color=blue:t=fill:enable='gte(mod(t,4),2)'"
_H264 = ["-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-pix_fmt", "yuv420p", "-g", "12"]
_MPEGTS = [*_H264, "-f", "mpegts"]


def free_port() -> int:
    """A port that nobody listens on, on the loopback."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def need_ffmpeg() -> None:
    """Skips the test where FFmpeg is not installed."""
    need("ffmpeg", shutil.which("ffmpeg") is not None, "it serves the streams that are watched")


def need_rtsp() -> None:
    """Skips the test where GStreamer's RTSP server is not installed."""
    done = subprocess.run([_PYTHON, "-c", _GSTREAMER + _ELEMENTS], capture_output=True, check=False)
    need("rtsp", done.returncode == 0, "gir1.2-gst-rtsp-server-1.0 serves the streams that are watched")


class Sender(Protocol):
    """Something that sends; use it in a `with` block."""

    url: str

    def cut(self) -> None:
        """Ends it at once, as a power cut would."""

    def restore(self) -> None:
        """Begins to send, for the first time or again."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class _Sender:
    def cut(self) -> None:
        raise NotImplementedError

    def restore(self) -> None:
        raise NotImplementedError

    def __enter__(self) -> Self:
        self.restore()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.cut()


class ProcessSender(_Sender):
    """A sender that is a process."""

    def __init__(self, url: str, *command: str) -> None:
        self.url = url
        self._command = command
        self._process: subprocess.Popen[bytes] | None = None

    def restore(self) -> None:
        self._process = subprocess.Popen(
            self._command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=ROOT
        )

    def cut(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def hang(self) -> None:
        """Stops the process where it is: its sockets stay open, and nothing comes."""
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGSTOP)


def mpegts_udp() -> ProcessSender:
    """FFmpeg sends MPEG-TS to a port, whether anyone hears it or not."""
    need_ffmpeg()
    url = f"udp://127.0.0.1:{free_port()}"
    return ProcessSender(url, *_ffmpeg(), *_MPEGTS, f"{url}?pkt_size=1316")


def mpegts_http() -> ProcessSender:
    """FFmpeg serves MPEG-TS to the first who asks."""
    need_ffmpeg()
    url = f"http://127.0.0.1:{free_port()}/live.ts"
    return ProcessSender(url, *_ffmpeg(), *_MPEGTS, "-listen", "1", url)


def mpegts_tcp() -> ProcessSender:
    """FFmpeg sends MPEG-TS to the first who connects."""
    need_ffmpeg()
    url = f"tcp://127.0.0.1:{free_port()}"
    return ProcessSender(url, *_ffmpeg(), *_MPEGTS, f"{url}?listen=1")


def hls(folder: Path) -> ProcessSender:
    """FFmpeg writes a playlist and its segments, one a second, to a folder."""
    need_ffmpeg()
    form = ["-f", "hls", "-hls_time", "1", "-hls_list_size", "4", "-hls_flags", "delete_segments"]
    return ProcessSender("", *_ffmpeg(), *_H264, *form, str(folder / "live.m3u8"))


def rtsp() -> ProcessSender:
    """GStreamer's RTSP server."""
    need_rtsp()
    port = free_port()
    return ProcessSender(
        f"rtsp://user:secret@127.0.0.1:{port}/cam", _PYTHON, str(Path(__file__).parent / "rtsp_server.py"), str(port)
    )


def _ffmpeg() -> list[str]:
    return ["ffmpeg", "-v", "error", "-re", "-f", "lavfi", "-i", PICTURE.format(25)]


class MjpegHttp(_Sender):
    """A camera of the cheaper kind: JPEG pictures one after the other over HTTP, without any time.

    Args:
        fps: pictures a second.
        grows_s: after so long the pictures of each connection are larger; 0 for never.
    """

    def __init__(self, fps: float = 10, grows_s: float = 0) -> None:
        self._port = free_port()
        self.url = f"http://127.0.0.1:{self._port}/mjpeg?token=secret"
        self._fps = fps
        self._grows_s = grows_s
        self._server: _Cutting | None = None

    def restore(self) -> None:
        handler = type("Handler", (_Mjpeg,), {"fps": self._fps, "grows_s": self._grows_s})
        self._server = _Cutting(("127.0.0.1", self._port), handler)
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def cut(self) -> None:
        if self._server is not None:
            self._server.cut()
            self._server = None


class Folder(_Sender):
    """A web server with the files of a folder.

    Args:
        folder: which.
    """

    def __init__(self, folder: Path) -> None:
        self._port = free_port()
        self.url = f"http://127.0.0.1:{self._port}"
        self._folder = folder
        self._server: _Cutting | None = None

    def restore(self) -> None:
        handler = functools.partial(_Files, directory=str(self._folder))
        self._server = _Cutting(("127.0.0.1", self._port), handler)
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def cut(self) -> None:
        if self._server is not None:
            self._server.cut()
            self._server = None


class _Cutting(http.server.ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, address: tuple[str, int], handler: Callable[..., http.server.BaseHTTPRequestHandler]) -> None:
        super().__init__(address, handler)
        self.gone = threading.Event()

    def cut(self) -> None:
        self.gone.set()
        self.shutdown()
        self.server_close()

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that hangs up is none."""


class _Files(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name that is overridden
        """Tests are quiet."""


class _Mjpeg(http.server.BaseHTTPRequestHandler):
    fps: ClassVar[float]
    grows_s: ClassVar[float]

    def do_GET(self) -> None:
        assert isinstance(self.server, _Cutting)
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
        self.end_headers()
        began_s, sent = time.monotonic(), 0
        while not self.server.gone.wait(max(0.0, began_s + sent / self.fps - time.monotonic())):
            colour = (0, 0, 255) if sent / self.fps % 4 < 2 else (255, 0, 0)
            size = (240, 320) if 0 < self.grows_s < sent / self.fps else (120, 160)
            jpeg = cv2.imencode(".jpg", np.full((*size, 3), colour, np.uint8))[1].tobytes()
            head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n"
            self.wfile.write(head.encode() + jpeg + b"\r\n")
            sent += 1

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name that is overridden
        """Tests are quiet."""
