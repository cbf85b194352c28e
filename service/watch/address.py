"""What is watched: a camera, a file, what is piped in, or something on the network."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from service.errors import SourceLost

Kind = Literal["camera", "file", "pipe", "network"]

# What FFmpeg may open for a source of this scheme: a playlist or a description cannot make it read something else.
_PROTOCOLS = {
    "rtsp": "rtsp,rtp,tcp,udp",
    "rtsps": "rtsp,rtsps,rtp,srtp,tcp,tls,udp",
    "http": "http,https,tcp,tls,crypto",
    "https": "https,http,tcp,tls,crypto",
    "udp": "udp,rtp",
    "tcp": "tcp",
}
_OPTIONS = {
    # Over UDP the first lost packet smears the picture until the next key frame, and firewalls eat the rest.
    "rtsp": "rtsp_transport;tcp",
    "rtsps": "rtsp_transport;tcp",
    # FFmpeg would give up where more comes than it reads.
    "udp": "overrun_nonfatal;1",
}


@dataclass(frozen=True, slots=True)
class Address:
    """Where frames come from. Made by `parse`.

    Attributes:
        kind: what it is.
        opened: what is handed to OpenCV; a camera's number in digits.
        told: what people and programs are told, without what may be a secret.
        options: for FFmpeg, as OpenCV takes them.
    """

    kind: Kind
    opened: str
    told: str
    options: str = ""

    @property
    def playlist(self) -> bool:
        """Whether it is HLS, of which seconds come at once."""
        return self.kind == "network" and urlsplit(self.opened).path.endswith(".m3u8")

    @property
    def live(self) -> bool:
        """Whether frames come as they are taken, unless one knows better."""
        return self.kind in {"camera", "network"}

    @classmethod
    def parse(cls, text: str) -> Address:
        """Reads what was given on the command line.

        Raises:
            SourceLost: it can be nothing that is watched.
        """
        if text == "-":
            return cls("pipe", "pipe:0", "standard input", "protocol_whitelist;pipe")
        camera = re.fullmatch(r"(?:/dev/video)?(\d+)", text)
        if camera:
            return cls("camera", camera[1], f"camera {camera[1]}")
        if "://" in text:
            return cls._of_url(text)
        path = Path(text)
        if path.is_dir() or not path.exists():
            raise SourceLost(
                f"{text} is {'a directory' if path.is_dir() else 'not there'}",
                "Give a camera's number, a file, a URL, or - for what is piped in.",
            )
        # Without the prefix FFmpeg would take a name like `concat:x` for a protocol.
        return cls("file", f"file:{path}", text, "protocol_whitelist;file")

    @classmethod
    def _of_url(cls, text: str) -> Address:
        scheme = text.partition("://")[0].lower()
        if scheme not in _PROTOCOLS:
            raise SourceLost(
                f"sources by {scheme}:// are not known", f"Known are {', '.join(f'{one}://' for one in _PROTOCOLS)}."
            )
        options = f"protocol_whitelist;{_PROTOCOLS[scheme]}"
        if scheme in _OPTIONS:
            options += f"|{_OPTIONS[scheme]}"
        return cls("network", text, masked(text), options)


def masked(url: str) -> str:
    """A URL without the user, the password and the parameters in it, any of which may be a secret."""
    scheme, _, rest = url.partition("://")
    # The last @: a password may hold one, and a slash.
    _, user, shown = rest.rpartition("@")
    place, *parameters = re.split(r"[?#]", shown, maxsplit=1)
    return f"{scheme}://{'***@' if user else ''}{place}{'?***' if parameters else ''}"
