"""Headers of a request, each of which may come in several lines."""

from collections.abc import Iterable


def find_lines(headers: Iterable[tuple[bytes, bytes]], name: bytes) -> list[str]:
    """Give the values of a header, whose name is in lower case, line by line."""
    return [value.decode("latin-1") for each, value in headers if each == name]


def join_lines(headers: Iterable[tuple[bytes, bytes]], name: bytes) -> str | None:
    """Give a header that is a list whole, in however many lines it came (RFC 9110, 5.3); None if it did not come."""
    lines = find_lines(headers, name)
    return ",".join(lines) if lines else None
