import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from structlog.testing import capture_logs

from app.errors import (
    BreakerOpen,
    BudgetSpent,
    MalformedAnswer,
    TallygateError,
    TokenRefused,
    UnknownMerchant,
    Unreachable,
    UpstreamBusy,
    UpstreamFaulty,
    UpstreamTimeout,
)
from app.resilience.circuit_breaker import CircuitBreaker
from app.resilience.retry_budget import RetryBudget
from app.secret import Secret
from app.upstream.calls import AcquirePermit, CallExecutor
from app.upstream.token_source import Token, TokenSource
from tests.support.virtual_time import monotonic, virtual_runtime


class _Upstream:
    """Raise the given errors one after another, then succeed. Counts calls, and how many run concurrently."""

    def __init__(self, *failures: Exception, seconds: float = 0) -> None:
        self.failures = list(failures)
        self.seconds = seconds
        self.calls = 0
        self.at_once = self.most_at_once = 0

    async def __call__(self) -> str:
        self.calls += 1
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await asyncio.sleep(self.seconds)
            if self.failures:
                raise self.failures.pop(0)
            return "answer"
        finally:
            self.at_once -= 1


@asynccontextmanager
async def _at_once(_: float) -> AsyncIterator[None]:
    """Grant permits without waiting."""
    yield


class _Calls:
    """An executor with a permit for each call, and the pauses that were requested."""

    def __init__(self, acquire: AcquirePermit = _at_once) -> None:
        self.quiet: list[float] = []
        self._acquire = acquire
        self._calls = CallExecutor(
            tokens=TokenSource(Token(Secret("t")), monotonic=monotonic),
            breaker=CircuitBreaker(virtual_runtime(), threshold=5, first_pause_seconds=0.5, longest_pause_seconds=15),
            retries=RetryBudget(lambda: 1.0),
            quiet=self._note,
            timeout_seconds=5,
            runtime=virtual_runtime(),
        )

    async def make(self, upstream: _Upstream) -> str:
        return await self._calls.execute(upstream, self._acquire)

    @property
    def are_ready(self) -> bool:
        return self._calls.are_ready

    async def _note(self, seconds: float) -> None:
        self.quiet.append(seconds)


@pytest.mark.parametrize("error", [Unreachable, UpstreamFaulty])
async def test_what_may_pass_is_retried_with_a_growing_delay(error: type[TallygateError]) -> None:
    upstream = _Upstream(error("x"), error("x"))
    assert await _Calls().make(upstream) == "answer"
    assert (upstream.calls, round(monotonic(), 3)) == (3, 0.3)


async def test_after_two_retries_the_last_error_is_raised() -> None:
    upstream = _Upstream(Unreachable("1"), Unreachable("2"), Unreachable("3"))
    with pytest.raises(Unreachable, match="3"):
        await _Calls().make(upstream)
    assert upstream.calls == 3


@pytest.mark.parametrize("error", [TokenRefused, MalformedAnswer, UpstreamBusy, UnknownMerchant])
async def test_what_will_not_pass_is_not_retried(error: type[TallygateError]) -> None:
    upstream = _Upstream(error("x"))
    with pytest.raises(error):
        await _Calls().make(upstream)
    assert upstream.calls == 1


async def test_retries_are_a_tenth_of_the_calls_in_the_long_run() -> None:
    retries = RetryBudget(lambda: 0.0)
    granted = 0
    for _ in range(1000):
        retries.deposit()
        granted += retries.withdraw(0) is not None
    assert 100 <= granted <= 111


async def test_the_deadline_is_for_the_whole_call() -> None:
    upstream = _Upstream(Unreachable("x"), seconds=3)
    with pytest.raises(UpstreamTimeout):
        await _Calls().make(upstream)
    assert monotonic() == 5


async def test_one_slow_call_does_not_hold_up_the_others() -> None:
    calls, slow, quick = _Calls(), _Upstream(seconds=4), _Upstream(seconds=0.1)
    waiting = asyncio.create_task(calls.make(slow))
    await asyncio.gather(*(calls.make(quick) for _ in range(10)))
    assert not waiting.done()
    await waiting


async def test_a_dead_upstream_is_asked_by_few_and_by_one_when_it_is_back() -> None:
    calls = _Calls()
    dead = _Upstream(*(Unreachable("x") for _ in range(1000)))
    with capture_logs() as logs:
        for _ in range(100):
            with pytest.raises((Unreachable, BreakerOpen)):
                await calls.make(dead)
        assert dead.calls == 5
        assert not calls.are_ready
        await asyncio.sleep(0.5)
        assert calls.are_ready, "a sweep, which goes only where a call is made, must be able to probe"
        upstream = _Upstream(seconds=0.1)
        probing = asyncio.gather(*(calls.make(upstream) for _ in range(10)), return_exceptions=True)
        await asyncio.sleep(0)
        assert not calls.are_ready
        results = await probing
    assert results.count("answer") == upstream.calls == 1
    assert await calls.make(upstream) == "answer"
    assert calls.are_ready
    changes = [line["event"] for line in logs if line["event"] != "upstream.retried"]
    assert changes == ["upstream.breaker_opened", "upstream.breaker_closed"]


