"""Cache-Control of requests, parsed strictly (RFC 9111, 5.2.1)."""

import re
from functools import lru_cache
from typing import Final

from app.cache.freshness import ANY_STALENESS_MS, RequestDirectives
from app.errors import InvalidRequest

_WITH_SECONDS: Final = frozenset({"max-age", "max-stale", "min-fresh"})
_WITHOUT_VALUE: Final = frozenset({"no-cache", "only-if-cached"})

_KEPT_CHARACTERS: Final = 64
"""How long a header may be whose directives are kept."""

_Terms = tuple[int | None, int | None, int | None, bool, bool]
"""The directives in the order of `RequestDirectives`."""

_DIRECTIVE: Final = re.compile(
    r'[\s,]*([!#$%&\'*+.^_`|~0-9A-Za-z-]+)(?:=(?:"((?:[^"\\]|\\.)*)"|([^\s,;"]*)))?\s*(?:,|\Z)'
)


def parse_request_directives(cache_control: str, received_at: int, fresh_ms: int) -> RequestDirectives:
    """Parse the header of a request received at `received_at` (Unix milliseconds). Answers are fresh for `fresh_ms`.

    Unknown directives are ignored, as the RFC requires. A known one that is unreadable, doubled or impossible to meet
    raises `InvalidRequest`: a guess could serve an older answer than the caller accepts.
    """
    if not cache_control:
        return RequestDirectives(received_at)
    parse = _parse_again if len(cache_control) <= _KEPT_CHARACTERS else _parse
    return RequestDirectives(received_at, *parse(cache_control, fresh_ms))


def _parse(cache_control: str, fresh_ms: int) -> _Terms:
    found = _split(cache_control)
    min_fresh_ms = _milliseconds(found, "min-fresh")
    if min_fresh_ms is not None and min_fresh_ms > fresh_ms:
        raise InvalidRequest(
            f"Cache-Control: min-fresh can never be met above {fresh_ms // 1000}: no answer is fresh longer."
        )
    return (
        _milliseconds(found, "max-age"),
        ANY_STALENESS_MS if found.get("max-stale", "") is None else _milliseconds(found, "max-stale"),
        min_fresh_ms,
        "no-cache" in found,
        "only-if-cached" in found,
    )


_parse_again: Final = lru_cache(256)(_parse)


def _split(header: str) -> dict[str, str | None]:
    """Return the known directives with their values."""
    found: dict[str, str | None] = {}
    position = 0
    header = header.rstrip(", \t")
    while position < len(header):
        match = _DIRECTIVE.match(header, position)
        if match is None:
            raise InvalidRequest("Cache-Control: cannot be read.")
        name, value = match[1].lower(), match[2] if match[2] is not None else match[3]
        if name in found:
            raise InvalidRequest(f"Cache-Control: {name} comes twice.")
        if name in _WITH_SECONDS or name in _WITHOUT_VALUE:
            found[name] = value
        position = match.end()
    return found


def _milliseconds(found: dict[str, str | None], name: str) -> int | None:
    if name not in found:
        return None
    value = found[name]
    if value is None or not (value.isascii() and value.isdigit()):
        raise InvalidRequest(f"Cache-Control: {name} wants a number of seconds.")
    return min(int(value[:10]) * 1000, ANY_STALENESS_MS)
