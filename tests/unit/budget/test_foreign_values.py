"""Another program may write to the budget's keys: permits go on at the fleet's rate, neither faster nor not at all."""

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest
from fakeredis import FakeAsyncRedis, FakeServer

from tests.support.budget_replica import WAITING, BudgetReplica, run_budget_replicas
from tests.support.virtual_redis import virtual_redis_time
from tests.support.virtual_time import monotonic, unix_ms

BUDGET = "t:{budget}"
GARBAGE = ["", "odd", "nan", "-nan", "-inf", "0x", "1 2", b"\xff\x00"]
HOUR_US = 3_600_000_000


@pytest.fixture
def raw(server: FakeServer) -> FakeAsyncRedis:
    return FakeAsyncRedis(server=server)


async def wait_of(replica: BudgetReplica) -> float:
    """Return the seconds until the next permit, where there is none now."""
    granted, wait_seconds = await replica.fleet_rate.take(1, leave_headroom=False)
    assert granted == 0
    return wait_seconds


async def seconds_for(replica: BudgetReplica, count: int) -> float:
    """Take so many permits at once, and return the seconds that it took."""
    began = monotonic()
    await asyncio.gather(*(replica.take(WAITING) for _ in range(count)))
    assert replica.redis_client.accepts_writes
    return monotonic() - began


@pytest.mark.parametrize("garbage", GARBAGE)
@pytest.mark.parametrize("field", ["next", "slowed", "factor", "pause", "quiet"])
async def test_garbage_in_a_field_counts_as_nothing(
    server: FakeServer, raw: FakeAsyncRedis, field: str, garbage: str | bytes
) -> None:
    async with run_budget_replicas(server, per_second=10, burst=10) as (replica,):
        await raw.hset(BUDGET, field, garbage)
        assert await seconds_for(replica, 30) == pytest.approx(2, abs=0.1)
        await raw.hset(BUDGET, field, garbage)
        await replica.fleet_rate.pause(3)
        assert await seconds_for(replica, 1) == pytest.approx(3, abs=0.1)


@pytest.mark.parametrize("factor", ["inf", "1e999", "64"])
async def test_the_slowest_rate_returns_to_normal(server: FakeServer, raw: FakeAsyncRedis, factor: str) -> None:
    async with run_budget_replicas(server, per_second=10, burst=1) as (replica,):
        await raw.hset(BUDGET, mapping={"slowed": unix_ms() * 1000, "factor": factor})
        await seconds_for(replica, 1)
        await asyncio.sleep(120)
        assert await seconds_for(replica, 11) == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize(
    "fields",
    [
        {"quiet": "inf"},
        {"quiet": "9" * 17},
        {"quiet": "9" * 17, "pause": "9" * 17 + ":" + "9" * 17},
        {"quiet": "9" * 17, "pause": "9" * 17 + ":" + "9" * 400},
    ],
)
async def test_no_pause_is_longer_than_the_longest_retry_after(
    server: FakeServer, raw: FakeAsyncRedis, fields: Mapping[Any, Any]
) -> None:
    async with run_budget_replicas(server, 2, per_second=10, burst=10) as (replica, other):
        await raw.hset(BUDGET, mapping=fields)
        for one in (replica, other):
            assert await wait_of(one) == pytest.approx(3600)
        await asyncio.sleep(3600.1)
        assert (await replica.fleet_rate.take(1, leave_headroom=False))[0] == 1


async def test_a_pause_of_an_earlier_version_is_cut_when_the_clock_goes_back(
    server: FakeServer, raw: FakeAsyncRedis
) -> None:
    async with run_budget_replicas(server, 2, per_second=10, burst=5) as (replica, other):
        with virtual_redis_time() as clock:
            await raw.hset(BUDGET, "quiet", unix_ms() * 1000 + HOUR_US)
            clock.ahead_seconds = -7200
            assert await wait_of(replica) == pytest.approx(3600)
            await asyncio.sleep(600)
            assert await wait_of(replica) == pytest.approx(3000)
            await other.fleet_rate.pause(5)
            assert int(await raw.hget(BUDGET, "quiet") or 0) == pytest.approx((unix_ms() - 7200e3) * 1000 + 3000e6)


@pytest.mark.parametrize("key", [BUDGET, f"{BUDGET}:asking"])
async def test_a_key_of_another_type_is_replaced(server: FakeServer, raw: FakeAsyncRedis, key: str) -> None:
    async with run_budget_replicas(server, per_second=10, burst=10) as (replica,):
        await raw.rpush(key, "odd")
        assert await seconds_for(replica, 30) == pytest.approx(2, abs=0.1)
        await raw.delete(BUDGET)
        await raw.rpush(BUDGET, "odd")
        await replica.fleet_rate.pause(3)
        assert await seconds_for(replica, 1) == pytest.approx(3, abs=0.1)
