"""What goes back over the wire, whichever way it came about."""

from typing import Self

from msgspec import Struct

RawHeaders = list[tuple[bytes, bytes]]


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
        headers = [(name.lower().encode(), value.encode("latin-1")) for name, value in reply.headers]
        if reply.status != 304:  # noqa: PLR2004
            headers.append((b"content-length", b"%d" % len(reply.body)))
        return cls(reply.status, headers, reply.body)
