"""Losing Redis is not an outage: reads are answered all along, and the log tells when it went and when it came back."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from sandbox import Sandbox
from tests.support.gateway import Gateway, run_gateway
from tests.support.valkey import Valkey, entries_in, keep_valkey, run_valkey

SETTINGS: dict[str, Any] = {"redis_timeout_seconds": 1, "fresh_seconds": 0, "stale_while_revalidate_seconds": 0}
"""Each read fetches and is stored, so each has to do with Redis; on a busy machine Redis has time to answer."""


@pytest.fixture(scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Valkey]:
    async with run_valkey() as running:
        yield running


@pytest.fixture(scope="module")
async def gateway(
    shared_upstream: Sandbox, server: Valkey, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Gateway]:
    folder = tmp_path_factory.mktemp("redis")
    async with run_gateway(shared_upstream, folder, redis_url=server.url, **SETTINGS) as running:
        yield running


async def read(gateway: Gateway, merchants: list[int]) -> None:
    """Read some merchants at once: every answer is there, and is about whom it was asked."""
    answers = await asyncio.gather(*(gateway.get(f"/v1/merchants/{each}/balances") for each in merchants))
    assert [(answer.status_code, answer.json().get("merchantId")) for answer in answers] == [
        (200, merchant) for merchant in merchants
    ]


async def read_until(gateway: Gateway, merchants: list[int], event: str, count: int = 1) -> None:
    """Read until the service has noticed something about Redis, which it looks at only when it is asked."""
    async with asyncio.timeout(30):
        while len(gateway.named(event)) < count:
            await read(gateway, merchants)


async def assert_noticed(gateway: Gateway, outages: int) -> None:
    """Each outage is told twice, when it begins and when it ends, however many requests there were."""
    assert (await gateway.get("/health/ready")).json()["redis"] == "available"
    told = [line["event"] for line in gateway.events if line["event"].startswith("redis.")]
    assert told == ["redis.lost", "redis.found"] * outages


async def read_until_stored(gateway: Gateway, server: Valkey, merchants: list[int]) -> None:
    """Read until Redis, emptied first, has them all."""
    async with server.client() as redis, asyncio.timeout(30):
        await redis.flushall()
        while len(await entries_in(redis)) < len(merchants):
            await read(gateway, merchants)


async def test_redis_may_be_down_when_the_service_starts(
    shared_upstream: Sandbox, tmp_path: Path, merchants: list[int]
) -> None:
    async with (
        keep_valkey() as server,
        run_gateway(shared_upstream, tmp_path, redis_url=server.url, **SETTINGS) as gateway,
    ):
        await read_until(gateway, merchants, "redis.lost")
        ready = await gateway.get("/health/ready")
        assert (ready.status_code, ready.json()["redis"]) == (200, "unavailable")
        await server.start()
        await read_until(gateway, merchants, "redis.found")
        await assert_noticed(gateway, 1)
        await read_until_stored(gateway, server, merchants)


async def test_redis_may_be_killed_and_start_again(gateway: Gateway, server: Valkey, merchants: list[int]) -> None:
    before = len(gateway.named("redis.lost"))
    await read(gateway, merchants)
    await server.kill()
    await read_until(gateway, merchants, "redis.lost", before + 1)
    await server.start()
    await read_until(gateway, merchants, "redis.found", before + 1)
    await assert_noticed(gateway, before + 1)
    await read_until_stored(gateway, server, merchants)


async def test_redis_may_be_stopped_and_go_on(gateway: Gateway, server: Valkey, merchants: list[int]) -> None:
    before = len(gateway.named("redis.lost"))
    await read(gateway, merchants)
    server.freeze()
    await read_until(gateway, merchants, "redis.lost", before + 1)
    await read(gateway, merchants)
    server.thaw()
    await read_until(gateway, merchants, "redis.found", before + 1)
    await assert_noticed(gateway, before + 1)
    await read_until_stored(gateway, server, merchants)


async def test_a_full_redis_is_no_outage(gateway: Gateway, server: Valkey, merchants: list[int]) -> None:
    async with server.client() as redis:
        await redis.flushall()
        await redis.config_set("maxmemory", "1")
        for _ in range(3):
            await read(gateway, merchants)
        assert await entries_in(redis) == []
        await redis.config_set("maxmemory", "0")
    await read_until_stored(gateway, server, merchants)


async def test_without_redis_one_process_still_fetches_once_for_all_its_callers(
    shared_upstream: Sandbox, tmp_path: Path, merchants: list[int]
) -> None:
    nowhere = f"unix://{tmp_path}/nowhere.sock"
    async with run_gateway(shared_upstream, tmp_path, redis_url=nowhere, fresh_seconds=600) as gateway:
        shared_upstream.counters.reset()
        await asyncio.gather(*(read(gateway, merchants) for _ in range(10)))
        assert shared_upstream.counters.by_merchant == dict.fromkeys(merchants, 1)
