"""The credential of a request: one key or token, in either of two headers."""

from collections.abc import Iterable

from app.errors import Unauthenticated


def find_credential(authorization: Iterable[str], tokens: Iterable[str]) -> str | None:
    """Find the one key of a request, as a bearer token (RFC 6750, 2.1) or as programs of the upstream send it."""
    keys = set(tokens)
    for value in authorization:
        scheme, _, key = value.partition(" ")
        if scheme.lower() == "bearer":
            keys.add(key.strip(" "))
    if len(keys) > 1:
        raise Unauthenticated("Send one key, not several.")
    return next(iter(keys), None)
