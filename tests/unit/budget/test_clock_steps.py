"""The clock of Redis may be set back or forward: the budget goes on, and no pause is longer than it was asked for."""

import asyncio

import pytest
from fakeredis import FakeAsyncRedis, FakeServer

from tests.support.budget_replica import WAITING, BudgetReplica, run_budget_replicas
from tests.support.virtual_redis import virtual_redis_time
from tests.support.virtual_time import monotonic, unix_ms

STEPS = [-3600, -40, -1, 1, 40, 3600, 86_400]
BACK = [step for step in STEPS if step < 0]
BUDGET = "t:{budget}"


@pytest.fixture
def raw(server: FakeServer) -> FakeAsyncRedis:
    return FakeAsyncRedis(server=server)


async def wait_of(replica: BudgetReplica) -> float:
    """Return the seconds until the next permit, where there is none now."""
    granted, wait_seconds = await replica.fleet_rate.take(1, leave_headroom=False)
    assert granted == 0
    return wait_seconds


async def spend(replica: BudgetReplica, *, leave_headroom: bool = False) -> float:
    """Take all permits that there are now, and return the seconds until the next one."""
    granted, wait_seconds = 1, 0.0
    while granted:
        granted, wait_seconds = await replica.fleet_rate.take(1, leave_headroom=leave_headroom)
    return wait_seconds


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("leave_headroom", [False, True])
async def test_permits_go_on_whatever_the_step(server: FakeServer, step: float, leave_headroom: bool) -> None:
    async with run_budget_replicas(server, per_second=10, burst=10) as (replica,):
        with virtual_redis_time() as clock:
            await spend(replica)
            clock.ahead_seconds = step
            wait_seconds = await spend(replica, leave_headroom=leave_headroom)
            assert wait_seconds <= 1.5
            await asyncio.sleep(wait_seconds)
            assert (await replica.fleet_rate.take(1, leave_headroom=leave_headroom))[0] == 1


@pytest.mark.parametrize("step", STEPS)
async def test_a_step_gives_at_most_one_more_burst(server: FakeServer, step: float) -> None:
    async with run_budget_replicas(server, per_second=10, burst=10) as (replica,):
        with virtual_redis_time() as clock:
            tasks = [asyncio.create_task(replica.take(WAITING)) for _ in range(100)]
            await asyncio.sleep(2)
            clock.ahead_seconds = step
            await asyncio.gather(*tasks)
    assert len([when for when in replica.times if 2 <= when < 3]) <= 20
    assert monotonic() <= 12


@pytest.mark.parametrize("factor", [1, 2, 64])
@pytest.mark.parametrize("per_second", [0.05, 1, 1000])
async def test_a_wait_that_is_lawful_is_not_cut(
    server: FakeServer, raw: FakeAsyncRedis, factor: int, per_second: float
) -> None:
    async with run_budget_replicas(server, per_second=per_second, burst=4) as (replica,):
        began_us = unix_ms() * 1000
        await raw.hset(BUDGET, mapping={"slowed": began_us, "factor": factor})
        await spend(replica)
        due_us = int(await raw.hget(BUDGET, "next") or 0)
        for _ in range(20):
            await asyncio.sleep((due_us - began_us) / 1e6 / 200)
            await replica.fleet_rate.take(0, leave_headroom=True)
            assert int(await raw.hget(BUDGET, "next") or 0) == due_us


@pytest.mark.parametrize("step", BACK)
async def test_a_pause_is_no_longer_than_it_was_asked_for(server: FakeServer, step: float) -> None:
    async with run_budget_replicas(server, 2, per_second=10, burst=5) as (asked, other):
        with virtual_redis_time() as clock:
            await asked.fleet_rate.pause(5)
            await asyncio.sleep(1)
            clock.ahead_seconds = step
            wait_seconds = await wait_of(other)
            assert wait_seconds == pytest.approx(min(5, 4 - step))
            await asyncio.sleep(wait_seconds)
            assert (await other.fleet_rate.take(1, leave_headroom=False))[0] == 1


@pytest.mark.parametrize("step", BACK)
async def test_a_pause_that_is_asked_for_again_is_counted_from_now(server: FakeServer, step: float) -> None:
    async with run_budget_replicas(server, 2, per_second=10, burst=5) as (asked, other):
        with virtual_redis_time() as clock:
            await asked.fleet_rate.pause(5)
            await asyncio.sleep(1)
            clock.ahead_seconds = step
            await asked.fleet_rate.pause(7)
            assert await wait_of(other) == pytest.approx(7)


async def test_a_pause_that_an_earlier_version_lengthened_is_not_cut(server: FakeServer, raw: FakeAsyncRedis) -> None:
    async with run_budget_replicas(server, 2, per_second=10, burst=5) as (asked, other):
        await asked.fleet_rate.pause(5)
        await raw.hset(BUDGET, "quiet", unix_ms() * 1000 + 60_000_000)
        assert await wait_of(other) == pytest.approx(60)
        await asked.fleet_rate.pause(5)
        assert await wait_of(other) == pytest.approx(60)


@pytest.mark.parametrize("step", BACK)
async def test_after_a_pause_the_rate_is_halved_and_no_more(server: FakeServer, step: float) -> None:
    async with run_budget_replicas(server, per_second=10, burst=1) as (replica,):
        with virtual_redis_time() as clock:
            await replica.fleet_rate.pause(2)
            await asyncio.sleep(2.5)
            clock.ahead_seconds = step
            await asyncio.sleep(2.5)
            came = monotonic()
            tasks = [asyncio.create_task(replica.take(WAITING)) for _ in range(20)]
            await asyncio.gather(*tasks)
    assert monotonic() - came <= 2 + 20 * 0.2 + 0.1  # the pause once more, and half of the rate


@pytest.mark.parametrize("factor", [2, 1e300])
async def test_a_moment_that_has_not_come_slows_the_rate_no_more_than_a_pause(
    server: FakeServer, raw: FakeAsyncRedis, factor: float
) -> None:
    async with run_budget_replicas(server, per_second=1000, burst=1) as (replica,):
        await raw.hset(BUDGET, mapping={"slowed": unix_ms() * 1000 + 3_600_000_000, "factor": factor})
        longest = pytest.approx(min(factor, 64) / 1000)
        granted, wait_seconds = await replica.fleet_rate.take(1, leave_headroom=False)
        assert granted == 1
        assert [wait_seconds, await wait_of(replica)] == [longest, longest]


@pytest.mark.parametrize("step", STEPS)
async def test_who_asked_before_a_step_is_not_counted_after_it(server: FakeServer, step: float) -> None:
    async with run_budget_replicas(server, 3, per_second=1000) as replicas:
        with virtual_redis_time() as clock:
            for replica in replicas:
                await replica.fleet_rate.take(1, leave_headroom=False)
            assert replicas[2].fleet_rate.active_replicas == 3
            clock.ahead_seconds = step
            await asyncio.sleep(0.5)
            await replicas[0].fleet_rate.take(1, leave_headroom=False)
            assert replicas[0].fleet_rate.active_replicas == 1
            await replicas[1].fleet_rate.take(1, leave_headroom=False)
            assert replicas[1].fleet_rate.active_replicas == 2
