"""Conditional requests: weak entity tags, and whether a request names the one of its answer (RFC 9110, 8.8.3 and 13.1.2).

A tag leaves out when the balances were true, so that an unchanged balance keeps its tag.
"""

from hashlib import blake2b

import msgspec
from msgspec import UNSET

from app.api.requests.formats import Format
from app.api.views.accounts import UpstreamEnvelope, View
from app.api.views.batch import BatchView
from app.api.views.merchants import MerchantsView
from app.api.views.parts import PartView, without_times
from app.api.views.past_breakdown import PastBreakdownView
from app.api.views.portfolio import HoldersView, PagedView, ReconciliationView


def etag_of_view(view: View | PartView, as_json: bytes) -> str:
    """Make the tag of a view of one account that was encoded `as_json`."""
    if isinstance(view, UpstreamEnvelope) or view.as_of is UNSET:
        return etag_of_bytes(as_json)
    # no text can contain this, since JSON escapes its quotes, and other fields follow
    return etag_of_bytes(as_json.replace(b'"asOf":"%b",' % view.as_of.encode(), b"", 1))


def etag_of_list(view: PagedView | BatchView) -> str:
    """Make the tag of a view of many merchants."""
    name = "holders" if isinstance(view, HoldersView) else "merchants"
    items = without_times(getattr(view, name) or ())
    timeless = msgspec.structs.replace(view, **{name: items}, oldest_as_of=UNSET, newest_as_of=UNSET)
    if isinstance(timeless, BatchView):
        return etag_of_bytes(msgspec.json.encode(timeless))
    unnamed = msgspec.structs.replace(timeless, version=UNSET, next=UNSET, directory_as_of=UNSET, sweep=UNSET)
    return etag_of_bytes(msgspec.json.encode((unnamed, timeless.next is UNSET)))


def etag_of_past(view: PastBreakdownView) -> str:
    """Make the tag of a page of the past: times are content there. A newer directory of the same merchants keeps it."""
    unnamed = msgspec.structs.replace(view, version=UNSET, next=UNSET, directory_as_of=UNSET)
    return etag_of_bytes(msgspec.json.encode((unnamed, view.next is UNSET)))


def etag_of_result(view: ReconciliationView | MerchantsView) -> str:
    """Make the tag of a result. A newer directory of the same merchants keeps it."""
    timeless = msgspec.structs.replace(view, directory_as_of=UNSET) if isinstance(view, MerchantsView) else view
    return etag_of_bytes(msgspec.json.encode(timeless))


def etag_of_format(etag: str, content_format: Format) -> str:
    """Make the tag of one format of a content: each format is a representation of its own (RFC 9110, 8.8.3)."""
    return etag if content_format is Format.JSON else f'{etag[:-1]}-{content_format}"'


def etag_of_bytes(content: bytes) -> str:
    """Make the tag of a content."""
    return f'W/"{blake2b(content, digest_size=12).hexdigest()}"'


def matches(if_none_match: str | None, etag: str) -> bool:
    """Compare weakly with a list of entity tags (RFC 9110, 8.8.3.2), None for no list. Our tags contain no comma."""
    if if_none_match is None:
        return False
    opaque = etag.removeprefix("W/")
    named = (tag.strip().removeprefix("W/") for tag in if_none_match.split(","))
    return any(tag in {opaque, "*"} for tag in named)
