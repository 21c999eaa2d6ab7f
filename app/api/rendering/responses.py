"""Balance answers: the body, how old it is, where it came from, and whether the caller has it already."""

from hashlib import blake2b
from typing import Final

import msgspec
from msgspec import UNSET, Struct

from app.api.problem_kinds import kind_of
from app.api.rendering.encodings import Coding
from app.api.rendering.representations import Representation
from app.api.replies import Reply
from app.api.requests.formats import MEDIA_TYPES, Format
from app.api.views.accounts import UpstreamEnvelope, View
from app.balances.snapshots import Snapshot
from app.cache.cache import Served, Source
from app.cache.freshness import FreshnessPolicy, age_ms, ttl_seconds

VARY_BY_CALLER: Final = "Authorization, X-BH-TOKEN"
VARY: Final = f"Accept, {VARY_BY_CALLER}"


class ResponsePreferences(Struct, frozen=True):
    """What a request says about the form of its answer; None where it says nothing."""

    if_none_match: str | None = None
    accept_encoding: str | None = None


def render_representation(snapshot: Snapshot, view: View) -> Representation:
    """Render a view of a snapshot. Of the upstream's own shape there is only JSON."""
    vary = VARY_BY_CALLER if isinstance(view, UpstreamEnvelope) else VARY
    return Representation(snapshot, MEDIA_TYPES[Format.JSON], vary, etag_of_view(view), msgspec.json.encode(view))


def render_response(
    representation: Representation, served: Served, policy: FreshnessPolicy, now: int, preferences: ResponsePreferences
) -> Reply:
    """Answer with a sheet, or, if the caller names its entity tag, a 304 (RFC 9110, 13.1.2). `now` is Unix milliseconds.

    Of `now`, only the whole seconds of the entry's age matter.
    """
    headers = [
        ("ETag", representation.etag),
        ("Age", str(age_ms(served.entry, now) // 1000)),
        ("Cache-Control", f"private, max-age={policy.fresh_ms // 1000}"),
        ("Cache-Status", _cache_status(served, ttl_seconds(served.entry, now, policy))),
        ("Vary", f"{representation.vary}, Accept-Encoding"),
    ]
    if preferences.if_none_match is not None and matches(preferences.if_none_match, representation.etag):
        return Reply(304, headers, b"")
    coding, body = representation.select_coding(preferences.accept_encoding)
    if coding is not Coding.IDENTITY:
        headers.append(("Content-Encoding", coding))
    return Reply(200, [*headers, ("Content-Type", representation.media_type)], body)


def etag_of_view(view: View) -> str:
    """Make the weak entity tag of what a view says, whenever it was said: an unchanged balance keeps its tag."""
    timeless = view if isinstance(view, UpstreamEnvelope) else msgspec.structs.replace(view, as_of=UNSET)
    return etag_of_bytes(msgspec.json.encode(timeless))


def etag_of_format(etag: str, form: Format) -> str:
    """Make the tag of one of the formats of a content: each is a representation of its own (RFC 9110, 8.8.3)."""
    return etag if form is Format.JSON else f'{etag[:-1]}-{form}"'


def etag_of_bytes(content: bytes) -> str:
    """Make the weak entity tag of a content."""
    return f'W/"{blake2b(content, digest_size=12).hexdigest()}"'


def matches(if_none_match: str, etag: str) -> bool:
    """Compare weakly with a list of entity tags (RFC 9110, 8.8.3.2). Our tags contain no comma."""
    opaque = etag.removeprefix("W/")
    named = (tag.strip().removeprefix("W/") for tag in if_none_match.split(","))
    return any(tag in {opaque, "*"} for tag in named)


def _cache_status(served: Served, ttl_seconds: int) -> str:
    """Tell how the cache was used (RFC 9211): a stale stand-in names the problem that it stands in for."""
    if served.covered_error is not None:
        return f"tallygate; fwd=stale; ttl={ttl_seconds}; detail={kind_of(served.covered_error).name}"
    match served.source:
        case Source.MEMORY | Source.REDIS:
            return f"tallygate; hit; ttl={ttl_seconds}; detail={served.source}"
        case Source.FETCHED:
            return f"tallygate; fwd=miss; stored; ttl={ttl_seconds}"
        case Source.COLLAPSED:
            return f"tallygate; fwd=miss; collapsed; stored; ttl={ttl_seconds}"
