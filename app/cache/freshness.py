"""Freshness decisions: how old an answer may be by policy and request directives (RFC 9111). Pure."""

from math import log

from msgspec import Struct
from msgspec.structs import replace

from app.balances.snapshots import Absence, Entry

ANY_STALENESS_MS = 2**50
"""`max-stale` without a value: any staleness is accepted (RFC 9111, 5.2.1.2)."""

CLOCKS_DIFFER_MS = 1_000
"""How far the clocks of replicas may differ. An entry from further in the future has no known age."""

_EARLY_FRACTION = 20
"""An early refresh gives up at most one part in so many of a lifetime."""


class FreshnessPolicy(Struct, frozen=True):
    """The service's own limits of age, in milliseconds (RFC 9111, 4.2, and RFC 5861)."""

    fresh_ms: int
    stale_while_revalidate_ms: int
    stale_if_error_ms: int
    absent_ms: int
    portfolio_stale_ms: int = 0
    """The age up to which a view of all merchants takes an entry."""

    takes_moved: bool = False
    """Whether an entry from before a move is served, as stale: a view of all merchants waits for none of them."""


class RequestDirectives(Struct, frozen=True):
    """What one request accepts (RFC 9111, 5.2.1), and when it was received (Unix milliseconds)."""

    received_at: int
    max_age_ms: int | None = None
    max_stale_ms: int | None = None
    min_fresh_ms: int | None = None
    no_cache: bool = False
    only_if_cached: bool = False

    @property
    def are_default(self) -> bool:
        """Whether the request names none, so that the service's policy counts."""
        return self == RequestDirectives(self.received_at)


class ServeFresh(Struct, frozen=True, gc=False):
    """Serve this entry: it is fresh."""

    entry: Entry


class ServeStaleAndRevalidate(Struct, frozen=True, gc=False):
    """Serve this entry, stale but not too old, and fetch a newer one in the background (RFC 5861, 3)."""

    entry: Entry


class Fetch(Struct, frozen=True, gc=False):
    """Fetch: nothing stored is acceptable."""


class Refuse(Struct, frozen=True, gc=False):
    """Refuse: nothing stored is acceptable, and the caller wants no fetch."""


Decision = ServeFresh | ServeStaleAndRevalidate | Fetch | Refuse


def age_ms(entry: Entry, now: int) -> int:
    """Return the age of an entry at `now` (Unix milliseconds), never negative."""
    return max(0, now - entry.as_of)


def latest_plausible_as_of(now: int) -> int:
    """Return the last `as_of` (Unix milliseconds) that is plausible at `now`."""
    return now + CLOCKS_DIFFER_MS


def decide(entry: Entry | None, now: int, policy: FreshnessPolicy, directives: RequestDirectives) -> Decision:
    """Decide what a request gets at `now` (Unix milliseconds) if `entry` is stored.

    An entry from before a move satisfies nobody, `max-stale` included. It may cover a failed fetch all the same.
    """
    if entry is not None and entry.as_of <= latest_plausible_as_of(now) and not directives.no_cache:
        age, lifetime = age_ms(entry, now), _lifetime(entry, policy)
        if age <= _oldest_servable(entry, lifetime, policy, directives):
            if not entry.is_moved:
                return ServeFresh(entry) if age <= lifetime else ServeStaleAndRevalidate(entry)
            if policy.takes_moved:
                return ServeStaleAndRevalidate(entry)
    return Refuse() if directives.only_if_cached else Fetch()


def satisfies(
    entry: Entry, fetch_began_at: int | None, now: int, policy: FreshnessPolicy, directives: RequestDirectives
) -> bool:
    """Return whether an entry that a caller waited for is acceptable.

    `fetch_began_at` is when the upstream was called, None if the entry was stored. An entry that arrived after the
    request is young enough, unless a move came in between. The answer to a call made for the request always is: else
    nobody would get an answer about an account that moves all the time.
    """
    was_asked_for = fetch_began_at is not None and fetch_began_at >= directives.received_at
    if was_asked_for or directives.no_cache or entry.is_moved:
        return was_asked_for
    return entry.as_of >= directives.received_at or not isinstance(decide(entry, now, policy, directives), Fetch)


