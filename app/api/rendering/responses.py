"""Balance answers: the body, how old it is, where it came from, and whether the caller has it already."""

from hashlib import blake2b
from typing import Final

import msgspec
from msgspec import UNSET, Struct

from app.api.rendering.encodings import Coding
from app.api.rendering.problems import kind_of
from app.api.rendering.representations import Sheet
from app.api.replies import Reply
from app.api.requests.formats import MEDIA_TYPES, Format
from app.api.views.accounts import UpstreamEnvelope, View
from app.balances.snapshots import Snapshot
from app.cache.cache import Served, Source
from app.cache.freshness import Policy, age_ms, lifetime_seconds

VARY_BY_CALLER: Final = "Authorization, X-BH-TOKEN"
VARY: Final = f"Accept, {VARY_BY_CALLER}"


class Wish(Struct, frozen=True):
    """What a request says about the form of its answer; None where it says nothing."""

    if_none_match: str | None = None
    accept_encoding: str | None = None


def render_sheet(snapshot: Snapshot, view: View) -> Sheet:
    """Render a view of a snapshot. Of the upstream's own shape there is only JSON."""
    vary = VARY_BY_CALLER if isinstance(view, UpstreamEnvelope) else VARY
    return Sheet(snapshot, MEDIA_TYPES[Format.JSON], vary, tag_content(view), msgspec.json.encode(view))


def render_answer(sheet: Sheet, served: Served, policy: Policy, now: int, wish: Wish) -> Reply:
    """Answer with a sheet, or, if the caller names its entity tag, a 304 (RFC 9110, 13.1.2). `now` is Unix milliseconds.

    Of `now`, only the whole seconds of the entry's age matter.
    """
    headers = [
        ("ETag", sheet.etag),
        ("Age", str(age_ms(served.entry, now) // 1000)),
        ("Cache-Control", f"private, max-age={policy.fresh_ms // 1000}"),
        ("Cache-Status", _cache_status(served, lifetime_seconds(served.entry, now, policy))),
        ("Vary", f"{sheet.vary}, Accept-Encoding"),
    ]
    if wish.if_none_match is not None and matches(wish.if_none_match, sheet.etag):
        return Reply(304, headers, b"")
    coding, body = sheet.choose(wish.accept_encoding)
    if coding is not Coding.IDENTITY:
        headers.append(("Content-Encoding", coding))
    return Reply(200, [*headers, ("Content-Type", sheet.media_type)], body)


def tag_content(view: View) -> str:
    """Make the weak entity tag of what a view says, whenever it was said: an unchanged balance keeps its tag."""
    timeless = view if isinstance(view, UpstreamEnvelope) else msgspec.structs.replace(view, as_of=UNSET)
    return tag_bytes(msgspec.json.encode(timeless))


def tag_format(etag: str, form: Format) -> str:
    """Make the tag of one of the formats of a content: each is a representation of its own (RFC 9110, 8.8.3)."""
    return etag if form is Format.JSON else f'{etag[:-1]}-{form}"'


def tag_bytes(content: bytes) -> str:
    """Make the weak entity tag of a content."""
    return f'W/"{blake2b(content, digest_size=12).hexdigest()}"'


def matches(if_none_match: str, etag: str) -> bool:
    """Compare weakly with a list of entity tags (RFC 9110, 8.8.3.2). Our tags contain no comma."""
    opaque = etag.removeprefix("W/")
    named = (tag.strip().removeprefix("W/") for tag in if_none_match.split(","))
    return any(tag in {opaque, "*"} for tag in named)


def _cache_status(served: Served, ttl_seconds: int) -> str:
    """Tell how the cache was used (RFC 9211): a stale stand-in names the problem that it stands in for."""
    if served.instead_of is not None:
        return f"tallygate; fwd=stale; ttl={ttl_seconds}; detail={kind_of(served.instead_of).name}"
    match served.source:
        case Source.MEMORY | Source.REDIS:
            return f"tallygate; hit; ttl={ttl_seconds}; detail={served.source}"
        case Source.FETCHED:
            return f"tallygate; fwd=miss; stored; ttl={ttl_seconds}"
        case Source.COLLAPSED:
            return f"tallygate; fwd=miss; collapsed; stored; ttl={ttl_seconds}"
