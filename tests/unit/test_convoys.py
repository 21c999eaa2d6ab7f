import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from fakeredis import FakeAsyncRedis, FakeServer
from redis.exceptions import ConnectionError as RedisConnectionError
from structlog.testing import capture_logs

from app.cache.convoys import Convoys
from app.cache.link import Link, Outcome
from tests.support.replica import make_link

COUNT = "return redis.call('INCR', KEYS[1])"
ECHO = "return ARGV[1]"
REFUSE = "return redis.error_reply('NOPE no')"


class Counting(Link):
    """A link that tells how many round trips there were."""

    trips = 0

    async def attempt(self, *args: Any, **options: Any) -> Any:
        self.trips += 1
        return await super().attempt(*args, **options)


@pytest.fixture
def server() -> FakeServer:
    return FakeServer()


@pytest.fixture
async def link(server: FakeServer) -> AsyncIterator[Counting]:
    plain = make_link(server)
    link = Counting(plain.client, breaker=plain._breaker, timeout_seconds=0.05)
    yield link
    await link.close()


async def _echo(convoys: Convoys, link: Link, words: list[str]) -> list[Any]:
    echo = link.client.register_script(ECHO)
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
    count = link.client.register_script(COUNT)
    convoys = Convoys(link)
    assert await asyncio.gather(*(convoys.run(count, [name], []) for name in ("a", "b", "a"))) == [1, 1, 2]
    await FakeAsyncRedis(server=server).script_flush()
    assert await convoys.run(count, ["a"], []) == 3


async def test_one_that_is_refused_leaves_the_others_alone_and_is_told_of(link: Counting) -> None:
    convoys = Convoys(link)
    refuse, echo = link.client.register_script(REFUSE), link.client.register_script(ECHO)
    with capture_logs() as logs:
        found = tuple(await asyncio.gather(convoys.run(refuse, ["a"], []), convoys.run(echo, ["b"], ["here"])))
    assert found == (Outcome.REFUSED, b"here")
    assert [line["event"] for line in logs] == ["redis.refuses"]
    assert link.available


async def test_when_redis_is_away_all_hear_so(link: Counting, server: FakeServer) -> None:
    server.connected = False
    assert await _echo(Convoys(link), link, ["a", "b"]) == [Outcome.UNAVAILABLE] * 2


async def test_a_node_that_is_away_is_no_refusal(link: Counting) -> None:
    found = [link.judge(each) for each in (ConnectionError(), TimeoutError(), RedisConnectionError(), b"here")]
    assert found == [Outcome.UNAVAILABLE] * 3 + [b"here"]
    assert not link.available


async def test_who_goes_away_takes_nobody_along(link: Counting) -> None:
    convoys = Convoys(link)
    echo = link.client.register_script(ECHO)
    gone, stays = (asyncio.create_task(convoys.run(echo, [word], [word])) for word in "ab")
    await asyncio.sleep(0)
    gone.cancel()
    assert await stays == b"b"
    assert gone.cancelled()


async def test_closing_waits_for_what_was_sent(link: Counting, server: FakeServer) -> None:
    convoys = Convoys(link)
    count = link.client.register_script(COUNT)
    leaving = asyncio.create_task(convoys.run(count, ["a"], []))
    await asyncio.sleep(0)
    leaving.cancel()
    await convoys.close()
    assert await FakeAsyncRedis(server=server).get("a") == b"1"
