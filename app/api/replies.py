"""Replies: finished answers, and the ASGI messages that send them."""

from collections.abc import Iterable
from functools import lru_cache
from typing import Final, Self

from litestar.types import HTTPResponseBodyEvent, HTTPResponseStartEvent
from msgspec import Struct

RawHeaders = list[tuple[bytes, bytes]]
Messages = tuple[HTTPResponseStartEvent, HTTPResponseBodyEvent]

SAFE: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
"""Headers of every answer, for browsers: no sniffing of types, no referrer, no embedding by other sites.

The last one does not concern reads by CORS (Fetch, 3.7).
"""


class Reply(Struct, frozen=True):
    """A finished answer as sent: status, headers, body. The headers include its length unless it is a 304 (RFC 9110, 8.6)."""

    status: int
    headers: RawHeaders
    body: bytes

    @classmethod
    def of(cls, status: int, headers: Iterable[tuple[str, str]], body: bytes) -> Self:
        """Encode the headers of an answer, and add its length."""
        length = [] if status == 304 else [content_length(body)]  # noqa: PLR2004
        return cls(status, as_raw(headers) + length, body)


def content_length(body: bytes) -> tuple[bytes, bytes]:
    """Return the header that says how long a body is."""
    return b"content-length", b"%d" % len(body)


def as_raw(headers: Iterable[tuple[str, str]]) -> RawHeaders:
    """Encode headers."""
    return [(_encode_name(name), value.encode("latin-1")) for name, value in headers]


@lru_cache
def _encode_name(name: str) -> bytes:
    return name.lower().encode()


def as_body(body: bytes) -> HTTPResponseBodyEvent:
    """Make the ASGI message that ends an answer."""
    return {"type": "http.response.body", "body": body, "more_body": False}
