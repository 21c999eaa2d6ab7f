"""Credentials: the one key or token of a request, in either of two headers."""

from collections.abc import Iterable

from app.errors import Unauthenticated


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
