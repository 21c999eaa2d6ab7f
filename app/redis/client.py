"""The link to Redis: every command bounded in time, an outage noticed by few requests, its end by a probe behind."""

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
_CALM_SECONDS: Final = 1.0

log = structlog.get_logger()


async def honouring_cancellation(command: Awaitable[T]) -> T:
    """Await a command, and be cancelled even where it swallowed that: until Python 3.12 `asyncio.wait_for` may."""
    task = asyncio.current_task()
    before = task.cancelling() if task else 0
    result = await command
    if task and task.cancelling() > before:
        raise asyncio.CancelledError
    return result


class _LoopAwareTimeout:
    """Bound what is awaited to so many seconds, of which however long this process was busy with other things counts little.

    They pass in steps, and a loop that was held up takes one step late: else a burst of our own work, while the answer
    waited to be read, would look as if Redis were lost. Raises `TimeoutError`.
    """

    __slots__ = ("_left", "_scope", "_seconds", "_step")

    def __init__(self, seconds: float) -> None:
        self._seconds: Final = seconds / _STEPS
        self._left = _STEPS
        self._scope: Final = asyncio.timeout(None)
        self._step: asyncio.TimerHandle

    async def __aenter__(self) -> None:
        await self._scope.__aenter__()
        self._pass_on()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._step.cancel()
        await self._scope.__aexit__(kind, error, trace)

    def _pass_on(self) -> None:
        loop = asyncio.get_running_loop()
        if self._left == 0:
            self._scope.reschedule(loop.time())
        else:
            self._left -= 1
            self._step = loop.call_later(self._seconds, self._pass_on)


class RedisFailure(Enum):
    """Why a command gave no result."""

    UNAVAILABLE = auto()
    REFUSED = auto()


class RedisClient:
    """Send commands, each within `timeout_seconds`; after a few that failed, none until a probe of `tend` succeeds.

    A command that Redis refuses (it is read-only, or full) is no failure of the link.
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
        self._places: Final = asyncio.Semaphore(MAX_CONCURRENT_COMMANDS)
        self._lost: Final = asyncio.Event()
        # What was sent before a refusal tells nothing of after.
        self._calm_seconds: Final = max(_CALM_SECONDS, 2 * timeout_seconds)
        self._refused_at: float | None = None
        self._closed = False

    @property
    def available(self) -> bool:
        """Tell whether Redis answered when it was last asked."""
        return self._breaker.state is State.CLOSED and not self._closed

    async def execute(
        self, command: Callable[[], Awaitable[T]], *, writes: bool = False, commands: int = 1
    ) -> T | RedisFailure:
        """Send a command, or so many that travel together: those fail as one. Never raises what Redis or the network may raise.

        One that `writes`, whatever it finds, shows that Redis accepts writes again if it had refused some, but not just now.
        """
        with self._traces.span("redis.command"):
            result = await self._send_in_turn(command, writes=writes) if self.available else RedisFailure.UNAVAILABLE
        self._metrics.redis_commands.add(
            result.name.lower() if isinstance(result, RedisFailure) else "ok", amount=commands
        )
        return result

    def classify(self, result: T | Exception, *, writes: bool = False) -> T | RedisFailure:
        """Give what one of many commands gave that travelled together, or why it gave nothing. `writes` as for `attempt`."""
        match result:
            case ResponseError():
                self._record_refusal(result)
                return RedisFailure.REFUSED
            case Exception():  # a node of a cluster that could not be reached, while others could
                self._record_trouble(result)
                return RedisFailure.UNAVAILABLE
            case _:
                if writes and not isinstance(result, RedisFailure):
                    self._record_accepted()
                return result

    async def ping(self) -> bool:
        """Ask Redis whether it is there."""
        return not isinstance(await self.execute(self.client.ping), RedisFailure)

    async def probe_while_lost(self) -> None:
        """Probe for Redis whenever it is lost, until cancelled."""
        while True:
            await self._lost.wait()
            await asyncio.sleep(self._breaker.seconds_open())
            await self._probe()

    async def close(self) -> None:
        """Send nothing more, wait until what was sent is answered or given up, and close all connections.

        One that was still being opened would stay open else.
        """
        self._closed = True
        for _ in range(MAX_CONCURRENT_COMMANDS):
            await self._places.acquire()
        await self.client.aclose()

    async def _send_in_turn(self, command: Callable[[], Awaitable[T]], *, writes: bool) -> T | RedisFailure:
        async with self._places:
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
            self._record_trouble(error)
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

    def _record_trouble(self, error: Exception) -> None:
        if self._breaker.record_failure():
            log.warning("redis.lost", error=type(error).__name__)
            self._lost.set()

    def _record_accepted(self) -> None:
        """Believe that writes are accepted again if none was refused for a while: nearly full, Redis accepts some."""
        if self._refused_at is not None and _now() - self._refused_at >= self._calm_seconds:
            self._refused_at = None
            log.warning("redis.accepts")

    def _record_refusal(self, error: ResponseError) -> None:
        if self._refused_at is None:
            log.warning("redis.refuses", error=type(error).__name__)
        self._refused_at = _now()


def _now() -> float:
    return asyncio.get_running_loop().time()
