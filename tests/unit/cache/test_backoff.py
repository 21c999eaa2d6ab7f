import asyncio

import pytest

from app.balances.snapshots import AccountId
from app.cache.backoff import Backoff
from app.errors import AccessRefused, Unreachable, UpstreamBusy
from tests.support.replica import KEY
from tests.support.virtual_time import monotonic, virtual_runtime

ERROR = Unreachable("x")


def _backoff(capacity: int = 10, random: float = 0.0) -> Backoff:
    return Backoff(capacity, virtual_runtime(lambda: random))


async def _pause(backoff: Backoff) -> float:
    """Record a failure and measure its pause in seconds, to an eighth."""
    backoff.record_failure(KEY, ERROR)
    began = monotonic()
    for _ in range(1000):
        if backoff.failure(KEY) is None:
            break
        await asyncio.sleep(1 / 8)
    return monotonic() - began


async def _fail() -> None:
    raise Unreachable("z")


async def test_an_account_that_never_failed_may_be_tried() -> None:
    backoff = _backoff()
    assert backoff.failure(KEY) is None
    backoff.record_success(KEY)
    assert backoff.failure(KEY) is None


async def test_pauses_begin_with_half_a_second_and_double_up_to_half_a_minute() -> None:
    backoff = _backoff()
    assert [await _pause(backoff) for _ in range(9)] == [0.5, 1, 2, 4, 8, 16, 30, 30, 30]


async def test_a_thousand_failures_pause_no_longer() -> None:
    backoff = _backoff()
    for _ in range(1000):
        backoff.record_failure(KEY, ERROR)
    assert await _pause(backoff) == 30


async def test_chance_shortens_a_pause_by_up_to_a_quarter() -> None:
    for random, pauses in ((0.0, [0.5, 1, 2]), (0.5, [0.5, 0.875, 1.75]), (0.999, [0.5, 0.875, 1.625])):
        backoff = _backoff(random=random)
        assert [await _pause(backoff) for _ in pauses] == pauses


async def test_the_last_error_is_returned() -> None:
    backoff = _backoff()
    backoff.record_failure(KEY, ERROR)
    busy = UpstreamBusy("y", retry_after_seconds=3)
    backoff.record_failure(KEY, busy)
    assert backoff.failure(KEY) is busy


async def test_a_success_forgets_all_failures() -> None:
    backoff = _backoff()
    for _ in range(5):
        backoff.record_failure(KEY, ERROR)
    backoff.record_success(KEY)
    assert backoff.failure(KEY) is None
    assert await _pause(backoff) == 0.5


async def test_accounts_fail_independently() -> None:
    backoff = _backoff()
    backoff.record_failure(KEY, ERROR)
    assert backoff.failure(AccountId("2")) is None
    backoff.record_success(AccountId("2"))
    assert backoff.failure(KEY) is ERROR


async def test_the_failure_longest_ago_is_forgotten_first() -> None:
    backoff = _backoff(capacity=2)
    for account_id in ("1", "2", "1", "3"):
        backoff.record_failure(AccountId(account_id), ERROR)
    assert [backoff.failure(AccountId(account_id)) for account_id in ("1", "2", "3")] == [ERROR, None, ERROR]


async def test_a_remembered_error_holds_no_traceback() -> None:
    backoff = _backoff()
    with pytest.raises(Unreachable) as raised:
        await _fail()
    backoff.record_failure(KEY, raised.value)
    known = backoff.failure(KEY)
    assert known is not None
    assert known.__traceback__ is None


async def test_a_refusal_is_known_until_the_account_succeeds_however_long_ago_and_whatever_failed_since() -> None:
    backoff = _backoff()
    backoff.record_failure(KEY, ERROR)
    assert backoff.refusal(KEY) is None
    backoff.record_failure(KEY, AccessRefused("x"))
    backoff.record_failure(KEY, ERROR)
    await asyncio.sleep(3600)
    assert (backoff.failure(KEY), backoff.refusal(KEY), backoff.refusal(AccountId("2"))) == (None, ERROR, None)
    backoff.record_success(KEY)
    assert backoff.refusal(KEY) is None
