"""Fallback rules: what a read gets where nothing fresh is stored. Pure; they refine the decisions of freshness.py."""

from msgspec import Struct

from app.balances.snapshots import Entry
from app.cache.freshness import (
    Decision,
    FreshnessPolicy,
    Refuse,
    RequestDirectives,
    ServeFresh,
    ServeStaleAndRevalidate,
    allows_stale_if_error,
    without_stale,
)
from app.errors import TallygateError, UpstreamRefusal


class ServeInstead(Struct, frozen=True, gc=False):
    """Serve this stale entry instead of an error (RFC 5861, 4)."""

    entry: Entry
    error: TallygateError


class Wait(Struct, frozen=True, gc=False):
    """Wait for a fetch whose result satisfies these directives."""

    directives: RequestDirectives


Plan = ServeFresh | ServeStaleAndRevalidate | ServeInstead | Wait | Refuse


def plan(
    decision: Decision,
    kept: Entry | None,
    now: int,
    policy: FreshnessPolicy,
    directives: RequestDirectives,
    *,
    failure: TallygateError | None,
    is_refused: bool,
) -> Plan:
    """Plan a read at `now` (Unix milliseconds), given the decision on what is stored.

    `failure` is why a fetch failed so recently that another is too early. While the upstream refuses the account, or
    everything, no stale answer hides that. `kept` is memory's entry, trusted or not: it may replace the failure.
    """
    match decision:
        case ServeFresh():
            return decision
        case ServeStaleAndRevalidate() if not is_refused:
            return decision
        case _ if directives.only_if_cached:
            return Refuse()
        case _:
            accepted = without_stale(directives, policy) if is_refused else directives
            return (failure and serve_instead(failure, kept, now, policy, accepted)) or Wait(accepted)


def serve_instead(
    error: TallygateError, kept: Entry | None, now: int, policy: FreshnessPolicy, directives: RequestDirectives
) -> ServeInstead | None:
    """Plan to serve `kept` instead of an error, if policy and directives allow that. A refusal is never replaced."""
    if kept is None or isinstance(error, UpstreamRefusal) or not allows_stale_if_error(kept, now, policy, directives):
        return None
    return ServeInstead(kept, error)