async def test_calls_that_were_answered_are_not_waited_for_before_a_dead_upstream_is_left_alone() -> None:
    calls, alive, dead = _Calls(), _Upstream(), _Upstream(*(Unreachable("x") for _ in range(1000)))
    for _ in range(50):
        await calls.make(alive)
    for _ in range(50):
        with pytest.raises((Unreachable, BreakerOpen)):
            await calls.make(dead)
    assert dead.calls == 5


async def test_calls_that_run_into_the_deadline_open_the_breaker() -> None:
    calls, hanging = _Calls(), _Upstream(seconds=100)
    await asyncio.gather(*(calls.make(hanging) for _ in range(5)), return_exceptions=True)
    with pytest.raises(BreakerOpen):
        await calls.make(hanging)


@pytest.mark.parametrize("error", [TokenRefused, MalformedAnswer, UnknownMerchant, UpstreamBusy])
async def test_an_upstream_that_answers_is_alive_whatever_it_says(error: type[TallygateError]) -> None:
    calls = _Calls()
    for _ in range(20):
        with pytest.raises(error):
            await calls.make(_Upstream(error("x")))
    assert await calls.make(_Upstream()) == "answer"


async def test_a_busy_upstream_quiets_the_budget() -> None:
    calls = _Calls()
    with pytest.raises(UpstreamBusy):
        await calls.make(_Upstream(UpstreamBusy("x", retry_after_seconds=30)))
    assert calls.quiet == [30]


async def test_each_try_takes_a_permit_of_the_budget_that_leaves_time_for_the_call() -> None:
    fleet_rate: list[float] = []

    @asynccontextmanager
    async def take(patience_seconds: float) -> AsyncIterator[None]:
        fleet_rate.append(patience_seconds)
        yield

    await _Calls(take).make(_Upstream(Unreachable("x")))
    assert [round(patience, 3) for patience in fleet_rate] == [4, 3.92]


def _spent_after(fleet_rate: int) -> AcquirePermit:
    left = [fleet_rate]

    @asynccontextmanager
    async def take(_: float) -> AsyncIterator[None]:
        left[0] -= 1
        if left[0] < 0:
            raise BudgetSpent("x", retry_after_seconds=7)
        yield

    return take


async def test_a_spent_budget_is_a_problem_that_names_the_time_to_wait() -> None:
    upstream = _Upstream()
    with pytest.raises(BudgetSpent) as caught:
        await _Calls(_spent_after(0)).make(upstream)
    assert (upstream.calls, caught.value.retry_after_seconds) == (0, 7)


async def test_when_a_retry_cannot_be_made_the_failure_is_raised_and_not_why() -> None:
    with pytest.raises(Unreachable):
        await _Calls(_spent_after(1)).make(_Upstream(Unreachable("x")))


async def test_a_breaker_that_opened_during_the_wait_for_a_permit_is_heeded() -> None:
    opened = asyncio.Event()

    @asynccontextmanager
    async def take(_: float) -> AsyncIterator[None]:
        await opened.wait()
        yield

    calls, dead, late = _Calls(), _Upstream(*(Unreachable("x") for _ in range(99))), _Upstream()
    patient = asyncio.create_task(calls._calls.execute(late, take))
    await asyncio.sleep(0)
    for _ in range(2):
        with pytest.raises(Unreachable):
            await calls.make(dead)
    opened.set()
    with pytest.raises(BreakerOpen):
        await patient
    assert late.calls == 0


async def test_a_fault_of_ours_ends_a_probe_and_is_an_answer_that_could_not_be_read() -> None:
    upstream = _Upstream(*[Unreachable("x")] * 100)
    calls = _Calls()
    while calls.are_ready:
        with pytest.raises(Unreachable):
            await calls.make(upstream)
    await asyncio.sleep(1)
    upstream.failures = [OverflowError("date value out of range")]
    with capture_logs() as logs, pytest.raises(MalformedAnswer):
        await calls.make(upstream)
    assert [line["event"] for line in logs if line["event"] == "upstream.answer_crashed"]
    await asyncio.sleep(2)
    assert await calls.make(upstream) == "answer"


async def test_a_kept_connection_that_was_closed_under_us_is_tried_again_once_and_in_turn() -> None:
    turns = 0

    @asynccontextmanager
    async def turn(_: float) -> AsyncIterator[None]:
        nonlocal turns
        turns += 1
        yield

    closed = Unreachable("x", is_repeatable=True)
    assert await _Calls(turn).make(_Upstream(closed)) == "answer"
    assert turns == 2
    upstream = _Upstream(*[closed] * 9)
    with pytest.raises(Unreachable):
        await _Calls(turn).make(upstream)
    assert upstream.calls <= 4
    assert turns == 2 + upstream.calls
