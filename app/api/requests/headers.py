"""Request headers, and the one credential of a request, which may come in either of two headers."""

from collections.abc import Iterable

from app.errors import Unauthenticated


def find_lines(headers: Iterable[tuple[bytes, bytes]], name: bytes) -> list[str]:
    """Return the values of a header line by line. `name` is in lower case."""
    return [value.decode("latin-1") for each, value in headers if each == name]


def join_lines(headers: Iterable[tuple[bytes, bytes]], name: bytes) -> str | None:
    """Return a list header whole, however many lines it has (RFC 9110, 5.3); None if it is missing."""
    lines = find_lines(headers, name)
    return ",".join(lines) if lines else None


def find_credential(authorization: Iterable[str], tokens: Iterable[str]) -> str | None:
    """Find a bearer token (RFC 6750, 2.1), or a key in the upstream's own header. Raises `Unauthenticated` for several."""
    keys = set(tokens)
    for value in authorization:
        scheme, _, key = value.partition(" ")
        if scheme.lower() == "bearer":
            keys.add(key.strip(" "))
    if len(keys) > 1:
        raise Unauthenticated("Send one key, not several.")
    return next(iter(keys), None)
