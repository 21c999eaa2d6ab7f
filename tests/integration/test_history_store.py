"""A store of its own for the history: it has all of it, and its trouble is no reader's."""

from collections.abc import AsyncIterator

import pytest
from structlog.testing import capture_logs

from app.redis.embedded import EmbeddedValkey
from app.secret import Secret
from sandbox import Sandbox
from tests.support.errors import assert_problem
from tests.support.polling import ask_until
from tests.support.rows import row
from tests.support.service import Service, run_service
from tests.support.valkey import Valkey, run_valkey

CHANGES = "/v1/merchants/777/changes"


@pytest.fixture
async def own() -> AsyncIterator[Valkey]:
    async with run_valkey() as running:
        yield running


@pytest.fixture
async def kept_apart(upstream: Sandbox, valkey: EmbeddedValkey, own: Valkey) -> AsyncIterator[Service]:
    async with run_service(
        upstream, valkey.url, history_redis_url=Secret(own.url), redis_timeout_seconds=0.3
    ) as running:
        yield running


async def look(service: Service, amount: int) -> None:
    service.upstream.world.set(777, [row(str(amount))])
    assert (await service.get("/v1/merchants/777/balances", Cache_Control="no-cache")).json()["balances"]


async def numbers(service: Service) -> list[int]:
    response = await service.get(CHANGES)
    return [change["sequence"] for change in response.json().get("changes", ())]


async def test_the_history_outlives_the_other_store(kept_apart: Service) -> None:
    await look(kept_apart, 1)
    await kept_apart.redis.flushall()
    await look(kept_apart, 2)
    assert await numbers(kept_apart) == [0, 1]
    assert not [name async for name in kept_apart.redis.scan_iter("*history*")]


async def test_while_it_is_full_reads_go_on_and_nothing_is_invented(kept_apart: Service, own: Valkey) -> None:
    await look(kept_apart, 1)
    await own.ask("CONFIG", "SET", "maxmemory", "1")
    with capture_logs() as logs:
        for amount in (2, 3):
            await look(kept_apart, amount)
    assert [line["store"] for line in logs if line["event"] == "redis.refuses"] == ["history"]
    assert await numbers(kept_apart) == [0]
    feed = await kept_apart.get("/v1/changes?merchantId=all")
    assert [change["sequence"] for change in feed.json()["changes"]] == [0]
    await own.ask("CONFIG", "SET", "maxmemory", "0")
    await look(kept_apart, 4)
    assert await numbers(kept_apart) == [0, 1]


async def test_while_it_is_full_or_read_only_the_feed_still_says_what_it_has(kept_apart: Service, own: Valkey) -> None:
    await look(kept_apart, 1)
    before = (await kept_apart.get("/v1/changes?merchantId=all")).json()
    for refuse, accept in (
        (("CONFIG", "SET", "maxmemory", "1"), ("CONFIG", "SET", "maxmemory", "0")),
        (("REPLICAOF", "127.0.0.1", "1"), ("REPLICAOF", "NO", "ONE")),
    ):
        await own.ask(*refuse)
        found = (await kept_apart.get("/v1/changes?merchantId=all")).json()
        await own.ask(*accept)
        assert found["changes"] == before["changes"]


async def test_while_it_is_away_reads_go_on_and_the_past_says_so(kept_apart: Service, own: Valkey) -> None:
    await look(kept_apart, 1)
    await kept_apart.settle()
    await own.ask("CLIENT", "PAUSE", "3000", "ALL")
    kept_apart.upstream.world.set(777, [row("2")])
    with capture_logs() as logs:
        assert (await kept_apart.get("/v1/merchants/777/balances", Cache_Control="no-cache")).status_code == 200
        assert_problem(await kept_apart.get(CHANGES), "store-unavailable")
        assert_problem(await kept_apart.get("/v1/changes?merchantId=all"), "store-unavailable")
        found = await ask_until(lambda: numbers(kept_apart), bool)
    assert found == list(range(len(found)))
    assert {line["store"] for line in logs if line["event"] in ("redis.lost", "redis.found")} == {"history"}
