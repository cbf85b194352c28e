"""Uploads around the limit, in whatever pieces they come: no byte more than the limit is read."""

import asyncio
from typing import Any

from fastapi import Request
from hypothesis import given
from hypothesis import strategies as st

from service.errors import KinemaError, LimitExceeded, MalformedRequest
from service.http.upload import _MULTIPART_OVERHEAD, Bounds, read_clip

LIMIT = 1000
BOUNDS = Bounds(max_bytes=LIMIT, memory_bytes=LIMIT // 2, stall_s=5, timeout_s=5)


class Sender:
    """A client that sends pieces, and notes how many bytes were asked of it."""

    def __init__(self, pieces: list[bytes]) -> None:
        self._pieces = list(pieces)
        self.sent = 0

    async def receive(self) -> dict[str, Any]:
        piece = self._pieces.pop(0) if self._pieces else b""
        self.sent += len(piece)
        return {"type": "http.request", "body": piece, "more_body": bool(self._pieces)}


def read(pieces: list[bytes], content_type: str, declared: int | None) -> tuple[bytes | KinemaError, Sender]:
    headers = [(b"content-type", content_type.encode())]
    if declared is not None:
        headers.append((b"content-length", str(declared).encode()))
    sender = Sender(pieces)
    request = Request({"type": "http", "method": "POST", "headers": headers}, sender.receive)
    try:
        with asyncio.run(read_clip(request, BOUNDS)) as clip:
            return clip.open().read(), sender
    except KinemaError as error:
        return error, sender


def cut(data: bytes, sizes: list[int]) -> list[bytes]:
    pieces = []
    for size in sizes:
        pieces.append(data[:size])
        data = data[size:]
    return [*pieces, data]


sizes = st.lists(st.integers(0, 400), max_size=8)
lengths = st.integers(0, 2 * LIMIT) | st.integers(LIMIT - 2, LIMIT + 2)


@given(lengths, sizes, st.booleans())
def test_a_raw_body_is_read_whole_or_refused_at_the_limit(length: int, pieces: list[int], declares: bool) -> None:
    data = bytes(index % 251 for index in range(length))
    outcome, sender = read(cut(data, pieces), "video/mp4", length if declares else None)
    if length == 0:
        assert isinstance(outcome, MalformedRequest)
    elif length <= LIMIT:
        assert outcome == data
    else:
        assert isinstance(outcome, LimitExceeded)
        largest = max(len(piece) for piece in cut(data, pieces))
        assert sender.sent == 0 if declares else sender.sent <= LIMIT + largest


@given(lengths, sizes)
def test_a_form_is_read_whole_or_refused_at_the_limit(length: int, pieces: list[int]) -> None:
    data = bytes(index % 251 for index in range(length))
    head = b'--b\r\nContent-Disposition: form-data; name="file"; filename="c.mp4"\r\n\r\n'
    body = head + data + b"\r\n--b--\r\n"
    outcome, _ = read(cut(body, pieces), "multipart/form-data; boundary=b", len(body))
    if length == 0:
        assert isinstance(outcome, MalformedRequest)
    elif length <= LIMIT:
        assert outcome == data
    else:
        assert isinstance(outcome, LimitExceeded)
        assert str(length) in outcome.detail


@given(st.binary(max_size=300), sizes)
def test_a_form_of_any_bytes_is_refused_in_words(body: bytes, pieces: list[int]) -> None:
    outcome, _ = read(cut(b"--b\r\n" + body, pieces), "multipart/form-data; boundary=b", None)
    assert isinstance(outcome, KinemaError)
    assert outcome.detail
    assert outcome.advice


@given(st.text(max_size=40).filter(str.isprintable), st.binary(min_size=1, max_size=50))
def test_a_content_type_of_any_text_is_answered_in_words(content_type: str, body: bytes) -> None:
    outcome, _ = read([body], content_type, None)
    assert outcome.detail if isinstance(outcome, KinemaError) else outcome == body


def test_a_form_is_allowed_its_own_few_bytes_beyond_the_clips_limit() -> None:
    assert 0 < _MULTIPART_OVERHEAD < 1_000_000
