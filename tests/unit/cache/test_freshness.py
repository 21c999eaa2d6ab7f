import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.balances.snapshots import Absence, AccountId, Entry, Snapshot
from app.cache.freshness import (
    ANY_STALENESS_MS,
    Fetch,
    FreshnessPolicy,
    Refuse,
    RequestDirectives,
    ServeFresh,
    ServeStaleAndRevalidate,
    age_ms,
    allows_stale_if_error,
    constant_age_span,
    decide,
    early_refresh_from,
    is_early_refresh_due,
    latest_plausible_as_of,
    oldest_acceptable_as_of,
    satisfies,
    ttl_seconds,
)

NOW = 1_000_000_000
POLICY = FreshnessPolicy(fresh_ms=5_000, stale_while_revalidate_ms=30_000, stale_if_error_ms=600_000, absent_ms=10_000)


def _snapshot(age_seconds: float) -> Snapshot:
    return Snapshot(AccountId("1"), NOW - round(age_seconds * 1000), True, ())


def _absence(age_seconds: float) -> Absence:
    return Absence(AccountId("1"), NOW - round(age_seconds * 1000))


def _directives(**seconds: float) -> RequestDirectives:
    return msgspec.structs.replace(
        RequestDirectives(NOW), **{f"{name}_ms": round(value * 1000) for name, value in seconds.items()}
    )


def _verdict(entry: Entry | None, directives: RequestDirectives) -> type:
    return type(decide(entry, NOW, POLICY, directives))


@pytest.mark.parametrize(
    ("age", "verdict"),
    [
        (0, ServeFresh),
        (5, ServeFresh),
        (5.001, ServeStaleAndRevalidate),
        (35, ServeStaleAndRevalidate),
        (35.001, Fetch),
        (700, Fetch),
    ],
)
def test_without_directives_the_policy_decides(age: float, verdict: type) -> None:
    assert _verdict(_snapshot(age), _directives()) is verdict


def test_what_is_absent_is_fetched() -> None:
    assert _verdict(None, _directives()) is Fetch


@pytest.mark.parametrize(("age", "verdict"), [(0, ServeFresh), (10, ServeFresh), (10.001, Fetch)])
def test_that_there_is_no_such_merchant_is_remembered_for_its_own_time(age: float, verdict: type) -> None:
    assert _verdict(_absence(age), _directives()) is verdict
    assert _verdict(_absence(age), _directives(max_stale=100)) is verdict


@pytest.mark.parametrize(
    ("age", "directives", "verdict"),
    [
        (3, {"max_age": 2}, Fetch),
        (2, {"max_age": 2}, ServeFresh),
        (20, {"max_age": 20}, ServeStaleAndRevalidate),
        (20, {"max_age": 19}, Fetch),
        (100, {"max_age": 1000}, Fetch),
        (6, {"max_stale": 0}, Fetch),
        (8, {"max_stale": 3}, ServeStaleAndRevalidate),
        (9, {"max_stale": 3}, Fetch),
        (500, {"max_stale": 1000}, ServeStaleAndRevalidate),
        (500, {"max_stale": 1000, "max_age": 499}, Fetch),
        (2, {"min_fresh": 3}, ServeFresh),
        (3, {"min_fresh": 3}, Fetch),
        (2, {"min_fresh": 3, "max_stale": 100}, ServeFresh),
        (3, {"min_fresh": 3, "max_stale": 100}, Fetch),
        (0, {"max_age": 0}, ServeFresh),
        (0.001, {"max_age": 0}, Fetch),
    ],
)
def test_directives_are_obeyed_also_together(age: float, directives: dict[str, float], verdict: type) -> None:
    assert _verdict(_snapshot(age), _directives(**directives)) is verdict


def test_any_staleness_is_accepted_where_max_stale_has_no_value() -> None:
    directives = RequestDirectives(received_at=NOW, max_stale_ms=ANY_STALENESS_MS)
    assert _verdict(_snapshot(10**6), directives) is ServeStaleAndRevalidate


def test_no_cache_wants_a_fetch_that_began_after_it_came() -> None:
    directives = RequestDirectives(received_at=NOW, no_cache=True)
    assert _verdict(_snapshot(0), directives) is Fetch
    assert not satisfies(_snapshot(0), None, NOW, POLICY, directives)
    assert not satisfies(_snapshot(0), NOW - 1, NOW, POLICY, directives)
    assert satisfies(_snapshot(0), NOW, NOW, POLICY, directives)


@pytest.mark.parametrize(("entry", "verdict"), [(_snapshot(5), ServeFresh), (_snapshot(36), Refuse), (None, Refuse)])
def test_only_if_cached_never_fetches(entry: Entry | None, verdict: type) -> None:
    assert _verdict(entry, RequestDirectives(received_at=NOW, only_if_cached=True)) is verdict
    assert _verdict(entry, RequestDirectives(received_at=NOW, only_if_cached=True, no_cache=True)) is Refuse


@pytest.mark.parametrize(
    ("entry", "directives", "covered"),
    [
        (_snapshot(600), _directives(), True),
        (_snapshot(600.001), _directives(), False),
        (_snapshot(50), _directives(max_age=49), False),
        (_snapshot(50), _directives(max_stale=44), False),
        (_snapshot(50), _directives(max_stale=45), True),
        (_snapshot(3), _directives(min_fresh=3), False),
        (_snapshot(1), RequestDirectives(received_at=NOW, no_cache=True), False),
        (_absence(1), _directives(), False),
        (None, _directives(), False),
    ],
)
def test_a_stale_answer_covers_a_failure_within_policy_and_terms(
    entry: Entry | None, directives: RequestDirectives, covered: bool
) -> None:
    assert allows_stale_if_error(entry, NOW, POLICY, directives) is covered


