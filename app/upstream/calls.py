"""Execution of upstream calls: with token, permit, deadline, circuit breaker, and few retries."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Final, TypeVar

import structlog

from app.errors import (
    BreakerOpen,
    BudgetSpent,
    MalformedAnswer,
    TallygateError,
    TokenRefused,
    Unreachable,
    UpstreamBusy,
    UpstreamFaulty,
    UpstreamTimeout,
)
from app.resilience.circuit_breaker import CircuitBreaker, State
from app.resilience.retry_budget import RetryBudget
from app.resilience.time_limit import TimeLimit
from app.runtime import Runtime
from app.upstream.token_source import TokenSource

T = TypeVar("T")

_WAITING: Final = 0.8
"""The share of the time-out in which a permit must come: a later one would leave no time for the call."""

log = structlog.get_logger()


AcquirePermit = Callable[[float], AbstractAsyncContextManager[None]]
"""Returns a permit of the budget, waited for at most the given seconds. Raises `BudgetSpent` if none comes."""


class CallExecutor:
    """Make calls, none longer than `timeout_seconds`, including its wait, its retries and a new token.

    If the token is refused, the call is repeated once with another one from `tokens`. `quiet` gets the seconds of a
    pause that the upstream asked for. `name_of` returns the name of an error in metrics.
    """

    def __init__(
        self,
        *,
        tokens: TokenSource,
        breaker: CircuitBreaker,
        retries: RetryBudget,
        quiet: Callable[[float], Awaitable[None]],
        timeout_seconds: float,
        runtime: Runtime,
        name_of: Callable[[TallygateError], str] = lambda error: type(error).__name__,
    ) -> None:
        self._metrics: Final = runtime.metrics
        self._traces: Final = runtime.traces
        self._name_of: Final = name_of
        self._tokens: Final = tokens
        self._breaker: Final = breaker
        self._retries: Final = retries
        self._quiet: Final = quiet
        self._timeout_seconds: Final = timeout_seconds
        self._monotonic: Final = runtime.monotonic
        self._wanted = 0

    @property
    def is_breaker_open(self) -> bool:
        """Whether the circuit breaker is open."""
        return self._breaker.state is not State.CLOSED

    @property
    def are_ready(self) -> bool:
        """Whether a call would be made as soon as it had a permit. The breaker's next probe is such a call."""
        return self._breaker.seconds_open() == 0 and self._tokens.is_ready

    def seconds_open(self) -> float:
        """Return for how many seconds the circuit breaker admits no call, 0 if it admits one, or a probe."""
        return self._breaker.seconds_open()

    async def execute(self, call: Callable[[], Awaitable[T]], turn: AcquirePermit) -> T:
        """Make a call that may be repeated, and return its result. Raises its last error, or why it was not made.

        Run it in a task that is not cancelled: its callers have deadlines of their own.
        """
        self._wanted += 1
        try:
            with TimeLimit(self._timeout_seconds):
                return await self._make_with_retries(call, turn, self._monotonic() + self._timeout_seconds)
        except TimeoutError:
            raise UpstreamTimeout(f"The upstream did not answer within {self._timeout_seconds:g} s.") from None
        finally:
            self._wanted -= 1

    async def _make_with_retries(self, call: Callable[[], Awaitable[T]], turn: AcquirePermit, deadline: float) -> T:
        self._retries.deposit()
        retries = 0
        is_renewed = is_repeated = False
        failure: TallygateError | None = None
        while True:
            await self._tokens.ready()  # before the permit: minting a token needs one too
            delay = 0.0
            try:
                return await self._make_once(call, turn, deadline)
            except (BreakerOpen, BudgetSpent) as unmade:
                raise failure or unmade from None
            except TokenRefused:
                if is_renewed or not await self._tokens.renew():
                    raise
                is_renewed = True
            except (Unreachable, UpstreamFaulty) as error:
                failure = error
                if isinstance(error, Unreachable) and error.is_repeatable and not is_repeated:
                    is_repeated = True  # a kept connection was closed under us: not the upstream's fault, but a call
                    continue
                granted = self._retries.withdraw(retries)
                if granted is None or self._monotonic() + granted >= deadline:
                    raise
                delay = granted
                retries += 1
                self._metrics.upstream_retries.add()
                log.info("upstream.retried", retry=retries, after=type(error).__name__)
            await asyncio.sleep(delay)

    async def _make_once(self, call: Callable[[], Awaitable[T]], turn: AcquirePermit, deadline: float) -> T:
        if left := self._breaker.seconds_open():
            raise _leave_alone(left)
        async with turn(_WAITING * (deadline - self._monotonic())):
            if left := self._breaker.try_enter():
                raise _leave_alone(left)
            token = self._tokens.current
            try:
                result = await self._watch(call())
            except TokenRefused as error:
                raise self._tokens.mark_refused(token, error) from None
            self._tokens.mark_accepted(token)
            return result

    async def _watch(self, call: Awaitable[T]) -> T:
        """Count a call, and record it in the breaker: whatever is no failure of the upstream counts as success."""
        began = self._monotonic()
        try:
            with self._traces.span("upstream.call"):
                result = await call
        except asyncio.CancelledError:
            self._count(self._name_of(UpstreamTimeout("The deadline passed.")), began)
            self._record_failure(began)
            raise
        except TallygateError as error:
            self._count(self._name_of(error), began)
            if isinstance(error, Unreachable | UpstreamFaulty):
                self._record_failure(began)
            else:
                self._note_life()
            if isinstance(error, UpstreamBusy):
                await self._quiet(error.retry_after_seconds or 0)
            raise
        except Exception as error:  # a fault of ours: a probe must end all the same, and a stale answer may cover it
            self._count("ok", began)
            self._record_failure(began)
            log.exception("upstream.answer_crashed")
            raise MalformedAnswer("The upstream's answer could not be read.") from error
        self._count("ok", began)
        self._note_life()
        return result

    def _record_failure(self, began: float) -> None:
        if self._breaker.record_failure(began, self._wanted - 1):
            log.warning("upstream.breaker_opened")

    def _count(self, outcome: str, began: float) -> None:
        self._metrics.upstream_calls.add(outcome)
        self._metrics.upstream_call_seconds.observe(self._monotonic() - began)

    def _note_life(self) -> None:
        if self._breaker.record_success():
            log.warning("upstream.breaker_closed")


def _leave_alone(seconds: float) -> BreakerOpen:
    return BreakerOpen("The upstream keeps failing and is left alone for a moment.", retry_after_seconds=seconds)
