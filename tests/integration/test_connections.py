"""Connections to a real Redis: lent, taken back, and never one that would give somebody else's answer."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from app.redis.connections import CONNECTION_ERRORS, AnyRedis, connect, send_command
from tests.support.valkey import Valkey, run_valkey

TIMEOUT_SECONDS = 1


@pytest.fixture(scope="module")
async def valkey() -> AsyncIterator[Valkey]:
    async with run_valkey() as valkey:
        yield valkey


@pytest.fixture
async def client(valkey: Valkey) -> AsyncIterator[AnyRedis]:
    client = connect(valkey.url, TIMEOUT_SECONDS)
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
    assert await send_command(client, ["PING"]) == b"PONG"


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
    assert await send_command(client, ["PING"]) == b"PONG"


async def test_what_a_connection_holds_that_nobody_waited_for_goes_with_it(client: AnyRedis, valkey: Valkey) -> None:
    assert isinstance(client, Redis)
    pool: Any = client.connection_pool
    connection = await pool.get_connection()
    await connection.send_command("ECHO", "not waited for")
    await valkey.until(connection.can_read)
    await pool.release(connection)
    assert await send_command(client, ["PING"]) == b"PONG"


async def test_an_outage_uses_up_no_connections() -> None:
    async with run_valkey() as valkey:
        client = connect(valkey.url, TIMEOUT_SECONDS)
        await valkey.kill()
        for _ in range(40):  # more than there are
            with pytest.raises(CONNECTION_ERRORS):
                await send_command(client, ["PING"])
        await valkey.start()
        assert await send_command(client, ["PING"]) == b"PONG"
        await client.aclose()


async def _is_blocked(valkey: Valkey) -> bool:
    return "cmd=blpop" in str(await valkey.ask("CLIENT", "LIST"))
