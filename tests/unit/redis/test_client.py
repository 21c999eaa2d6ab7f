import asyncio

import pytest
from fakeredis import FakeServer
from redis.exceptions import ReadOnlyError
from structlog.testing import capture_logs

from app.redis.client import RedisClient, RedisFailure
from app.redis.connections import connect
from tests.support.replica import make_redis_client
from tests.support.virtual_time import monotonic


async def _hang() -> str:
    await asyncio.sleep(1000)
    return "never"


async def _answer() -> str:
    return "answer"


async def _refuse() -> str:
    raise ReadOnlyError("You can't write against a read only replica.")


@pytest.fixture
def redis_client() -> RedisClient:
    return make_redis_client(FakeServer())


async def test_a_command_takes_no_longer_than_its_time(redis_client: RedisClient) -> None:
    assert await redis_client.execute(_hang, str) is RedisFailure.UNAVAILABLE
    assert monotonic() == 0.05


async def test_an_answer_that_comes_while_we_are_busy_is_read_nevertheless(redis_client: RedisClient) -> None:
    async def answer_while_busy() -> str:
        asyncio.get_running_loop()._virtual.now += 10  # type: ignore[attr-defined]  # other work, in this iteration of the loop
        for _ in range(3):  # what it takes to read an answer and to wake its caller
            await asyncio.sleep(0)
        return "answer"

    assert await redis_client.execute(answer_while_busy, str) == "answer"
    assert redis_client.available


async def test_closing_waits_for_what_was_sent_and_nothing_more_is(redis_client: RedisClient) -> None:
    sent: list[str] = []

    async def answer_later() -> str:
        sent.append("began")
        await asyncio.sleep(0.01)
        sent.append("ended")
        return "answer"

    under_way = asyncio.create_task(redis_client.execute(answer_later, str))
    await asyncio.sleep(0)
    await redis_client.close()
    assert sent == ["began", "ended"]
    assert await under_way == "answer"
    assert await redis_client.execute(answer_later, str) is RedisFailure.UNAVAILABLE
    assert len(sent) == 2


async def test_while_some_writes_are_refused_those_that_are_not_do_not_show_that_writes_are_taken_again(
    redis_client: RedisClient,
) -> None:
    with capture_logs() as logs:
        for _ in range(10):
            assert await redis_client.execute(_refuse, str, writes=True) is RedisFailure.REFUSED
            await asyncio.sleep(0.9)
            assert await redis_client.execute(_answer, str, writes=True) == "answer"
        assert [line["event"] for line in logs] == ["redis.refuses"]
        await asyncio.sleep(0.1)
        await redis_client.execute(_answer, str, writes=True)
    assert [line["event"] for line in logs] == ["redis.refuses", "redis.accepts"]


async def test_where_commands_may_take_long_a_refusal_is_remembered_for_longer() -> None:
    redis_client = make_redis_client(FakeServer(), timeout_seconds=2)
    with capture_logs() as logs:
        await redis_client.execute(_refuse, str, writes=True)
        await asyncio.sleep(3.9)
        await redis_client.execute(_answer, str, writes=True)
    assert [line["event"] for line in logs] == ["redis.refuses"]
    await redis_client.close()


async def test_after_a_few_that_failed_none_is_sent(redis_client: RedisClient) -> None:
    for _ in range(100):
        assert await redis_client.execute(_hang, str) is RedisFailure.UNAVAILABLE
    assert round(monotonic(), 3) == 0.15
    assert not redis_client.available


async def test_a_background_probe_finds_it_again_and_both_are_logged_once() -> None:
    server = FakeServer()
    redis_client = make_redis_client(server)
    server.connected = False
    with capture_logs() as logs:
        probing = asyncio.create_task(redis_client.probe_while_lost())
        for _ in range(10):
            await redis_client.ping()
        await asyncio.sleep(30)
        assert not redis_client.available
        server.connected = True
        await asyncio.sleep(2.1)
        assert redis_client.available
        probing.cancel()
    assert [line["event"] for line in logs] == ["redis.lost", "redis.found"]
    assert await redis_client.ping()


async def test_a_refusal_is_no_outage_and_logged_once_at_its_beginning_and_its_end(redis_client: RedisClient) -> None:
    with capture_logs() as logs:
        for _ in range(10):
            assert await redis_client.execute(_refuse, str, writes=True) is RedisFailure.REFUSED
            assert await redis_client.execute(_answer, str) == "answer"
        assert redis_client.available
        await asyncio.sleep(1)
        assert await redis_client.execute(_answer, str, writes=True) == "answer"
    assert [line["event"] for line in logs] == ["redis.refuses", "redis.accepts"]


@pytest.mark.parametrize(
    "url",
    ["", "http://x", "nonsense", "redis+sentinel://host", "redis+cluster://", "http+cluster://x", "redis+other://x"],
)
def test_a_url_that_is_none_of_redis_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="Redis URL"):
        connect(url, 1)