def allows_stale_if_error(
    entry: Entry | None, now: int, policy: FreshnessPolicy, directives: RequestDirectives
) -> bool:
    """Return whether an entry may be served, marked stale, because a fetch failed (RFC 5861, 4)."""
    if entry is None or isinstance(entry, Absence) or directives.no_cache or entry.as_of > latest_plausible_as_of(now):
        return False
    limit = policy.stale_if_error_ms
    if directives.max_stale_ms is not None:
        limit = min(limit, policy.fresh_ms + directives.max_stale_ms)
    return age_ms(entry, now) <= _narrow(limit, policy.fresh_ms, directives)


def without_stale(directives: RequestDirectives, policy: FreshnessPolicy) -> RequestDirectives:
    """Narrow directives so that only a fresh entry satisfies them."""
    fresh_ms = policy.fresh_ms if directives.max_age_ms is None else min(directives.max_age_ms, policy.fresh_ms)
    return replace(directives, max_age_ms=fresh_ms)


def is_early_refresh_due(entry: Entry, now: int, policy: FreshnessPolicy, fetch_ms: float, chance: float) -> bool:
    """Return whether a read of a fresh entry should already refresh it.

    XFetch (Vattani, Chierichetti, Lowenstein: Optimal Probabilistic Cache Stampede Prevention, VLDB 2015): the longer
    a fetch takes (`fetch_ms`), the earlier. `chance`, drawn from (0, 1], spreads the readers. Only the last twentieth
    of a lifetime counts, so that a window still holds one call.
    """
    if now < early_refresh_from(entry, policy):
        return False
    return _lifetime(entry, policy) - age_ms(entry, now) <= -fetch_ms * log(chance)


def early_refresh_from(entry: Entry, policy: FreshnessPolicy) -> int:
    """Return the moment (Unix milliseconds) before which no early refresh is due, whatever the chance."""
    lifetime = _lifetime(entry, policy)
    return entry.as_of + lifetime - lifetime // _EARLY_FRACTION


def early_refresh_ms(policy: FreshnessPolicy) -> int:
    """Return the age of a snapshot before which no early refresh is due."""
    return policy.fresh_ms - policy.fresh_ms // _EARLY_FRACTION


def constant_age_span(entry: Entry, now: int, policy: FreshnessPolicy) -> tuple[int, int]:
    """Return the span around `now` (Unix milliseconds, end excluded) in which an entry makes the same answer.

    Within it, the age in whole seconds is constant, and directives that ask for nothing get `ServeFresh`. `now` is
    outside the span if they do not get that now.
    """
    since = entry.as_of + age_ms(entry, now) // 1000 * 1000
    return since, min(since + 1000, entry.as_of + _lifetime(entry, policy) + 1)


def oldest_acceptable_as_of(now: int, policy: FreshnessPolicy, directives: RequestDirectives) -> int:
    """Return the oldest `as_of` (Unix milliseconds) of a stored snapshot that satisfies a waiting caller."""
    if directives.no_cache:
        return now + ANY_STALENESS_MS
    stale = policy.stale_while_revalidate_ms if directives.max_stale_ms is None else directives.max_stale_ms
    limit = _narrow(policy.fresh_ms + stale, policy.fresh_ms, directives)
    return min(now - limit, directives.received_at)


def retention_ms(entry: Entry, policy: FreshnessPolicy) -> int:
    """Return the age until which the policy has any use for an entry."""
    if isinstance(entry, Absence):
        return policy.absent_ms
    return max(policy.fresh_ms + policy.stale_while_revalidate_ms, policy.stale_if_error_ms, policy.portfolio_stale_ms)


def ttl_seconds(entry: Entry, now: int, policy: FreshnessPolicy) -> int:
    """Return the seconds for which an entry stays fresh, in step with `Age`; negative if it is stale."""
    left = _lifetime(entry, policy) // 1000 - age_ms(entry, now) // 1000
    return min(left, -1) if entry.is_moved else left


def _lifetime(entry: Entry, policy: FreshnessPolicy) -> int:
    return policy.absent_ms if isinstance(entry, Absence) else policy.fresh_ms


def _oldest_servable(entry: Entry, lifetime: int, policy: FreshnessPolicy, directives: RequestDirectives) -> int:
    if isinstance(entry, Absence):
        stale = 0
    elif directives.max_stale_ms is None:
        stale = policy.stale_while_revalidate_ms
    else:
        stale = directives.max_stale_ms
    return _narrow(lifetime + stale, lifetime, directives)


def _narrow(limit: int, lifetime: int, directives: RequestDirectives) -> int:
    if directives.max_age_ms is not None:
        limit = min(limit, directives.max_age_ms)
    if directives.min_fresh_ms is not None:
        limit = min(limit, lifetime - directives.min_fresh_ms)
    return limit
