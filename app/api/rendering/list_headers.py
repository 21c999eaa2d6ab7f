"""What an answer about many merchants says about itself: its entity tag, how old it is, where its parts came from."""

from collections.abc import Sequence
from typing import Final
from urllib.parse import parse_qsl, quote, urlencode

import msgspec
from msgspec import UNSET

from app.accounts import AccountResult, Available
from app.api.rendering.responses import VARY, etag_of_bytes
from app.api.views.batch import BatchView
from app.api.views.merchants import MerchantsView
from app.api.views.parts import without_times
from app.api.views.portfolio import HoldersView, PagedView, ReconciliationView
from app.cache.cache import Source
from app.cache.freshness import FreshnessPolicy

_FIRST_PAGE_ONLY: Final = {"after", "sort"}


def link_next(path: str, query: bytes, after: str) -> tuple[str, str]:
    """Name the page that follows (RFC 8288), to a request for a path with this query."""
    kept = [(name, value) for name, value in parse_qsl(query.decode("latin-1")) if name not in _FIRST_PAGE_ONLY]
    return "Link", f'<{quote(path)}?{urlencode([*kept, ("after", after)])}>; rel="next"'


def list_headers(
    as_of: int | None, parts: Sequence[AccountResult] | None, policy: FreshnessPolicy, now: int
) -> list[tuple[str, str]]:
    """Say how old the oldest part is, which stands `as_of`, None if there is none; `now` and that are Unix milliseconds.

    `parts` are those that were read for this answer, None for a page of a version that is kept.
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
    """Tell the age at `now` of what stands `as_of` (Unix milliseconds), where that is a time."""
    return [] if as_of is None else [("Age", str(max(0, now - as_of) // 1000))]


def etag_of_result(view: ReconciliationView | MerchantsView) -> str:
    """Make the weak entity tag of what a result says, which a list of the same merchants keeps."""
    timeless = msgspec.structs.replace(view, directory_as_of=UNSET) if isinstance(view, MerchantsView) else view
    return etag_of_bytes(msgspec.json.encode(timeless))


def etag_of_list(view: PagedView | BatchView) -> str:
    """Make the weak entity tag of what a view says, whenever it was said: unchanged balances keep their tag."""
    if isinstance(view, HoldersView):
        timeless: PagedView | BatchView = msgspec.structs.replace(view, holders=without_times(view.holders or ()))
    else:
        timeless = msgspec.structs.replace(view, merchants=without_times(view.merchants or ()))
    timeless = msgspec.structs.replace(timeless, oldest_as_of=UNSET, newest_as_of=UNSET)
    if isinstance(timeless, BatchView):
        return etag_of_bytes(msgspec.json.encode(timeless))
    unnamed = msgspec.structs.replace(timeless, version=UNSET, next=UNSET, directory_as_of=UNSET, sweep=UNSET)
    return etag_of_bytes(msgspec.json.encode((unnamed, timeless.next is UNSET)))


def _cache_status(parts: Sequence[AccountResult] | None) -> str:
    """Tell how the cache was used (RFC 9211): a part that was fetched, failed or covers a failure makes it partial."""
    if parts is None:
        return "hit; detail=version"
    return "hit" if all(isinstance(part, Available) and _is_hit(part) for part in parts) else "fwd=partial"


def _is_hit(part: Available) -> bool:
    return part.served.source in {Source.MEMORY, Source.REDIS} and part.served.covered_error is None
