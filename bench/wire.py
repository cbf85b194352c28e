"""How a clip is posted to a system, and where its answer says what is being done."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

_BOUNDARY = "kinema-bench"


@dataclass(frozen=True, slots=True)
class Parcel:
    """A request, ready to be sent."""

    path: str
    body: bytes
    headers: Mapping[str, str]


class Wire(Protocol):
    """One system's way; travels to the process that posts, so it is plain data."""

    def parcel(self, clip: bytes) -> Parcel:
        """The request that posts a clip."""

    def label(self, body: bytes) -> str:
        """The best label of an answer.

        Raises:
            ValueError, LookupError, TypeError: the answer is none.
        """


def _best(answer: Any) -> str:
    return str(answer["predictions"][0]["label"])


@dataclass(frozen=True, slots=True)
class Raw:
    """The bytes of the clip are the body."""

    path: str
    media_type: str = "video/mp4"

    def parcel(self, clip: bytes) -> Parcel:
        return Parcel(self.path, clip, {"Content-Type": self.media_type})

    def label(self, body: bytes) -> str:
        return _best(json.loads(body))


@dataclass(frozen=True, slots=True)
class Form:
    """The clip is a file of a form."""

    path: str
    field: str

    def parcel(self, clip: bytes) -> Parcel:
        head = (
            f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="{self.field}"; filename="clip.mp4"\r\n'
            "Content-Type: video/mp4\r\n\r\n"
        )
        body = head.encode() + clip + f"\r\n--{_BOUNDARY}--\r\n".encode()
        return Parcel(self.path, body, {"Content-Type": f"multipart/form-data; boundary={_BOUNDARY}"})

    def label(self, body: bytes) -> str:
        return _best(json.loads(body))


@dataclass(frozen=True, slots=True)
class OpenInference:
    """The Open Inference Protocol in JSON, the clip in base64, as MLServer has it."""

    path: str

    def parcel(self, clip: bytes) -> Parcel:
        tensor = {
            "name": "clip",
            "shape": [1, 1],
            "datatype": "BYTES",
            "parameters": {"content_type": "base64"},
            "data": [base64.b64encode(clip).decode()],
        }
        return Parcel(self.path, json.dumps({"inputs": [tensor]}).encode(), {"Content-Type": "application/json"})

    def label(self, body: bytes) -> str:
        return _best(json.loads(json.loads(body)["outputs"][0]["data"][0]))


@dataclass(frozen=True, slots=True)
class BinaryTensor:
    """The same protocol with Triton's extension: the clip follows the JSON as it is."""

    path: str

    def parcel(self, clip: bytes) -> Parcel:
        size = len(clip)
        tensor = {"name": "clip", "shape": [size], "datatype": "UINT8", "parameters": {"binary_data_size": size}}
        head = json.dumps({"inputs": [tensor]}).encode()
        headers = {"Inference-Header-Content-Length": str(len(head)), "Content-Type": "application/octet-stream"}
        return Parcel(self.path, head + clip, headers)

    def label(self, body: bytes) -> str:
        return _best(json.loads(json.loads(body)["outputs"][0]["data"][0]))
