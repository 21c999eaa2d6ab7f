"""What a page says about itself: its entity tag, how old it is, where its parts came from."""

import msgspec
from msgspec import UNSET

from app.api.answers import VARY, tag_bytes
from app.api.paging import Page, PagedView
from app.api.portfolio_views import BreakdownView, without_times
from app.cache.cache import Source
from app.cache.freshness import Policy
from app.portfolio.parts import Parts


def page_headers(page: Page, parts: Parts | None, policy: Policy, now: int) -> list[tuple[str, str]]:
    """Say what the page's view says about its age, that of its oldest part. `now` is Unix milliseconds."""
    age = max(0, now - page.as_of) // 1000
    return [
        ("Age", str(age)),
        ("Cache-Control", f"private, max-age={policy.fresh_ms // 1000}"),
        ("Cache-Status", f"tallygate; {_came_by(parts)}; ttl={policy.fresh_ms // 1000 - age}"),
        ("Vary", VARY),
    ]


def tag_page(view: PagedView) -> str:
    """Make the weak entity tag of what a page says, whenever it was said: unchanged balances keep their tag."""
    if isinstance(view, BreakdownView):
        timeless: PagedView = msgspec.structs.replace(view, merchants=tuple(without_times(view.merchants or ())))
    else:
        timeless = msgspec.structs.replace(view, holders=tuple(without_times(view.holders or ())))
    unnamed = msgspec.structs.replace(timeless, version=UNSET, next=UNSET, oldest_as_of=UNSET, newest_as_of=UNSET)
    return tag_bytes(msgspec.json.encode((unnamed, view.next is UNSET)))


def _came_by(parts: Parts | None) -> str:
    """Tell how the cache was used (RFC 9211): a part that was fetched or failed makes it partial."""
    if parts is None:
        return "hit; detail=version"
    stored = all(part.served.source in {Source.MEMORY, Source.REDIS} for part in parts.known)
    covered = any(part.served.instead_of is not None for part in parts.known)
    return "hit" if stored and not covered and parts.is_complete else "fwd=partial"
