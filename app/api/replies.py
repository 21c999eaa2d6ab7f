"""What goes back over the wire, whichever way it came about."""

from msgspec import Struct


class Reply(Struct, frozen=True):
    """A finished answer: status, headers, body."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes
