from hypothesis import given
from hypothesis import strategies as st

from app.resilience.rate_limiter import RateLimiter


def test_a_burst_goes_together_and_then_the_rate() -> None:
    rate = RateLimiter(10, 3)
    assert [round(rate.acquire(0, 10), 3) for _ in range(5)] == [0, 0, 0, 0.1, 0.2]


def test_without_patience_nothing_is_reserved_for_later() -> None:
    rate = RateLimiter(1, 1)
    assert [rate.acquire(0), rate.acquire(0), rate.acquire(0.5), rate.acquire(1)] == [0, 1, 0.5, 0]


def test_a_burst_below_one_still_lets_one_go() -> None:
    assert RateLimiter(0.5, 0.5).acquire(0) == 0


@given(st.floats(0.5, 100), st.floats(1, 20), st.lists(st.floats(0, 0.5), max_size=100), st.floats(0, 2))
def test_in_no_window_more_go_than_rate_and_burst(
    per_second: float, burst: float, gaps: list[float], patience: float
) -> None:
    rate, now, gone = RateLimiter(per_second, burst), 0.0, []
    for gap in gaps:
        now += gap
        wait = rate.acquire(now, patience)
        if wait <= patience:
            gone.append(now + wait)
    for first, start in enumerate(gone):
        for last in range(first, len(gone)):
            assert last - first + 1 <= (gone[last] - start) * per_second + burst + 1e-6


@given(st.lists(st.integers(1, 5), max_size=5), st.floats(0, 3))
def test_what_another_limiter_admits_is_spent_here_however_late_it_is(counts: list[int], after: float) -> None:
    spent, acquired = RateLimiter(1, 3), RateLimiter(1, 3)
    for now, count in enumerate(counts):
        spent.spend(now, count)
        for _ in range(count):
            acquired.acquire(now, patience_seconds=1000)
    end = len(counts) + after
    assert abs(spent.wait_seconds(end) - acquired.wait_seconds(end)) < 1e-6
    assert abs(spent.remaining(end) - acquired.remaining(end)) < 1e-6


def test_a_share_has_its_part_of_rate_and_burst() -> None:
    rate = RateLimiter(10, 4)
    assert [round(rate.acquire(0, 10, share=0.5), 3) for _ in range(4)] == [0, 0, 0.2, 0.4]


def test_after_a_rest_the_burst_is_gone() -> None:
    rate = RateLimiter(10, 4)
    rate.pause_until(5)
    assert [round(rate.acquire(now), 3) for now in (0, 4.9, 5, 5, 5.1)] == [5, 0.1, 0, 0.1, 0]
