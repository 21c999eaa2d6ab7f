import asyncio

import pytest
from fakeredis import FakeServer
from redis.exceptions import ReadOnlyError
from structlog.testing import capture_logs

from app.redis.client import Link, Outcome
from app.redis.connections import connect
from tests.support.replica import make_link
from tests.support.virtual_time import monotonic


async def _hang() -> str:
    await asyncio.sleep(1000)
    return "never"


async def _answer() -> str:
    return "answer"


async def _refuse() -> str:
    raise ReadOnlyError("You can't write against a read only replica.")


@pytest.fixture
def link() -> Link:
    return make_link(FakeServer())


async def test_a_command_takes_no_longer_than_its_time(link: Link) -> None:
    assert await link.attempt(_hang) is Outcome.UNAVAILABLE
    assert monotonic() == 0.05


async def test_what_comes_while_we_are_busy_is_heard_all_the_same(link: Link) -> None:
    async def answer_while_busy() -> str:
        asyncio.get_running_loop()._virtual.now += 10  # type: ignore[attr-defined]  # other work, in this very turn
        for _ in range(3):  # what it takes to read an answer and to tell who waits for it
            await asyncio.sleep(0)
        return "answer"

    assert await link.attempt(answer_while_busy) == "answer"
    assert link.available


async def test_closing_waits_for_what_was_sent_and_nothing_more_is(link: Link) -> None:
    sent: list[str] = []

    async def answer_later() -> str:
        sent.append("began")
        await asyncio.sleep(0.01)
        sent.append("ended")
        return "answer"

    under_way = asyncio.create_task(link.attempt(answer_later))
    await asyncio.sleep(0)
    await link.close()
    assert sent == ["began", "ended"]
    assert await under_way == "answer"
    assert await link.attempt(answer_later) is Outcome.UNAVAILABLE
    assert len(sent) == 2


async def test_while_some_writes_are_refused_those_that_are_not_do_not_show_that_writes_are_taken_again(
    link: Link,
) -> None:
    with capture_logs() as logs:
        for _ in range(10):
            assert await link.attempt(_refuse, writes=True) is Outcome.REFUSED
            await asyncio.sleep(0.9)
            assert await link.attempt(_answer, writes=True) == "answer"
        assert [line["event"] for line in logs] == ["redis.refuses"]
        await asyncio.sleep(0.1)
        await link.attempt(_answer, writes=True)
    assert [line["event"] for line in logs] == ["redis.refuses", "redis.accepts"]


async def test_where_commands_may_take_long_a_refusal_is_remembered_for_longer() -> None:
    link = make_link(FakeServer(), timeout_seconds=2)
    with capture_logs() as logs:
        await link.attempt(_refuse, writes=True)
        await asyncio.sleep(3.9)
        await link.attempt(_answer, writes=True)
    assert [line["event"] for line in logs] == ["redis.refuses"]
    await link.close()


async def test_after_a_few_that_failed_none_is_sent(link: Link) -> None:
    for _ in range(100):
        assert await link.attempt(_hang) is Outcome.UNAVAILABLE
    assert round(monotonic(), 3) == 0.15
    assert not link.available


async def test_a_probe_behind_finds_it_again_and_both_are_told_once() -> None:
    server = FakeServer()
    link = make_link(server)
    server.connected = False
    with capture_logs() as logs:
        tending = asyncio.create_task(link.tend())
        for _ in range(10):
            await link.ping()
        await asyncio.sleep(30)
        assert not link.available
        server.connected = True
        await asyncio.sleep(2.1)
        assert link.available
        tending.cancel()
    assert [line["event"] for line in logs] == ["redis.lost", "redis.found"]
    assert await link.ping()


async def test_a_refusal_is_no_outage_and_told_once_at_its_beginning_and_its_end(link: Link) -> None:
    with capture_logs() as logs:
        for _ in range(10):
            assert await link.attempt(_refuse, writes=True) is Outcome.REFUSED
            assert await link.attempt(_answer) == "answer"
        assert link.available
        await asyncio.sleep(1)
        assert await link.attempt(_answer, writes=True) == "answer"
    assert [line["event"] for line in logs] == ["redis.refuses", "redis.accepts"]


@pytest.mark.parametrize(
    "url",
    ["", "http://x", "nonsense", "redis+sentinel://host", "redis+cluster://", "http+cluster://x", "redis+other://x"],
)
def test_a_url_that_is_none_of_redis_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="Redis URL"):
        connect(url, 1)
