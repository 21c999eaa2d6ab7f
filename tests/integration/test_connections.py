"""Connections to a real Redis: lent, taken back, and none that would give another caller's response.

All of it holds for our lean pool, for redis-py's own, and where redis-py lacks a private name of the lean one.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from redis.asyncio import ConnectionPool, Redis
from redis.asyncio.connection import UnixDomainSocketConnection
from redis.exceptions import ResponseError
from structlog.testing import capture_logs

from app.redis.commands import send_command
from app.redis.connections import CONNECTION_ERRORS, AnyRedis, PlainRedis, connect
from app.redis.pool import WRITER, LeanPool, missing_names
from tests.support.valkey import Valkey, run_valkey

TIMEOUT_SECONDS = 1


@pytest.fixture(scope="module")
async def valkey() -> AsyncIterator[Valkey]:
    async with run_valkey() as valkey:
        yield valkey


class Gone:
    """A name that an update took away."""

    def __get__(self, *_: object) -> None:
        raise AttributeError

    def __set__(self, *_: object) -> None:
        """Keep nothing."""


class WithoutHealth(UnixDomainSocketConnection):
    """A connection that takes no `check_health`."""

    async def send_packed_command(self, command: Any, *_: object) -> None:
        raise NotImplementedError


def pool_without(name: str) -> type[ConnectionPool]:
    """Give our pool as it would be if redis-py had no such name, of its pool or its connections."""
    if name in {"can_read", "send_packed_command", WRITER}:
        kind: Any = type("Kind", (UnixDomainSocketConnection,), {name: Gone()})
    else:
        kind = WithoutHealth if name == "check_health" else UnixDomainSocketConnection

    class Pool(LeanPool):
        def __init__(self, **options: Any) -> None:
            super().__init__(**{**options, "connection_class": kind})

    gone = {name: Gone()} if hasattr(ConnectionPool(), name) else {}
    pool: type[ConnectionPool] = type("Without", (Pool,), gone)
    return pool


POOLS: dict[str, dict[str, Any]] = {
    "lean": {},
    "plain": {"plain": True},
    "missing": {"lean": pool_without("get_available_connection")},
}


@pytest.fixture(params=POOLS)
def options(request: pytest.FixtureRequest) -> dict[str, Any]:
    return POOLS[request.param]


@pytest.fixture
async def client(valkey: Valkey, options: dict[str, Any]) -> AsyncIterator[AnyRedis]:
    client = connect(valkey.url, TIMEOUT_SECONDS, **options)
    yield client
    await client.aclose()


@pytest.mark.parametrize("word", ["word", "Wörter", b"\r\n\x00\xff", "", 7, 0.1, 1e22])
async def test_a_word_arrives_as_it_is(client: AnyRedis, word: str | bytes | float) -> None:
    assert await send_command(client, ["ECHO", word]) == (word if isinstance(word, bytes) else str(word).encode())


async def test_one_connection_serves_one_command_after_the_other(client: AnyRedis) -> None:
    assert {await send_command(client, ["CLIENT", "ID"]) for _ in range(5)} == {
        await send_command(client, ["CLIENT", "ID"])
    }
    with pytest.raises(ResponseError):
        await send_command(client, ["NONSENSE"])
    assert await send_command(client, ["ECHO", "word"]) == b"word"


async def test_commands_at_once_have_a_connection_each(client: AnyRedis) -> None:
    ids = await asyncio.gather(*(send_command(client, ["CLIENT", "ID"]) for _ in range(24)))
    assert len(set(ids)) == 24


async def test_one_that_was_closed_while_nobody_used_it_is_opened_again(client: AnyRedis, valkey: Valkey) -> None:
    number = await send_command(client, ["CLIENT", "ID"])
    await valkey.ask("CLIENT", "KILL", "ID", str(number))
    assert await send_command(client, ["CLIENT", "ID"]) > number


async def test_the_answer_to_a_command_that_was_cancelled_is_given_to_nobody(client: AnyRedis, valkey: Valkey) -> None:
    await send_command(client, ["PING"])
    waiting = asyncio.create_task(send_command(client, ["BLPOP", "queue", 0]))
    await valkey.until(lambda: _is_blocked(valkey))
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    await valkey.ask("RPUSH", "queue", "too late")
    assert await send_command(client, ["ECHO", "word"]) == b"word"


async def test_what_a_connection_holds_that_nobody_waited_for_goes_with_it(client: AnyRedis, valkey: Valkey) -> None:
    assert isinstance(client, Redis)
    pool: Any = client.connection_pool
    connection = await pool.get_connection()
    await connection.send_command("ECHO", "not waited for")
    await valkey.until(connection.can_read)
    await pool.release(connection)
    assert await send_command(client, ["ECHO", "word"]) == b"word"


async def test_an_outage_uses_up_no_connections(options: dict[str, Any]) -> None:
    async with run_valkey() as valkey:
        client = connect(valkey.url, TIMEOUT_SECONDS, **options)
        await valkey.kill()
        for _ in range(40):  # more than there are
            with pytest.raises(CONNECTION_ERRORS):
                await send_command(client, ["PING"])
        await valkey.start()
        assert await send_command(client, ["ECHO", "word"]) == b"word"
        await client.aclose()


async def test_this_version_has_all_names_of_the_lean_pool(valkey: Valkey) -> None:
    with capture_logs() as logs:
        client: Any = connect(valkey.url, TIMEOUT_SECONDS)
    assert (type(client), type(client.connection_pool), logs) == (Redis, LeanPool, [])


@pytest.mark.parametrize(
    "name",
    [
        "_available_connections",
        "_in_use_connections",
        "get_available_connection",
        "can_read",
        "send_packed_command",
        "check_health",
        WRITER,
    ],
)
async def test_without_a_private_name_the_pool_is_redis_pys_own_and_that_is_logged_once(
    valkey: Valkey, name: str
) -> None:
    with capture_logs() as logs:
        client: Any = connect(valkey.url, TIMEOUT_SECONDS, lean=pool_without(name))
        assert await send_command(client, ["ECHO", "word"]) == b"word"
        await client.aclose()
    assert (type(client), type(client.connection_pool)) == (PlainRedis, ConnectionPool)
    (line,) = logs
    assert (line["event"], line["library"]) == ("library.internals_missing", "redis")
    assert name in line["names"]
    assert set(line["names"]) <= {name, "check_health"}


async def test_plain_is_redis_pys_own_pool_without_a_word(valkey: Valkey) -> None:
    with capture_logs() as logs:
        client: Any = connect(valkey.url, TIMEOUT_SECONDS, plain=True)
    assert (type(client), type(client.connection_pool), logs) == (PlainRedis, ConnectionPool, [])


@pytest.mark.parametrize("plain", [True, False])
def test_a_sentinels_primary_is_spoken_to_directly_unless_plain(plain: bool) -> None:
    client = connect("redis+sentinel://127.0.0.1:1/primary", TIMEOUT_SECONDS, plain=plain)
    assert isinstance(client, PlainRedis) is plain
    assert isinstance(client, Redis)
    assert missing_names(client.connection_pool) == []


async def _is_blocked(valkey: Valkey) -> bool:
    return "cmd=blpop" in str(await valkey.ask("CLIENT", "LIST"))
