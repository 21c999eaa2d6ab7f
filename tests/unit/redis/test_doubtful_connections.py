"""What a command may raise besides errors of Redis, and when connections are replaced."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from fakeredis import FakeAsyncRedis, FakeServer
from redis.exceptions import OutOfMemoryError, ReadOnlyError, ResponseError
from structlog.testing import capture_logs

from app.redis.client import RedisClient, RedisFailure
from app.redis.refusals import error_code
from app.resilience.circuit_breaker import CircuitBreaker
from app.resilience.supervision import supervised
from tests.support.virtual_time import monotonic, virtual_runtime


class Closable(FakeAsyncRedis):
    """A client that remembers when it was closed."""

    closed_at: float | None = None

    async def aclose(self, close_connection_pool: bool | None = None) -> None:
        self.closed_at = monotonic()
        await super().aclose(close_connection_pool)


class World:
    """A client, and how many connections it has made so far."""

    def __init__(self, server: FakeServer) -> None:
        self.server = server
        self.made: list[Closable] = []
        runtime = virtual_runtime()
        self.client = RedisClient(
            self.connect,
            breaker=CircuitBreaker(runtime, threshold=3, first_pause_seconds=0.25, longest_pause_seconds=2),
            timeout_seconds=0.05,
            runtime=runtime,
        )

    def connect(self) -> Closable:
        self.made.append(Closable(server=self.server))
        return self.made[-1]

    async def fail(self, error: BaseException) -> object:
        async def command() -> str:
            raise error

        return await self.client.execute(command, str)


@pytest.fixture
def world(server: FakeServer) -> World:
    return World(server)


@pytest.mark.parametrize("error", [AttributeError("x"), TypeError("x"), KeyError(1), ZeroDivisionError(), Exception()])
async def test_whatever_a_command_raises_is_an_outage_and_logged_once_a_minute(world: World, error: Exception) -> None:
    with capture_logs() as logs:
        for _ in range(10):
            assert await world.fail(error) is RedisFailure.UNAVAILABLE
        assert world.client.available
        assert logs == [{"event": "redis.unusable", "error": type(error).__name__, "log_level": "warning"}]
        await asyncio.sleep(60)
        await world.fail(error)
    assert len(logs) == 2


async def test_a_result_that_cannot_be_read_is_an_outage(world: World) -> None:
    async def answer() -> str:
        return "word"

    with capture_logs() as logs:
        assert await world.client.execute(answer, int) is RedisFailure.UNAVAILABLE
        assert world.client.classify("word", int) is RedisFailure.UNAVAILABLE
        assert world.client.classify(7, int) == 7
    assert [line["error"] for line in logs] == ["ValueError"]


async def test_a_cancelled_command_is_cancelled(world: World) -> None:
    with pytest.raises(asyncio.CancelledError):
        await world.fail(asyncio.CancelledError())


async def after(world: World, seconds: float, fail: Callable[[], Awaitable[object]], *, every: float = 10_000) -> int:
    """Fail now, and again and again, and count the connections that were made meanwhile."""
    async with supervised(renewal=world.client.renew_while_refused):
        while monotonic() < seconds:
            await fail()
            await asyncio.sleep(min(every, seconds))
    return len(world.made) - 1


STATES = ["READONLY", "MISCONF", "LOADING", "MASTERDOWN", "CLUSTERDOWN", "NOREPLICAS", "OOM"]


@pytest.mark.parametrize("code", STATES)
@pytest.mark.parametrize(
    "form", ["{} You cannot.", "@user_script: 8: -{} You cannot.", "{} no. script: abc, on @user_script:1."]
)
async def test_a_state_of_the_server_replaces_the_connections(world: World, code: str, form: str) -> None:
    error = ResponseError(form.format(code))
    assert error_code(error) == code
    assert await after(world, 5, lambda: world.fail(error)) == 1


@pytest.mark.parametrize("text", ["NOPERM no", "WRONGTYPE no", "ERR no", "MOVED 1 a:1", "ERR unknown command 'XOOM'"])
async def test_another_refusal_replaces_none(world: World, text: str) -> None:
    assert await after(world, 5, lambda: world.fail(ResponseError(text))) == 0


async def test_the_code_that_redis_py_takes_away_is_known(world: World) -> None:
    assert await after(world, 5, lambda: world.fail(ReadOnlyError("no", status_code="READONLY"))) == 1
    assert error_code(OutOfMemoryError("no", status_code="OOM")) == "OOM"


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("BUSY Redis is busy running a script.", "BUSY"),
        ("ERR unknown command 'XOOM'", "ERR"),
        ("ERR @user_script: 8: -OOM no", "OOM"),
        ("DENIED Redis is running in protected mode", "DENIED"),
        ("IOERR", "IOERR"),
        ("", None),
        ("Odd text", None),
        ("A", None),
        ("SECRET-LIKE text", None),
        ("X" * 21, None),
    ],
)
def test_any_code_that_stands_first_is_named(text: str, code: str | None) -> None:
    assert error_code(ResponseError(text)) == code


async def test_while_it_lasts_connections_are_replaced_more_and_more_rarely(world: World) -> None:
    made = await after(world, 100, lambda: world.fail(ResponseError("OOM no")), every=0.1)
    assert 15 <= made <= 25  # after 1, 2 and 4 seconds, and then each five


async def test_old_connections_are_closed_after_a_while_and_all_at_the_end(world: World) -> None:
    async with supervised(renewal=world.client.renew_while_refused):
        await world.fail(AttributeError())
        await asyncio.sleep(5.1)
        assert [client.closed_at for client in world.made] == [pytest.approx(5), None]
        await world.fail(AttributeError())
        await asyncio.sleep(0.1)
        assert await world.client.ping()
    await world.client.close()
    assert all(client.closed_at for client in world.made)
    assert len(world.made) == 3


async def test_a_write_shows_that_writes_are_accepted_again_though_nobody_else_writes(
    world: World, server: FakeServer
) -> None:
    assert world.client.accepts_writes
    with capture_logs() as logs:
        async with supervised(renewal=world.client.renew_while_refused):
            await world.fail(ReadOnlyError("no", status_code="READONLY"))
            assert not world.client.accepts_writes
            await asyncio.sleep(10)
            assert world.client.accepts_writes
    assert [line["event"] for line in logs] == ["redis.refuses", "redis.accepts"]
