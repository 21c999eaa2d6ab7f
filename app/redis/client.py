"""Redis client: every command has a time-out, and a circuit breaker with a background probe handles outages."""

import asyncio
from collections.abc import Awaitable, Callable
from enum import Enum, auto
from types import TracebackType
from typing import Any, Final, TypeVar

import structlog
from redis.exceptions import ResponseError

from app.redis.connections import CONNECTION_ERRORS, MAX_CONCURRENT_COMMANDS, AnyRedis
from app.resilience.circuit_breaker import CircuitBreaker, State
from app.runtime import Runtime

T = TypeVar("T")

_STEPS: Final = 4
_RECOVERY_SECONDS: Final = 1.0

log = structlog.get_logger()


async def honouring_cancellation(command: Awaitable[T]) -> T:
    """Await a command. Raises `CancelledError` even if the command swallowed it (`asyncio.wait_for` before 3.12)."""
    task = asyncio.current_task()
    before = task.cancelling() if task else 0
    result = await command
    if task and task.cancelling() > before:
        raise asyncio.CancelledError
    return result


class _LoopAwareTimeout:
    """A timeout that mostly ignores time during which our own event loop was blocked. Raises `TimeoutError`.

    It passes in steps, and a blocked loop delays only one. Otherwise a burst of our own work, while the answer waited
    to be read, would look like an outage of Redis.
    """

    __slots__ = ("_scope", "_seconds", "_step", "_steps_left")

    def __init__(self, seconds: float) -> None:
        self._seconds: Final = seconds / _STEPS
        self._steps_left = _STEPS
        self._scope: Final = asyncio.timeout(None)
        self._step: asyncio.TimerHandle

    async def __aenter__(self) -> None:
        await self._scope.__aenter__()
        self._take_step()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._step.cancel()
        await self._scope.__aexit__(kind, error, trace)

    def _take_step(self) -> None:
        loop = asyncio.get_running_loop()
        if self._steps_left == 0:
            self._scope.reschedule(loop.time())
        else:
            self._steps_left -= 1
            self._step = loop.call_later(self._seconds, self._take_step)


class RedisFailure(Enum):
    """Why a command gave no result."""

    UNAVAILABLE = auto()
    REFUSED = auto()


class RedisClient:
    """Send commands, each within `timeout_seconds`. After a few failures, none is sent until a probe succeeds.

    A command that Redis refuses (it is read-only, or full) does not count as a failure.
    """

    def __init__(
        self,
        client: AnyRedis,
        *,
        breaker: CircuitBreaker,
        timeout_seconds: float,
        runtime: Runtime,
    ) -> None:
        self._metrics: Final = runtime.metrics
        self._traces: Final = runtime.traces
        self.client: Final[Any] = client
        self._breaker: Final = breaker
        self._timeout_seconds: Final = timeout_seconds
        self._slots: Final = asyncio.Semaphore(MAX_CONCURRENT_COMMANDS)
        self._lost: Final = asyncio.Event()
        # A write that was sent before a refusal may succeed after it, which proves nothing.
        self._recovery_seconds: Final = max(_RECOVERY_SECONDS, 2 * timeout_seconds)
        self._refused_at: float | None = None
        self._closed = False

    @property
    def available(self) -> bool:
        """Whether Redis answered the last command."""
        return self._breaker.state is State.CLOSED and not self._closed

    async def execute(
        self, command: Callable[[], Awaitable[T]], *, writes: bool = False, commands: int = 1
    ) -> T | RedisFailure:
        """Send a command, or a batch of `commands` that fails as one. Never raises errors of Redis or the network.

        A success of one that always `writes` shows that Redis accepts writes again, if the last refusal is old enough.
        """
        with self._traces.span("redis.command"):
            result = await self._send_when_free(command, writes=writes) if self.available else RedisFailure.UNAVAILABLE
        self._metrics.redis_commands.add(
            result.name.lower() if isinstance(result, RedisFailure) else "ok", amount=commands
        )
        return result

    def classify(self, result: T | Exception, *, writes: bool = False) -> T | RedisFailure:
        """Return the result of one command of a batch, or why it failed. `writes` as for `execute`."""
        match result:
            case ResponseError():
                self._record_refusal(result)
                return RedisFailure.REFUSED
            case Exception():  # this node of a cluster was unreachable, while others were not
                self._record_outage(result)
                return RedisFailure.UNAVAILABLE
            case _:
                if writes and not isinstance(result, RedisFailure):
                    self._record_accepted()
                return result

    async def ping(self) -> bool:
        """Return whether Redis answers a ping."""
        return not isinstance(await self.execute(self.client.ping), RedisFailure)

    async def probe_while_lost(self) -> None:
        """Probe Redis whenever it is lost, until cancelled."""
        while True:
            await self._lost.wait()
            await asyncio.sleep(self._breaker.seconds_open())
            await self._probe()

    async def close(self) -> None:
        """Send no more commands, wait until those under way end, and close all connections.

        Without the wait, a connection that was still being opened would stay open.
        """
        self._closed = True
        for _ in range(MAX_CONCURRENT_COMMANDS):
            await self._slots.acquire()
        await self.client.aclose()

    async def _send_when_free(self, command: Callable[[], Awaitable[T]], *, writes: bool) -> T | RedisFailure:
        async with self._slots:
            return await self._send(command, writes=writes) if self.available else RedisFailure.UNAVAILABLE

    async def _send(self, command: Callable[[], Awaitable[T]], *, writes: bool) -> T | RedisFailure:
        try:
            async with _LoopAwareTimeout(self._timeout_seconds):
                result = await honouring_cancellation(command())
        except ResponseError as error:
            self._breaker.record_success()
            self._record_refusal(error)
            return RedisFailure.REFUSED
        except CONNECTION_ERRORS as error:
            self._record_outage(error)
            return RedisFailure.UNAVAILABLE
        self._breaker.record_success()
        if writes:
            self._record_accepted()
        return result

    async def _probe(self) -> None:
        self._breaker.try_enter()
        try:
            async with asyncio.timeout(self._timeout_seconds * 4):
                await self.client.ping()
        except CONNECTION_ERRORS:
            self._breaker.record_failure()
            return
        self._lost.clear()
        self._breaker.record_success()
        log.warning("redis.found")

    def _record_outage(self, error: Exception) -> None:
        if self._breaker.record_failure():
            log.warning("redis.lost", error=type(error).__name__)
            self._lost.set()

    def _record_accepted(self) -> None:
        """Report that writes are accepted if none was refused for a while: when nearly full, Redis accepts some."""
        if self._refused_at is not None and _now() - self._refused_at >= self._recovery_seconds:
            self._refused_at = None
            log.warning("redis.accepts")

    def _record_refusal(self, error: ResponseError) -> None:
        if self._refused_at is None:
            log.warning("redis.refuses", error=type(error).__name__)
        self._refused_at = _now()


def _now() -> float:
    return asyncio.get_running_loop().time()
