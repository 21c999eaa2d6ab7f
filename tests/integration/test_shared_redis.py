"""A Redis that several gateways share: what one fetched the others serve, and nothing in it is believed unseen."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from sandbox import Sandbox
from tests.support.gateway import TOKEN, Gateway, run_gateway
from tests.support.valkey import Valkey, run_valkey, stored_entries

SETTINGS: dict[str, Any] = {"redis_timeout_seconds": 5, "fresh_seconds": 3600, "upstream_timeout_seconds": 10}
PATH = "/v1/merchants/12345/balances"
HOUR_MS = 3_600_000


@pytest.fixture(scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Valkey]:
    async with run_valkey() as running:
        yield running


@pytest.fixture(scope="module")
async def first(
    shared_upstream: Sandbox, server: Valkey, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Gateway]:
    folder = tmp_path_factory.mktemp("first")
    async with run_gateway(shared_upstream, folder, redis_url=server.url, **SETTINGS) as running:
        yield running


@pytest.fixture(scope="module")
async def second(
    shared_upstream: Sandbox, server: Valkey, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Gateway]:
    folder = tmp_path_factory.mktemp("second")
    async with run_gateway(shared_upstream, folder, redis_url=server.url, **SETTINGS) as running:
        yield running


@pytest.fixture
async def redis(server: Valkey) -> AsyncIterator[Redis]:
    async with server.client() as client:
        yield client


async def stored(redis: Redis, merchant: int) -> tuple[str, dict[str, Any]]:
    """The one entry of a merchant: its name and what it says."""
    (name,) = await stored_entries(redis, merchant)
    return name, json.loads(await redis.get(name) or b"")


async def test_what_one_gateway_fetched_the_other_serves(
    shared_upstream: Sandbox, first: Gateway, second: Gateway
) -> None:
    for path in (PATH, "/v1/portfolio"):
        fetched = await first.get(path)
        before = shared_upstream.counters.balance_calls
        served = await second.get(path)
        assert (served.status_code, served.content) == (200, fetched.content)
        assert served.headers["etag"] == fetched.headers["etag"]
        assert served.headers["cache-status"].startswith("tallygate; hit;")
        assert shared_upstream.counters.balance_calls == before


async def test_that_there_is_no_such_merchant_is_shared_too(
    shared_upstream: Sandbox, first: Gateway, second: Gateway
) -> None:
    assert (await first.get("/v1/merchants/404404/balances")).status_code == 404
    assert (await second.get("/v1/merchants/404404/balances")).status_code == 404
    assert shared_upstream.counters.by_merchant[404404] == 1


async def test_a_value_is_json_that_names_its_own_key_and_passes_away(first: Gateway, redis: Redis) -> None:
    merchant = 12345
    assert (await first.get(PATH)).status_code == 200
    name, value = await stored(redis, merchant)
    assert value["key"] == str(merchant)
    assert {row["assetId"]: row["total"] for row in value["balances"]} == {"BTC": "0.5", "USDT": "1000"}
    assert 0 < await redis.pttl(name) <= HOUR_MS + 30_000
    assert TOKEN not in name + json.dumps(value)


async def test_balances_of_different_upstreams_do_not_meet(
    shared_upstream: Sandbox, first: Gateway, server: Valkey, redis: Redis, tmp_path: Path
) -> None:
    async with Sandbox(scenario="document", token=TOKEN) as other:
        other.world.set(12345, [])
        async with run_gateway(other, tmp_path, redis_url=server.url, **SETTINGS) as third:
            assert (await third.get(PATH)).json()["balances"] == []
            assert len((await first.get(PATH, Cache_Control="no-cache")).json()["balances"]) == 2
            assert (await third.get(PATH, Cache_Control="max-stale")).json()["balances"] == []
    assert len(await stored_entries(redis, 12345, count=2)) == 2


@pytest.mark.parametrize("setting", ["stale_if_error_seconds", "absent_seconds", "fresh_seconds"])
async def test_a_time_of_zero_is_not_taken_for_a_failing_redis(
    shared_upstream: Sandbox, server: Valkey, redis: Redis, tmp_path: Path, setting: str
) -> None:
    await redis.config_resetstat()
    async with run_gateway(shared_upstream, tmp_path, redis_url=server.url, **{**SETTINGS, setting: 0}) as gateway:
        for merchant, status in ((shared_upstream.world.merchant_ids[40], 200), (505505, 404)):
            path = f"/v1/merchants/{merchant}/balances"
            assert (await gateway.get(path, Cache_Control="no-cache")).status_code == status
    assert (await redis.info("stats"))["total_error_replies"] == 0


async def test_fresh_answers_are_shared_even_where_no_stale_ones_are_wanted(
    shared_upstream: Sandbox, server: Valkey, redis: Redis, tmp_path: Path
) -> None:
    merchant = shared_upstream.world.merchant_ids[41]
    settings = {**SETTINGS, "stale_if_error_seconds": 0}
    async with run_gateway(shared_upstream, tmp_path, redis_url=server.url, **settings) as gateway:
        assert (await gateway.get(f"/v1/merchants/{merchant}/balances")).status_code == 200
        assert (await stored(redis, merchant))[1]["key"] == str(merchant)
