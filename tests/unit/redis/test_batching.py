import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from fakeredis import FakeAsyncRedis, FakeServer
from redis.exceptions import ConnectionError as RedisConnectionError
from structlog.testing import capture_logs

from app.redis.batching import Convoys
from app.redis.client import Link, Outcome
from app.redis.scripts import make_script
from tests.support.replica import make_link

COUNT = "return redis.call('INCR', KEYS[1])"
ECHO = "return ARGV[1]"
SAY = "return publish(ARGV[1], ARGV[2]) or 1"
REFUSE = "return redis.error_reply('NOPE no')"


class Counting(Link):
    """A link that tells how many round trips there were."""

    trips = 0

    async def attempt(self, *args: Any, **options: Any) -> Any:
        self.trips += 1
        return await super().attempt(*args, **options)


@pytest.fixture
async def link(server: FakeServer) -> AsyncIterator[Counting]:
    plain = make_link(server)
    link = Counting(plain.client, breaker=plain._breaker, timeout_seconds=0.05)
    yield link
    await link.close()


async def _echo(convoys: Convoys, link: Link, words: list[str]) -> list[Any]:
    echo = make_script(ECHO)
    return list(await asyncio.gather(*(convoys.run(echo, [f"{{{word}}}"], [word]) for word in words)))


async def test_what_is_asked_for_in_one_turn_travels_together_and_each_gets_its_own_answer(link: Counting) -> None:
    words = [str(number) for number in range(100)]
    assert await _echo(Convoys(link), link, words) == [word.encode() for word in words]
    assert link.trips == 1


async def test_no_convoy_is_so_long_that_it_takes_more_time_than_a_command_may(link: Counting) -> None:
    words = [str(number) for number in range(1000)]
    assert await _echo(Convoys(link), link, words) == [word.encode() for word in words]
    assert link.trips == 10


async def test_each_script_is_run_once_though_redis_did_not_know_it(link: Counting, server: FakeServer) -> None:
    count = make_script(COUNT)
    convoys = Convoys(link)
    assert await asyncio.gather(*(convoys.run(count, [name], []) for name in ("a", "b", "a"))) == [1, 1, 2]
    await FakeAsyncRedis(server=server).script_flush()
    assert await convoys.run(count, ["a"], []) == 3


async def test_one_that_is_refused_leaves_the_others_alone_and_is_told_of(link: Counting) -> None:
    convoys = Convoys(link)
    refuse, echo = make_script(REFUSE), make_script(ECHO)
    with capture_logs() as logs:
        found = tuple(await asyncio.gather(convoys.run(refuse, ["a"], []), convoys.run(echo, ["b"], ["here"])))
    assert found == (Outcome.REFUSED, b"here")
    assert [line["event"] for line in logs] == ["redis.refuses"]
    assert link.available


async def test_only_an_answer_to_a_script_that_writes_shows_that_writes_are_taken_again(
    link: Counting, server: FakeServer
) -> None:
    convoys = Convoys(link)
    refuse, echo, count = make_script(REFUSE), make_script(ECHO), make_script(COUNT, writes=True)
    with capture_logs() as logs:
        await convoys.run(refuse, ["a"], [])
        await asyncio.sleep(1)
        await convoys.run(echo, ["b"], ["here"])
        server.connected = False
        assert await convoys.run(count, ["b"], []) is Outcome.UNAVAILABLE
        server.connected = True
        assert [line["event"] for line in logs] == ["redis.refuses"]
        await convoys.run(count, ["b"], [])
    assert [line["event"] for line in logs] == ["redis.refuses", "redis.accepts"]


async def test_what_redis_refuses_to_one_run_of_a_script_is_nothing_to_the_others(
    link: Counting, server: FakeServer
) -> None:
    await FakeAsyncRedis(server=server).set("b", "no number")
    convoys, count = Convoys(link), make_script(COUNT)
    found = await asyncio.gather(*(convoys.run(count, [name], []) for name in ("a", "b", "c", "a")))
    assert found == [1, Outcome.REFUSED, 1, 2]


async def test_what_many_runs_publish_is_one_message_and_in_their_order(link: Counting, server: FakeServer) -> None:
    convoys, say = Convoys(link), make_script(SAY)
    async with FakeAsyncRedis(server=server).pubsub(ignore_subscribe_messages=True) as ear:
        await ear.subscribe("news")
        await asyncio.gather(*(convoys.run(say, ["a"], ["news", word]) for word in ("one", "two", "three")))
        heard = [await ear.get_message(timeout=0.1) for _ in range(3)]
    assert [message["data"] for message in heard if message] == [b"one\ntwo\nthree"]


async def test_scripts_of_different_kinds_travel_together_and_each_answer_finds_its_own(link: Counting) -> None:
    convoys, count, echo = Convoys(link), make_script(COUNT), make_script(ECHO)
    asked = [(count, ["a"], []), (echo, ["x"], ["1"]), (count, ["a"], []), (echo, ["x"], ["2"])]
    assert await asyncio.gather(*(convoys.run(*one) for one in asked)) == [1, b"1", 2, b"2"]
    assert link.trips == 1


async def test_when_redis_is_away_all_hear_so(link: Counting, server: FakeServer) -> None:
    server.connected = False
    assert await _echo(Convoys(link), link, ["a", "b"]) == [Outcome.UNAVAILABLE] * 2


async def test_a_node_that_is_away_is_no_refusal(link: Counting) -> None:
    found = [link.judge(each) for each in (ConnectionError(), TimeoutError(), RedisConnectionError(), b"here")]
    assert found == [Outcome.UNAVAILABLE] * 3 + [b"here"]
    assert not link.available


async def test_who_goes_away_takes_nobody_along(link: Counting) -> None:
    convoys = Convoys(link)
    echo = make_script(ECHO)
    gone, stays = (asyncio.create_task(convoys.run(echo, [word], [word])) for word in "ab")
    await asyncio.sleep(0)
    gone.cancel()
    assert await stays == b"b"
    assert gone.cancelled()


async def test_closing_waits_for_what_was_sent(link: Counting, server: FakeServer) -> None:
    convoys = Convoys(link)
    count = make_script(COUNT)
    leaving = asyncio.create_task(convoys.run(count, ["a"], []))
    await asyncio.sleep(0)
    leaving.cancel()
    await convoys.close()
    assert await FakeAsyncRedis(server=server).get("a") == b"1"
