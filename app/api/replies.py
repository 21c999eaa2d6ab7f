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
    """A finished answer: status, headers, body."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes


class RawReply(Struct, frozen=True):
    """A finished answer as sent."""

    status: int
    headers: RawHeaders
    body: bytes

    @classmethod
    def of(cls, reply: Reply) -> Self:
        """Encode a reply, with its length unless it is a 304 (RFC 9110, 8.6)."""
        headers = as_raw(reply.headers)
        if reply.status != 304:  # noqa: PLR2004
            headers.append((b"content-length", b"%d" % len(reply.body)))
        return cls(reply.status, headers, reply.body)


def as_raw(headers: Iterable[tuple[str, str]]) -> RawHeaders:
    """Encode headers."""
    return [(_encode_name(name), value.encode("latin-1")) for name, value in headers]


@lru_cache
def _encode_name(name: str) -> bytes:
    return name.lower().encode()


def as_body(body: bytes) -> HTTPResponseBodyEvent:
    """Make the ASGI message that ends an answer."""
    return {"type": "http.response.body", "body": body, "more_body": False}
