"""Headers of answers about many merchants: how old they are, where the parts came from, and the link to the next page."""

from collections.abc import Sequence
from typing import Final
from urllib.parse import parse_qsl, quote, urlencode

from app.accounts import AccountResult, Available
from app.api.rendering.responses import VARY
from app.cache.freshness import FreshnessPolicy
from app.cache.served import Source

_FIRST_PAGE_ONLY: Final = {"after", "sort"}


def link_next(path: str, query: bytes, after: str) -> tuple[str, str]:
    """Link to the page after this one (RFC 8288), for a request with this path (see `route_path`) and query."""
    kept = [(name, value) for name, value in parse_qsl(query.decode("latin-1")) if name not in _FIRST_PAGE_ONLY]
    return "Link", f'<{quote(path, safe="/%")}?{urlencode([*kept, ("after", after)])}>; rel="next"'


def list_headers(
    as_of: int | None, parts: Sequence[AccountResult] | None, policy: FreshnessPolicy, now: int
) -> list[tuple[str, str]]:
    """Describe an answer whose oldest part is of `as_of`, None without parts; both times are Unix milliseconds.

    `parts` were read for this answer. They are None for a page of a stored version.
    """
    age = None if as_of is None else max(0, now - as_of) // 1000
    used = f"tallygate; {_cache_status(parts)}"
    return [
        *age_header(as_of, now),
        ("Cache-Control", f"private, max-age={policy.fresh_ms // 1000}"),
        ("Cache-Status", used if age is None else f"{used}; ttl={policy.fresh_ms // 1000 - age}"),
        ("Vary", VARY),
    ]


def age_header(as_of: int | None, now: int) -> list[tuple[str, str]]:
    """Return the age at `now` of what is of `as_of` (Unix milliseconds), if that is known."""
    return [] if as_of is None else [("Age", str(max(0, now - as_of) // 1000))]


def _cache_status(parts: Sequence[AccountResult] | None) -> str:
    """Describe how the cache was used (RFC 9211). A part that was fetched, failed or hides a failure makes it partial."""
    if parts is None:
        return "hit; detail=version"
    served = [part.served for part in parts if isinstance(part, Available) and part.served.covered_error is None]
    hits = [one for one in served if one.source in {Source.MEMORY, Source.REDIS}]
    return "hit" if len(hits) == len(parts) else "fwd=partial"
