"""Redis client: every command has a time-out, and a circuit breaker with a background probe handles outages."""

import asyncio
from collections.abc import Awaitable, Callable
from enum import Enum, auto
from typing import Any, Final, TypeVar

import structlog
from redis.exceptions import ResponseError

from app.redis.connections import CONNECTION_ERRORS, MAX_CONCURRENT_COMMANDS
from app.redis.refusals import Refusals, is_of_server_state
from app.redis.replacement import Connect, CurrentClient, close_client
from app.redis.timeouts import LoopAwareTimeout, catching, honouring_cancellation
from app.resilience.circuit_breaker import CircuitBreaker, State
from app.runtime import Runtime
from app.telemetry.log_throttle import LogThrottle

T = TypeVar("T")

_FIRST_PAUSE_SECONDS: Final = 1.0
_LONGEST_PAUSE_SECONDS: Final = 5.0
"""The pauses between renewals of connections."""

_PROBE_MS: Final = 1000

_LOG: Final = structlog.get_logger()


class RedisFailure(Enum):
    """Why a command gave no result."""

    UNAVAILABLE = auto()
    REFUSED = auto()


class RedisClient:
    """Send commands, each within `timeout_seconds`. After a few failures, none is sent until a probe succeeds.

    A refusal (Redis is read-only, or full) is no failure. `probe_key` is written to learn when writes are accepted again.
    `log` writes its lines: its fields may name the store.
    """

    def __init__(
        self,
        connect: Connect,
        *,
        breaker: CircuitBreaker,
        timeout_seconds: float,
        runtime: Runtime,
        probe_key: str = "probe",
        log: Any = _LOG,
    ) -> None:
        self.log: Final = log
        self._metrics: Final = runtime.metrics
        self.traces: Final = runtime.traces
        self._current: Final = CurrentClient(connect)
        self._breaker: Final = breaker
        self.timeout_seconds: Final = timeout_seconds
        self._probe_key: Final = probe_key
        self._slots: Final = asyncio.Semaphore(MAX_CONCURRENT_COMMANDS)
        self._lost: Final = asyncio.Event()
        self._refusals: Final = Refusals(timeout_seconds, log)
        self._troubled: Final = asyncio.Event()
        self._is_distrusted = False
        self._unusable: Final = LogThrottle()
        self._closed = False

    @property
    def client(self) -> Any:
        """The client of redis-py that is used now. Another one may replace it at any time."""
        return self._current.client

    @property
    def available(self) -> bool:
        """Whether Redis answered the last command."""
        return self._breaker.state is State.CLOSED and not self._closed

    @property
    def accepts_writes(self) -> bool:
        """Whether Redis has not refused a command lately."""
        return not self._refusals.are_recent

    async def execute(
        self,
        command: Callable[[], Awaitable[Any]],
        read: Callable[[Any], T],
        *,
        writes: bool = False,
        commands: int = 1,
    ) -> T | RedisFailure:
        """Send a command, or a batch of `commands` that fails as one, and `read` its result. Raises no `Exception`.

        Whatever sending or reading raises makes the result a failure. A success of one that always `writes` shows that
        Redis accepts writes again, if the last refusal is old enough.
        """
        with self.traces.span("redis.command"):
            result = (
                await self._send_when_free(command, read, writes=writes) if self.available else RedisFailure.UNAVAILABLE
            )
        return self._count(result, commands)

    def read_answer(self, answer: Any, read: Callable[[Any], T], commands: int) -> T | RedisFailure:
        """Read the answer, or the error, of a batch of `commands` that went another way than by `execute`."""
        result = self.classify(answer, read)
        if not isinstance(result, RedisFailure):
            self._record_success()
        return self._count(result, commands)

    def classify(self, result: Any, read: Callable[[Any], T], *, writes: bool = False) -> T | RedisFailure:
        """Read the result of one command of a batch, or say why it failed. `writes` as for `execute`."""
        if isinstance(result, RedisFailure):
            return result
        if isinstance(result, Exception):
            return self._classify_error(result)
        try:
            found = read(result)
        except BaseException as error:
            if isinstance(error, Exception):
                return self._classify_error(error)
            raise
        if writes:
            self._refusals.record_accepted()
        return found

    def _count(self, result: T | RedisFailure, commands: int) -> T | RedisFailure:
        outcome = result.name.lower() if isinstance(result, RedisFailure) else "ok"
        self._metrics.redis_commands.add(outcome, amount=commands)
        return result

    async def ping(self) -> bool:
        """Return whether Redis answers a ping."""
        return await self.execute(self.client.ping, bool) is True

    async def probe_while_lost(self) -> None:
        """Probe Redis whenever it is lost, until cancelled."""
        while True:
            await self._lost.wait()
            await asyncio.sleep(self._breaker.seconds_open())
            await self._probe()

    async def renew_while_refused(self) -> None:
        """Replace the connections when the server's state, or its answers, make them doubtful, until cancelled.

        New ones resolve the server's name again. While commands are refused, a small write shows when that ends.
        """
        pause = _FIRST_PAUSE_SECONDS
        while True:
            await self._troubled.wait()
            self._troubled.clear()
            if self._is_distrusted:
                self._is_distrusted = False
                self._current.renew()
            await asyncio.sleep(pause)
            if self._refusals.are_recent:
                await self._try_write()
            if self._refusals.are_recent:
                self._troubled.set()
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS) if self._troubled.is_set() else _FIRST_PAUSE_SECONDS

    async def switch(self, connect: Connect) -> Exception | None:
        """Use the clients that `connect` makes, if one works. Returns why not. Raises `ValueError` if none can be made."""
        client = connect()
        is_used = False
        try:
            if (error := await catching(self._ask_ping(client))) is None:
                self._current.connect = connect
                self._current.replace(client)
                is_used = True
            return error
        finally:
            if not is_used:
                await close_client(client)

    async def close(self) -> None:
        """Send no more commands, wait until those under way end, also those that connect, and close all connections."""
        self._closed = True
        for _ in range(MAX_CONCURRENT_COMMANDS):
            await self._slots.acquire()
        await self._current.close()

    async def _send_when_free(
        self, command: Callable[[], Awaitable[Any]], read: Callable[[Any], T], *, writes: bool
    ) -> T | RedisFailure:
        async with self._slots:
            return await self._send(command, read, writes=writes) if self.available else RedisFailure.UNAVAILABLE

    async def _send(
        self, command: Callable[[], Awaitable[Any]], read: Callable[[Any], T], *, writes: bool
    ) -> T | RedisFailure:
        try:
            async with LoopAwareTimeout(self.timeout_seconds):
                found = await honouring_cancellation(command())
            result = read(found)
        except BaseException as error:
            if isinstance(error, Exception):
                return self._classify_error(error)
            raise
        self._record_success()
        if writes:
            self._refusals.record_accepted()
        return result

    def _classify_error(self, error: Exception) -> RedisFailure:
        if isinstance(error, ResponseError):
            self._record_success()
            self._refusals.record_refusal(error)
            self._note_trouble(distrusted=is_of_server_state(error))
            return RedisFailure.REFUSED
        if isinstance(error, CONNECTION_ERRORS):
            self._record_outage(error)
        else:
            self._record_unusable(error)
        return RedisFailure.UNAVAILABLE

    def _record_success(self) -> None:
        """Count an answer. A late one does not end an outage: only the probe does, which logs it."""
        if self._breaker.state is State.CLOSED:
            self._breaker.record_success()

    def _record_outage(self, error: Exception) -> None:
        if is_of_server_state(error):
            self._note_trouble(distrusted=True)
        if self._breaker.record_failure():
            self.log.warning("redis.lost", error=type(error).__name__)
            self._lost.set()

    def _record_unusable(self, error: Exception) -> None:
        """Count a result that is none, or an error that is none of redis-py's, and log it once a minute.

        The breaker does not count them: a ping, by which it closes, may well be answered.
        """
        self._metrics.redis_unusable.add()
        if self._unusable.admits():
            self.log.warning("redis.unusable", error=type(error).__name__)
        self._note_trouble(distrusted=True)

    def _note_trouble(self, *, distrusted: bool) -> None:
        self._is_distrusted |= distrusted
        self._troubled.set()

    async def _probe(self) -> None:
        self._breaker.try_enter()
        if await catching(self._ask_ping(self.client)) is not None:
            self._breaker.record_failure()
            return
        self._lost.clear()
        self._breaker.record_success()
        self.log.warning("redis.found")

    async def _ask_ping(self, client: Any) -> None:
        async with asyncio.timeout(self.timeout_seconds * 4):
            if await honouring_cancellation(client.ping()) is not True:
                raise ValueError("PING")

    async def _try_write(self) -> None:
        await self.execute(lambda: self.client.set(self._probe_key, "1", px=_PROBE_MS), bool, writes=True)
