"""How old an answer may be: one pure judgement over an entry, the policy and what the caller asked for."""

from math import log

from msgspec import Struct
from msgspec.structs import replace

from app.balances.snapshots import Absence, Entry

ANY_STALENESS_MS = 2**50
"""The `max-stale` without a value: as stale as you like (RFC 9111, 5.2.1.2)."""

CLOCKS_DIFFER_MS = 1_000
"""By how much the clocks of replicas may differ. What is from a later time than this has an age that nobody knows."""

_EARLY_FRACTION = 20
"""At most this part of a lifetime is given away by refreshing early."""


class FreshnessPolicy(Struct, frozen=True):
    """How the service treats age by itself; all in milliseconds (RFC 9111, 4.2, and RFC 5861)."""

    fresh_ms: int
    stale_while_revalidate_ms: int
    stale_if_error_ms: int
    absent_ms: int


class RequestDirectives(Struct, frozen=True):
    """What one request accepts (RFC 9111, 5.2.1), and when it came (Unix milliseconds)."""

    received_at: int
    max_age_ms: int | None = None
    max_stale_ms: int | None = None
    min_fresh_ms: int | None = None
    no_cache: bool = False
    only_if_cached: bool = False


class ServeFresh(Struct, frozen=True, gc=False):
    """Answer this: it is fresh."""

    entry: Entry


class ServeStaleAndRevalidate(Struct, frozen=True, gc=False):
    """Answer this at once, it is not too old; and fetch a newer one behind."""

    entry: Entry


class Fetch(Struct, frozen=True, gc=False):
    """Nothing stored will do: wait for a fetch."""


class Refuse(Struct, frozen=True, gc=False):
    """Nothing stored will do, and the caller wants no fetch."""


Decision = ServeFresh | ServeStaleAndRevalidate | Fetch | Refuse


def age_ms(entry: Entry, now: int) -> int:
    """Tell how old an entry is at `now` (Unix milliseconds), whoever stored it; never negative."""
    return max(0, now - entry.as_of)


def latest_plausible_as_of(now: int) -> int:
    """Give the last `as_of` (Unix milliseconds) that may be believed at `now`."""
    return now + CLOCKS_DIFFER_MS


def decide(entry: Entry | None, now: int, policy: FreshnessPolicy, directives: RequestDirectives) -> Decision:
    """Say what a request gets at `now` (Unix milliseconds) if `entry` is what is stored."""
    if entry is not None and entry.as_of <= latest_plausible_as_of(now) and not directives.no_cache:
        age, lifetime = age_ms(entry, now), _lifetime(entry, policy)
        if age <= _oldest_servable(entry, lifetime, policy, directives):
            return ServeFresh(entry) if age <= lifetime else ServeStaleAndRevalidate(entry)
    return Refuse() if directives.only_if_cached else Fetch()


def satisfies(
    entry: Entry, fetch_began_at: int | None, now: int, policy: FreshnessPolicy, directives: RequestDirectives
) -> bool:
    """Tell whether an entry that a caller waited for is what it may have.

    `fetch_began_at` is when the upstream was asked for it, None if it came out of a store. What arrived after the
    request came is as young as can be had.
    """
    if directives.no_cache:
        return fetch_began_at is not None and fetch_began_at >= directives.received_at
    return entry.as_of >= directives.received_at or not isinstance(decide(entry, now, policy, directives), Fetch)


def allows_stale_if_error(
    entry: Entry | None, now: int, policy: FreshnessPolicy, directives: RequestDirectives
) -> bool:
    """Tell whether an entry may be answered, marked stale, although a fetch failed (RFC 5861, 4)."""
    if entry is None or isinstance(entry, Absence) or directives.no_cache or entry.as_of > latest_plausible_as_of(now):
        return False
    limit = policy.stale_if_error_ms
    if directives.max_stale_ms is not None:
        limit = min(limit, policy.fresh_ms + directives.max_stale_ms)
    return age_ms(entry, now) <= _narrow(limit, policy.fresh_ms, directives)


def without_stale(directives: RequestDirectives, policy: FreshnessPolicy) -> RequestDirectives:
    """Narrow terms to what is fresh."""
    fresh_ms = policy.fresh_ms if directives.max_age_ms is None else min(directives.max_age_ms, policy.fresh_ms)
    return replace(directives, max_age_ms=fresh_ms)


def is_early_refresh_due(entry: Entry, now: int, policy: FreshnessPolicy, fetch_ms: float, chance: float) -> bool:
    """Tell whether a fresh entry that is read should be refreshed already.

    XFetch (Vattani, Chierichetti, Lowenstein: Optimal Probabilistic Cache Stampede Prevention, VLDB 2015): the earlier,
    the longer a fetch takes (`fetch_ms`), and at different moments for different readers (`luck`, drawn from (0, 1]).
    At most the last twentieth of the lifetime is given away, so that a window still holds one call.
    """
    if now < early_refresh_from(entry, policy):
        return False
    return _lifetime(entry, policy) - age_ms(entry, now) <= -fetch_ms * log(chance)


def early_refresh_from(entry: Entry, policy: FreshnessPolicy) -> int:
    """Give the moment (Unix milliseconds) before which `is_due_early` says no, whatever the luck."""
    lifetime = _lifetime(entry, policy)
    return entry.as_of + lifetime - lifetime // _EARLY_FRACTION


def constant_age_span(entry: Entry, now: int, policy: FreshnessPolicy) -> tuple[int, int]:
    """Give the span around `now` in which the answer that an entry makes stays the same, to its whole seconds of age.

    From the first moment until before the second one (Unix milliseconds), `judge` says `Answer` to terms that ask for
    nothing. `now` is outside where that is not so at `now`.
    """
    since = entry.as_of + age_ms(entry, now) // 1000 * 1000
    return since, min(since + 1000, entry.as_of + _lifetime(entry, policy) + 1)


def oldest_acceptable_as_of(now: int, policy: FreshnessPolicy, directives: RequestDirectives) -> int:
    """Give the `as_of` from which on a stored snapshot may be answered at once to somebody who waits for one."""
    if directives.no_cache:
        return now + ANY_STALENESS_MS
    stale = policy.stale_while_revalidate_ms if directives.max_stale_ms is None else directives.max_stale_ms
    limit = _narrow(policy.fresh_ms + stale, policy.fresh_ms, directives)
    return min(now - limit, directives.received_at)


def retention_ms(entry: Entry, policy: FreshnessPolicy) -> int:
    """Tell until which age the policy has any use for an entry."""
    if isinstance(entry, Absence):
        return policy.absent_ms
    return max(policy.fresh_ms + policy.stale_while_revalidate_ms, policy.stale_if_error_ms)


def ttl_seconds(entry: Entry, now: int, policy: FreshnessPolicy) -> int:
    """Give the seconds for which an entry stays fresh, in step with `Age`; negative when it is stale already."""
    return _lifetime(entry, policy) // 1000 - age_ms(entry, now) // 1000


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