limits = st.none() | st.integers(0, 700_000)


@given(st.integers(0, 1_000_000), limits, limits, st.none() | st.integers(0, 5_000), st.booleans(), st.booleans())
def test_nobody_gets_an_older_answer_than_accepted(
    age: int, max_age: int | None, max_stale: int | None, min_fresh: int | None, no_cache: bool, only_if_cached: bool
) -> None:
    entry = Snapshot(AccountId("1"), NOW - age, True, ())
    directives = RequestDirectives(NOW, max_age, max_stale, min_fresh, no_cache, only_if_cached)
    answered = isinstance(decide(entry, NOW, POLICY, directives), ServeFresh | ServeStaleAndRevalidate)
    if answered or allows_stale_if_error(entry, NOW, POLICY, directives):
        assert not no_cache
        assert max_age is None or age <= max_age
        assert max_stale is None or age <= POLICY.fresh_ms + max_stale
        assert min_fresh is None or age + min_fresh <= POLICY.fresh_ms
        assert age <= POLICY.stale_if_error_ms or max_stale is not None


def test_what_arrived_after_the_request_satisfies_whatever_its_age() -> None:
    assert satisfies(_snapshot(0), None, NOW + 60_000, POLICY, RequestDirectives(received_at=NOW, max_age_ms=0))
    assert not satisfies(_snapshot(1), None, NOW, POLICY, RequestDirectives(received_at=NOW, max_age_ms=0))


def test_time_to_live_and_age_add_up_to_the_lifetime() -> None:
    assert [ttl_seconds(_snapshot(age), NOW, POLICY) for age in (0, 0.4, 1, 4.9, 5, 65)] == [5, 5, 4, 1, 0, -60]
    assert ttl_seconds(_absence(4), NOW, POLICY) == 6


@pytest.mark.parametrize(("ahead", "is_believed"), [(0.5, True), (1, True), (1.001, False), (3600, False)])
def test_an_entry_from_a_clock_a_second_ahead_of_ours_is_new_and_from_a_later_one_it_is_none(
    ahead: float, is_believed: bool
) -> None:
    assert _verdict(_snapshot(-ahead), _directives()) is (ServeFresh if is_believed else Fetch)
    assert allows_stale_if_error(_snapshot(-ahead), NOW, POLICY, _directives()) is is_believed
    assert (_snapshot(-ahead).as_of <= latest_plausible_as_of(NOW)) is is_believed


@pytest.mark.parametrize(
    ("age", "fetch_ms", "chance", "due"),
    [
        (4.0, 1e9, 1e-9, False),
        (4.749, 1e9, 1e-9, False),
        (4.75, 1e9, 1e-9, True),
        (4.9, 100, 0.36, True),
        (4.9, 100, 0.37, False),
        (4.99, 0, 0.5, False),
        (5, 0, 1, True),
    ],
)
def test_a_fresh_entry_is_refreshed_early_the_longer_a_fetch_takes_and_within_a_twentieth(
    age: float, fetch_ms: float, chance: float, due: bool
) -> None:
    assert is_early_refresh_due(_snapshot(age), NOW, POLICY, fetch_ms, chance) is due


@given(st.integers(-3_000, 40_000), st.integers(0, 12_000), st.booleans())
def test_the_age_is_constant_in_the_whole_span_and_no_longer(age: int, fresh_ms: int, is_there: bool) -> None:
    policy = FreshnessPolicy(fresh_ms, 30_000, 600_000, fresh_ms)
    entry: Entry = Snapshot(AccountId("1"), NOW - age, True, ()) if is_there else Absence(AccountId("1"), NOW - age)

    def at(now: int) -> tuple[type, int, bool]:
        return type(decide(entry, now, policy, RequestDirectives(now))), age_ms(entry, now) // 1000, now >= entry.as_of

    def is_constant(now: int) -> bool:
        return at(now) == (ServeFresh, age_ms(entry, NOW) // 1000, True)

    since, until = constant_age_span(entry, NOW, policy)
    if since <= NOW < until:
        assert all(map(is_constant, (since, NOW, until - 1)))
        assert not is_constant(since - 1)
        assert not is_constant(until)
    else:
        assert not is_constant(NOW)


@given(st.integers(0, 40_000), st.integers(0, 12_000))
def test_no_early_refresh_is_due_before_the_earliest_moment(age: int, fresh_ms: int) -> None:
    policy, entry = FreshnessPolicy(fresh_ms, 30_000, 600_000, fresh_ms), _snapshot(age / 1000)
    moment = early_refresh_from(entry, policy)
    assert [is_early_refresh_due(entry, now, policy, 1e9, 1e-9) for now in (moment - 1, moment)] == [False, True]


@given(st.integers(0, 100_000), limits, limits, st.none() | st.integers(0, 5_000), st.booleans())
def test_an_entry_from_the_oldest_acceptable_time_on_satisfies(
    age: int, max_age: int | None, max_stale: int | None, min_fresh: int | None, no_cache: bool
) -> None:
    directives = RequestDirectives(NOW, max_age, max_stale, min_fresh, no_cache)
    entry = Snapshot(AccountId("1"), NOW - age, True, ())
    assert (entry.as_of >= oldest_acceptable_as_of(NOW, POLICY, directives)) == satisfies(
        entry, None, NOW, POLICY, directives
    )
