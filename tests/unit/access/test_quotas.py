import pytest

from app.access.failed_logins import MAX_ADDRESSES, Failures
from app.access.quotas import Standing
from app.errors import TooFast


def _standing(rate: float | None = None, concurrency: int | None = None, workers: int = 1) -> Standing:
    standing = Standing(workers)
    standing.adopt(rate, concurrency)
    return standing


def test_so_many_requests_at_once_and_no_more() -> None:
    standing = _standing(concurrency=2)
    leave = standing.enter()
    standing.enter()
    with pytest.raises(TooFast):
        standing.enter()
    leave()
    leave()
    standing.enter()
    with pytest.raises(TooFast):
        standing.enter()


@pytest.mark.parametrize(("concurrency", "workers", "places"), [(None, 1, 1000), (None, 4, 250), (8, 4, 2), (1, 4, 1)])
def test_places_are_shared_between_workers_and_never_none(concurrency: int | None, workers: int, places: int) -> None:
    standing = _standing(concurrency=concurrency, workers=workers)
    for _ in range(places):
        standing.enter()
    with pytest.raises(TooFast):
        standing.enter()


def test_a_rated_caller_is_told_its_quota_and_what_is_left_of_it() -> None:
    standing = _standing(50)
    standing.count(0)
    assert standing.limits(0) == (
        ("RateLimit-Policy", '"default";q=50;w=1'),
        ("RateLimit", '"default";r=49;t=1'),
    )
    for _ in range(49):
        standing.count(0)
    assert standing.limits(0)[1] == ("RateLimit", '"default";r=0;t=1')
    assert standing.limits(1)[1] == ("RateLimit", '"default";r=50;t=0')


def test_a_slow_rate_is_one_request_in_a_longer_window() -> None:
    standing = _standing(0.1)
    standing.count(0)
    assert [text for _, text in standing.limits(0)] == ['"default";q=1;w=10', '"default";r=0;t=10']


def test_who_has_no_rate_is_told_of_none() -> None:
    assert _standing().limits(0) == ()


def test_an_address_that_guesses_is_slowed_down_and_no_other_one() -> None:
    now = 0.0
    failures = Failures(1, lambda: now)
    for _ in range(10):
        failures.check("192.0.2.1")
        failures.count("192.0.2.1")
    with pytest.raises(TooFast):
        failures.check("192.0.2.1")
    failures.check("192.0.2.2")
    now = 1.0
    failures.check("192.0.2.1")


def test_addresses_of_one_ipv6_network_are_one() -> None:
    failures = Failures(1, lambda: 0.0)
    for number in range(10):
        failures.count(f"2001:db8::{number + 1}")
    with pytest.raises(TooFast):
        failures.check("2001:db8::ffff")
    failures.check("2001:db8:1::1")


def test_addresses_are_remembered_up_to_a_number() -> None:
    failures = Failures(1, lambda: 0.0)
    for number in range(MAX_ADDRESSES + 10):
        failures.count(str(number))
    assert len(failures._rates) == MAX_ADDRESSES
