from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from app.balances.snapshots import Absence, AccountId, Entry, Snapshot
from app.cache.fallback import Plan, ServeInstead, Wait, plan
from app.cache.freshness import (
    FreshnessPolicy,
    Refuse,
    RequestDirectives,
    ServeFresh,
    ServeStaleAndRevalidate,
    decide,
)
from app.errors import BreakerOpen, MerchantInactive, TallygateError, Unreachable

NOW = 1_000_000
POLICY = FreshnessPolicy(fresh_ms=5, stale_while_revalidate_ms=20, stale_if_error_ms=60, absent_ms=10)
ASKED = RequestDirectives(NOW)
FAILURE, REFUSAL = Unreachable("x"), MerchantInactive("x")


def _snapshot(age: int) -> Snapshot:
    return Snapshot(AccountId("1"), NOW - age, True, ())


def _plan(
    entry: Entry | None,
    kept: Entry | None,
    directives: RequestDirectives = ASKED,
    *,
    failure: TallygateError | None = None,
    is_refused: bool = False,
) -> Plan:
    decision = decide(entry, NOW, POLICY, directives)
    return plan(decision, kept, NOW, POLICY, directives, failure=failure, is_refused=is_refused)


def _is_within(age: int, lifetime: int, directives: RequestDirectives, *limits: int | None) -> bool:
    fresh_enough = None if directives.min_fresh_ms is None else lifetime - directives.min_fresh_ms
    return all(limit is None or age <= limit for limit in (fresh_enough, *limits))


def _is_usable(entry: Entry | None, directives: RequestDirectives) -> bool:
    return entry is not None and not directives.no_cache and entry.as_of <= NOW + 1_000


def _model(
    entry: Entry | None,
    kept: Entry | None,
    directives: RequestDirectives,
    failure: TallygateError | None,
    is_refused: bool,
) -> Plan:
    """The rules of a read in plain arithmetic, in the order in which reads once applied them, one branch after another."""
    max_age, max_stale = directives.max_age_ms, directives.max_stale_ms
    if entry is not None and _is_usable(entry, directives):
        age, lifetime = max(0, NOW - entry.as_of), 5 if isinstance(entry, Snapshot) else 10
        tolerated = 0 if isinstance(entry, Absence) else 20 if max_stale is None else max_stale
        if _is_within(age, lifetime, directives, lifetime + tolerated, max_age):
            if age <= lifetime:
                return ServeFresh(entry)
            if not is_refused:
                return ServeStaleAndRevalidate(entry)
    if directives.only_if_cached:
        return Refuse()
    if is_refused:
        max_age = 5 if max_age is None else min(max_age, 5)
    if isinstance(kept, Snapshot) and _is_usable(kept, directives) and isinstance(failure, Unreachable):
        tolerated = 60 if max_stale is None else 5 + max_stale
        if _is_within(max(0, NOW - kept.as_of), 5, directives, 60, tolerated, max_age):
            return ServeInstead(kept, failure)
    return Wait(replace(directives, max_age_ms=max_age))


ages = st.integers(-1_003, -997) | st.integers(-1, 70)
entries = st.none() | st.builds(_snapshot, ages) | ages.map(lambda age: Absence(AccountId("1"), NOW - age))
limits = st.none() | st.integers(0, 70)
requests = st.builds(
    RequestDirectives, st.just(NOW), limits, limits, st.none() | st.integers(0, 12), st.booleans(), st.booleans()
)
failures = st.sampled_from([None, FAILURE, REFUSAL])


@given(entries, entries, requests, failures, st.booleans())
def test_the_plan_agrees_with_the_rules_one_by_one(
    entry: Entry | None,
    kept: Entry | None,
    directives: RequestDirectives,
    failure: TallygateError | None,
    is_refused: bool,
) -> None:
    planned = _plan(entry, kept, directives, failure=failure, is_refused=is_refused)
    assert planned == _model(entry, kept, directives, failure, is_refused)


def test_the_plan_agrees_with_the_rules_at_every_edge() -> None:
    at_edges = [None, *map(_snapshot, (-1_001, 0, 5, 6, 25, 26, 60, 61)), Absence(AccountId("1"), NOW - 10)]
    asked = [
        RequestDirectives(NOW, max_age, max_stale, min_fresh, no_cache, only_if_cached)
        for max_age, max_stale, min_fresh in product((None, 5, 25), (None, 0, 56), (None, 0))
        for no_cache, only_if_cached in product((False, True), repeat=2)
    ]
    for entry, kept, directives in product(at_edges, at_edges, asked):
        for failure, is_refused in product((None, FAILURE, REFUSAL), (False, True)):
            planned = _plan(entry, kept, directives, failure=failure, is_refused=is_refused)
            assert planned == _model(entry, kept, directives, failure, is_refused)


@pytest.mark.parametrize("failure", [None, FAILURE, REFUSAL])
@pytest.mark.parametrize("is_refused", [False, True])
def test_a_fresh_entry_is_served_whatever_failed(failure: TallygateError | None, is_refused: bool) -> None:
    entry = _snapshot(5)
    assert _plan(entry, entry, failure=failure, is_refused=is_refused) == ServeFresh(entry)


def test_a_stale_entry_covers_a_failure_but_no_refusal() -> None:
    entry, error = _snapshot(60), BreakerOpen("x")
    assert _plan(entry, entry, failure=error) == ServeInstead(entry, error)
    assert _plan(entry, entry, failure=REFUSAL) == Wait(ASKED)
    assert _plan(entry, entry, failure=error, is_refused=True) == Wait(RequestDirectives(NOW, max_age_ms=5))
