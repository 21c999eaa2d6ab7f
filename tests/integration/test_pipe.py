"""Scripts sent to a real server through a pipe, and redis-py's own way: what becomes of them is the same."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis
from structlog.testing import capture_logs

from app.redis.batching import ScriptBatcher
from app.redis.client import RedisClient, RedisFailure
from app.redis.connections import connect
from app.redis.results import read_bytes, read_integer
from app.redis.scripts import make_script
from app.resilience.circuit_breaker import CircuitBreaker
from app.resilience.supervision import supervised
from app.runtime import Runtime
from tests.support.gateway import free_port
from tests.support.polling import ask_until
from tests.support.valkey import Valkey, run_valkey

TIMEOUT_SECONDS = 1
COUNT = make_script("return redis.call('INCR', KEYS[1])", read_integer, writes=True)
ECHO = make_script("return ARGV[1]", read_bytes)
MOVED = make_script("return redis.error_reply(ARGV[1])", read_bytes)


class World:
    """A batcher that has sent its first batch, after which it has a pipe unless it is plain."""

    def __init__(self, valkey: Valkey, *, plain: bool) -> None:
        runtime = Runtime(random=lambda: 0.0)
        breaker = CircuitBreaker(runtime, threshold=3, first_pause_seconds=0.1, longest_pause_seconds=0.2)
        self.valkey = valkey
        self.plain = plain
        self.client = RedisClient(self.connect, breaker=breaker, timeout_seconds=TIMEOUT_SECONDS, runtime=runtime)
        self.batcher = ScriptBatcher(self.client)

    def connect(self, login: str = "") -> Redis:
        client = connect(f"redis://{login}{self.valkey.address}", TIMEOUT_SECONDS, plain=self.plain)
        assert isinstance(client, Redis)
        return client

    async def echo(self, word: str) -> object:
        return await self.batcher.run(ECHO, ["a"], [word])

    async def count(self, name: str) -> object:
        return await self.batcher.run(COUNT, [name], [])

    async def settle(self) -> None:
        """Send until the pipe is there: the first batch opens it after its answers."""
        assert await self.echo("first") == b"first"
        await self.batcher.close()
        assert await self.echo("second") == b"second"


@pytest.fixture(params=[False, True], ids=["piped", "plain"])
async def world(request: pytest.FixtureRequest, valkey: Valkey) -> AsyncIterator[World]:
    await valkey.ask("FLUSHALL")
    world = World(valkey, plain=request.param)
    await world.settle()
    yield world
    await world.batcher.close()
    await world.client.close()


@pytest.fixture(scope="module")
async def valkey() -> AsyncIterator[Valkey]:
    async with run_valkey(port=free_port()) as valkey:
        yield valkey


async def test_batches_share_a_connection_of_which_the_server_knows_one(world: World) -> None:
    words = [str(number) for number in range(300)]
    for _ in range(3):
        found = await asyncio.gather(*(world.echo(word) for word in words))
        assert found == [word.encode() for word in words]
    clients = [line for line in str(await world.valkey.ask("CLIENT", "LIST")).split("\\n") if "cmd=evalsha" in line]
    assert world.plain or len(clients) == 1


async def test_each_script_is_run_once_though_the_server_forgot_one_of_them(world: World) -> None:
    await asyncio.gather(world.count("a"), world.echo("word"))
    await world.valkey.ask("SCRIPT", "FLUSH")
    assert [*await asyncio.gather(world.count("a"), world.echo("word"), world.count("b"))] == [2, b"word", 1]
    assert [*await asyncio.gather(world.count("a"), world.echo("word"), world.count("b"))] == [3, b"word", 2]


async def test_a_connection_that_is_cut_costs_nothing_when_nobody_waits(world: World) -> None:
    await world.valkey.ask("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    await ask_until(world.client.ping, lambda found: found)
    assert await world.echo("word") == b"word"
    await world.settle()


async def test_a_server_that_hangs_is_an_outage_and_its_late_answers_are_nobodys(world: World) -> None:
    await world.echo("word")
    with capture_logs() as logs:
        world.valkey.freeze()
        try:
            late = [asyncio.create_task(world.echo(f"late {number}")) for number in range(3)]
            assert await asyncio.gather(*late) == [RedisFailure.UNAVAILABLE] * 3
        finally:
            world.valkey.thaw()
        for number in range(5):
            assert await world.echo(str(number)) in {str(number).encode(), RedisFailure.UNAVAILABLE}
    assert {line["event"] for line in logs} <= {"redis.lost"}


async def test_a_server_that_became_a_replica_refuses_and_is_connected_to_again(world: World) -> None:
    before = world.client.client
    async with supervised(renewal=world.client.renew_while_refused):
        await world.valkey.ask("REPLICAOF", "127.0.0.1", "1")
        try:
            assert await world.count("a") is RedisFailure.REFUSED
            await ask_until(world.client.ping, lambda _: world.client.client is not before)
        finally:
            await world.valkey.ask("REPLICAOF", "NO", "ONE")
        assert await ask_until(lambda: world.count("a"), lambda found: not isinstance(found, RedisFailure)) == 1
    await world.settle()


@pytest.mark.parametrize("text", ["MOVED 1 127.0.0.1:1", "ASK 1 127.0.0.1:1"])
async def test_one_server_that_points_elsewhere_refuses(world: World, text: str) -> None:
    assert await world.batcher.run(MOVED, ["a"], [text]) is RedisFailure.REFUSED
    assert await world.echo("word") == b"word"


async def test_another_login_is_used_as_soon_as_it_works(world: World) -> None:
    await world.valkey.ask("ACL", "SETUSER", "new", "on", ">secret", "~*", "&*", "+@all")
    assert await world.client.switch(lambda: world.connect("new:secret@")) is None
    await world.settle()
    await world.echo("word")
    clients = str(await world.valkey.ask("CLIENT", "LIST"))
    assert "cmd=evalsha user=new" in clients
