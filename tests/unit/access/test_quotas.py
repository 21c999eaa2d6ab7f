import pytest

from app.access.failed_logins import MAX_ADDRESSES, FailedLogins
from app.access.quotas import CallerQuota
from app.errors import TooFast


def _quota(rate: float | None = None, concurrency: int | None = None, workers: int = 1) -> CallerQuota:
    quota = CallerQuota(workers)
    quota.configure(rate, concurrency)
    return quota


def test_so_many_requests_at_once_and_no_more() -> None:
    quota = _quota(concurrency=2)
    leave = quota.acquire_slot()
    quota.acquire_slot()
    with pytest.raises(TooFast):
        quota.acquire_slot()
    leave()
    leave()
    quota.acquire_slot()
    with pytest.raises(TooFast):
        quota.acquire_slot()


@pytest.mark.parametrize(("concurrency", "workers", "places"), [(None, 1, 1000), (None, 4, 250), (8, 4, 2), (1, 4, 1)])
def test_places_are_shared_between_workers_and_never_none(concurrency: int | None, workers: int, places: int) -> None:
    quota = _quota(concurrency=concurrency, workers=workers)
    for _ in range(places):
        quota.acquire_slot()
    with pytest.raises(TooFast):
        quota.acquire_slot()


def test_a_rated_caller_sees_its_quota_and_what_is_left_of_it() -> None:
    quota = _quota(50)
    quota.count_request(0)
    assert quota.limits(0) == (
        ("RateLimit-Policy", '"default";q=50;w=1'),
        ("RateLimit", '"default";r=49;t=1'),
    )
    for _ in range(49):
        quota.count_request(0)
    assert quota.limits(0)[1] == ("RateLimit", '"default";r=0;t=1')
    assert quota.limits(1)[1] == ("RateLimit", '"default";r=50;t=0')


def test_a_slow_rate_is_one_request_in_a_longer_window() -> None:
    quota = _quota(0.1)
    quota.count_request(0)
    assert [text for _, text in quota.limits(0)] == ['"default";q=1;w=10', '"default";r=0;t=10']


def test_a_caller_without_a_rate_sees_none() -> None:
    assert _quota().limits(0) == ()


def test_an_address_that_guesses_is_slowed_down_and_no_other_one() -> None:
    now = 0.0
    failures = FailedLogins(1, lambda: now)
    for _ in range(10):
        failures.check("192.0.2.1")
        failures.count("192.0.2.1")
    with pytest.raises(TooFast):
        failures.check("192.0.2.1")
    failures.check("192.0.2.2")
    now = 1.0
    failures.check("192.0.2.1")


def test_addresses_of_one_ipv6_network_are_one() -> None:
    failures = FailedLogins(1, lambda: 0.0)
    for number in range(10):
        failures.count(f"2001:db8::{number + 1}")
    with pytest.raises(TooFast):
        failures.check("2001:db8::ffff")
    failures.check("2001:db8:1::1")


def test_addresses_are_remembered_up_to_a_number() -> None:
    failures = FailedLogins(1, lambda: 0.0)
    for number in range(MAX_ADDRESSES + 10):
        failures.count(str(number))
    assert len(failures._rates) == MAX_ADDRESSES
