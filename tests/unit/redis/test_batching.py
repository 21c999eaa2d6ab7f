import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from fakeredis import FakeAsyncRedis, FakeServer
from redis.exceptions import ConnectionError as RedisConnectionError
from structlog.testing import capture_logs

from app.redis.batching import ScriptBatcher
from app.redis.client import RedisClient, RedisFailure
from app.redis.results import read_bytes, read_integer
from app.redis.scripts import make_script
from tests.support.replica import make_redis_client
from tests.support.virtual_time import virtual_runtime

COUNT = "return redis.call('INCR', KEYS[1])"
ECHO = "return ARGV[1]"
SAY = "return publish(ARGV[1], ARGV[2]) or 1"
REFUSE = "return redis.error_reply('NOPE no')"


class Counting(RedisClient):
    """A client that counts round trips."""

    trips = 0

    async def execute(self, *args: Any, **options: Any) -> Any:
        self.trips += 1
        return await super().execute(*args, **options)


@pytest.fixture
async def redis_client(server: FakeServer) -> AsyncIterator[Counting]:
    plain = make_redis_client(server)
    redis_client = Counting(
        lambda: plain.client, breaker=plain._breaker, timeout_seconds=0.05, runtime=virtual_runtime()
    )
    yield redis_client
    await redis_client.close()


async def _echo(batcher: ScriptBatcher, redis_client: RedisClient, words: list[str]) -> list[Any]:
    echo = make_script(ECHO, read_bytes)
    return list(await asyncio.gather(*(batcher.run(echo, [f"{{{word}}}"], [word]) for word in words)))


async def test_scripts_of_one_loop_iteration_go_together_and_each_gets_its_own_answer(
    redis_client: Counting,
) -> None:
    words = [str(number) for number in range(100)]
    assert await _echo(ScriptBatcher(redis_client), redis_client, words) == [word.encode() for word in words]
    assert redis_client.trips == 1


async def test_no_batch_is_so_long_that_it_takes_more_time_than_a_command_may(redis_client: Counting) -> None:
    words = [str(number) for number in range(1000)]
    assert await _echo(ScriptBatcher(redis_client), redis_client, words) == [word.encode() for word in words]
    assert redis_client.trips == 10


async def test_each_script_is_run_once_though_redis_did_not_know_it(redis_client: Counting, server: FakeServer) -> None:
    count = make_script(COUNT, read_integer)
    batcher = ScriptBatcher(redis_client)
    assert await asyncio.gather(*(batcher.run(count, [name], []) for name in ("a", "b", "a"))) == [1, 1, 2]
    await FakeAsyncRedis(server=server).script_flush()
    assert await batcher.run(count, ["a"], []) == 3


async def test_a_refused_script_does_not_affect_the_others_and_is_logged(redis_client: Counting) -> None:
    batcher = ScriptBatcher(redis_client)
    refuse, echo = make_script(REFUSE, read_integer), make_script(ECHO, read_bytes)
    with capture_logs() as logs:
        found = tuple(await asyncio.gather(batcher.run(refuse, ["a"], []), batcher.run(echo, ["b"], ["here"])))
    assert found == (RedisFailure.REFUSED, b"here")
    assert [line["event"] for line in logs] == ["redis.refuses"]
    assert redis_client.available


async def test_only_an_answer_to_a_script_that_writes_shows_that_writes_are_taken_again(
    redis_client: Counting, server: FakeServer
) -> None:
    batcher = ScriptBatcher(redis_client)
    refuse, echo, count = (
        make_script(REFUSE, read_integer),
        make_script(ECHO, read_bytes),
        make_script(COUNT, read_integer, writes=True),
    )
    with capture_logs() as logs:
        await batcher.run(refuse, ["a"], [])
        await asyncio.sleep(1)
        await batcher.run(echo, ["b"], ["here"])
        server.connected = False
        assert await batcher.run(count, ["b"], []) is RedisFailure.UNAVAILABLE
        server.connected = True
        assert [line["event"] for line in logs] == ["redis.refuses"]
        await batcher.run(count, ["b"], [])
    assert [line["event"] for line in logs] == ["redis.refuses", "redis.accepts"]


async def test_what_redis_refuses_to_one_run_of_a_script_is_nothing_to_the_others(
    redis_client: Counting, server: FakeServer
) -> None:
    await FakeAsyncRedis(server=server).set("b", "no number")
    batcher, count = ScriptBatcher(redis_client), make_script(COUNT, read_integer)
    found = await asyncio.gather(*(batcher.run(count, [name], []) for name in ("a", "b", "c", "a")))
    assert found == [1, RedisFailure.REFUSED, 1, 2]


async def test_what_many_runs_publish_is_one_message_and_in_their_order(
    redis_client: Counting, server: FakeServer
) -> None:
    batcher, say = ScriptBatcher(redis_client), make_script(SAY, read_integer)
    async with FakeAsyncRedis(server=server).pubsub(ignore_subscribe_messages=True) as subscriber:
        await subscriber.subscribe("news")
        await asyncio.gather(*(batcher.run(say, ["a"], ["news", word]) for word in ("one", "two", "three")))
        received = [await subscriber.get_message(timeout=0.1) for _ in range(3)]
    assert [message["data"] for message in received if message] == [b"one\ntwo\nthree"]


async def test_scripts_of_different_kinds_go_together_and_each_gets_its_own_answer(redis_client: Counting) -> None:
    batcher, count, echo = ScriptBatcher(redis_client), make_script(COUNT, read_integer), make_script(ECHO, read_bytes)
    asked = [(count, ["a"], []), (echo, ["x"], ["1"]), (count, ["a"], []), (echo, ["x"], ["2"])]
    assert await asyncio.gather(*(batcher.run(*one) for one in asked)) == [1, b"1", 2, b"2"]
    assert redis_client.trips == 1


async def test_when_redis_is_away_all_fail_so(redis_client: Counting, server: FakeServer) -> None:
    server.connected = False
    assert await _echo(ScriptBatcher(redis_client), redis_client, ["a", "b"]) == [RedisFailure.UNAVAILABLE] * 2


async def test_a_node_that_is_away_is_no_refusal(redis_client: Counting) -> None:
    found = [
        redis_client.classify(each, read_bytes)
        for each in (ConnectionError(), TimeoutError(), RedisConnectionError(), b"here")
    ]
    assert found == [RedisFailure.UNAVAILABLE] * 3 + [b"here"]
    assert not redis_client.available


async def test_who_goes_away_takes_nobody_along(redis_client: Counting) -> None:
    batcher = ScriptBatcher(redis_client)
    echo = make_script(ECHO, read_bytes)
    gone, stays = (batcher.run(echo, [word], [word]) for word in "ab")
    await asyncio.sleep(0)
    gone.cancel()
    assert await stays == b"b"
    assert gone.cancelled()


async def test_closing_waits_for_what_was_sent(redis_client: Counting, server: FakeServer) -> None:
    batcher = ScriptBatcher(redis_client)
    count = make_script(COUNT, read_integer)
    leaving = batcher.run(count, ["a"], [])
    await asyncio.sleep(0)
    leaving.cancel()
    await batcher.close()
    assert await FakeAsyncRedis(server=server).get("a") == b"1"
