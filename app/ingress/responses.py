"""Heads of responses, as they go over the wire (RFC 9112)."""

from collections.abc import Iterable
from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus
from typing import Final

Header = tuple[bytes, bytes]

_STATUS_LINES: Final = {each.value: f"HTTP/1.1 {each.value} {each.phrase}\r\n".encode() for each in HTTPStatus}


@lru_cache(2)
def date_line(unix_seconds: int) -> bytes:
    """Return the header line that says when an answer was sent, with its end of line."""
    return f"date: {formatdate(unix_seconds, usegmt=True)}\r\n".encode()


def write_head(status: int, headers: Iterable[Header]) -> bytes:
    """Write the status line and headers of an answer, without the empty line at their end.

    Raises `ValueError` for a header with a line break or NUL in it, and `KeyError` for a status that HTTP does not have.
    """
    headers = tuple(headers)
    head, count = _STATUS_LINES[status] + write_lines(headers), 1 + len(headers)
    if head.count(b"\n") != count or head.count(b"\r") != count or b"\0" in head:
        raise ValueError("a header of an answer has a line break in it")
    return head


def write_lines(headers: Iterable[Header]) -> bytes:
    """Write header lines, each with its end."""
    return b"".join([b"%b: %b\r\n" % header for header in headers])


def write_refusal(status: int, unix_seconds: int) -> bytes:
    """Write the answer to what is no request. It has no body, and ends the connection."""
    headers = ((b"content-length", b"0"), (b"connection", b"close"))
    return write_head(status, headers) + date_line(unix_seconds) + b"\r\n"
