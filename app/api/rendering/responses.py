"""Responses about one account: representations of its views, their age, and 304 where the caller has the answer."""

from functools import lru_cache
from typing import Final

import msgspec

from app.accounts import Available
from app.api.problem_kinds import kind_of
from app.api.rendering.conditional import etag_of_format, etag_of_view, matches
from app.api.rendering.encodings import Coding
from app.api.rendering.representations import Representation
from app.api.rendering.view_tables import write
from app.api.replies import RawHeaders, Reply, as_raw, content_length
from app.api.requests.formats import MEDIA_TYPES, Format
from app.api.views.accounts import RowFilter, UpstreamEnvelope, View
from app.api.views.parts import PartView
from app.balances.snapshots import Snapshot
from app.cache.freshness import FreshnessPolicy, age_ms, ttl_seconds
from app.cache.served import Served, Source

VARY_BY_CALLER: Final = "Authorization, X-BH-TOKEN"
VARY: Final = f"Accept, {VARY_BY_CALLER}"


def render_representation(snapshot: Snapshot, view: View) -> Representation:
    """Render a view of a snapshot as JSON, the only format of the upstream's own shape."""
    vary = VARY_BY_CALLER if isinstance(view, UpstreamEnvelope) else VARY
    body = msgspec.json.encode(view)
    return Representation(snapshot, MEDIA_TYPES[Format.JSON], vary, etag_of_view(view, body), body)


def render_table(found: Available, keeps: RowFilter | None, table_format: Format) -> Representation:
    """Render the rows to keep as a table. It says whether they are stale."""
    part = PartView.of(found, keeps)
    etag = etag_of_format(etag_of_view(part, msgspec.json.encode(part)), table_format)
    return Representation(found.snapshot, MEDIA_TYPES[table_format], VARY, etag, write(part, table_format))


def render_response(
    representation: Representation,
    served: Served,
    policy: FreshnessPolicy,
    now: int,
    if_none_match: str | None,
    accept_encoding: str | None,
) -> Reply:
    """Respond with a representation, or with 304 if the caller names its tag. The headers are None where missing.

    Of `now` (Unix milliseconds), only the whole seconds of the entry's age matter.
    """
    age, cache_status = _age_headers(
        age_ms(served.entry, now) // 1000, _cache_status(served, ttl_seconds(served.entry, now, policy))
    )
    cache_control, vary = _lasting_headers(policy.fresh_ms // 1000, representation.vary)
    headers = [(b"etag", representation.etag.encode()), age, cache_control, cache_status, vary]
    if matches(if_none_match, representation.etag):
        return Reply(304, headers, b"")
    coding, body = representation.select_coding(accept_encoding)
    if coding is not Coding.IDENTITY:
        headers.append((b"content-encoding", coding.encode()))
    headers += (b"content-type", representation.media_type.encode()), content_length(body)
    return Reply(200, headers, body)


def with_age(headers: RawHeaders, snapshot: Snapshot, policy: FreshnessPolicy, now: int) -> RawHeaders:
    """Return the headers of `render_response` for the same answer from memory at `now` (Unix milliseconds)."""
    etag, _, cache_control, _, *others = headers
    age, cache_status = _age_headers(
        age_ms(snapshot, now) // 1000, _hit(Source.MEMORY, ttl_seconds(snapshot, now, policy))
    )
    return [etag, age, cache_control, cache_status, *others]


@lru_cache(1_024)  # many answers have the same ones
def _age_headers(age_seconds: int, cache_status: str) -> RawHeaders:
    return as_raw([("Age", str(age_seconds)), ("Cache-Status", cache_status)])


@lru_cache
def _lasting_headers(fresh_seconds: int, vary: str) -> RawHeaders:
    return as_raw([("Cache-Control", f"private, max-age={fresh_seconds}"), ("Vary", f"{vary}, Accept-Encoding")])


def _cache_status(served: Served, ttl_seconds: int) -> str:
    """Describe how the cache was used (RFC 9211). A stale answer names the problem that it hides."""
    if served.covered_error is not None:
        return f"tallygate; fwd=stale; ttl={ttl_seconds}; detail={kind_of(served.covered_error).name}"
    match served.source:
        case Source.MEMORY | Source.REDIS:
            return _hit(served.source, ttl_seconds)
        case Source.FETCHED:
            return f"tallygate; fwd=miss; stored; ttl={ttl_seconds}"
        case Source.COLLAPSED:
            return f"tallygate; fwd=miss; collapsed; stored; ttl={ttl_seconds}"


def _hit(source: Source, ttl_seconds: int) -> str:
    return f"tallygate; hit; ttl={ttl_seconds}; detail={source}"
