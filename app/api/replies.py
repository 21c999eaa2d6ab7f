"""What goes back over the wire, whichever way it came about."""

from collections.abc import Iterable
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
"""What every answer tells a browser: take it for what it says it is, name no page to others, embed it nowhere else.

The last one does not concern pages that read answers by CORS (Fetch, 3.7): those are `Browsers`' business.
"""


class Reply(Struct, frozen=True):
    """A finished answer: status, headers, body."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes


class RawReply(Struct, frozen=True):
    """A finished answer as it goes over the wire."""

    status: int
    headers: RawHeaders
    body: bytes

    @classmethod
    def of(cls, reply: Reply) -> Self:
        """Write a reply, and its length unless that says nothing (RFC 9110, 8.6)."""
        headers = as_raw(reply.headers)
        if reply.status != 304:  # noqa: PLR2004
            headers.append((b"content-length", b"%d" % len(reply.body)))
        return cls(reply.status, headers, reply.body)


def as_raw(headers: Iterable[tuple[str, str]]) -> RawHeaders:
    """Write headers as they go over the wire."""
    return [(name.lower().encode(), value.encode("latin-1")) for name, value in headers]


def as_start(status: int, headers: RawHeaders) -> HTTPResponseStartEvent:
    """Give the message of ASGI that begins an answer."""
    return {"type": "http.response.start", "status": status, "headers": headers}


def as_body(body: bytes) -> HTTPResponseBodyEvent:
    """Give the message of ASGI that ends an answer."""
    return {"type": "http.response.body", "body": body, "more_body": False}
