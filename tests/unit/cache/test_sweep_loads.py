"""Loads of a sweep: they take a lease only with a permit, and hold up nobody."""

import asyncio

from fakeredis import FakeServer

from app.budget.budget import PermitRequest, Priority
from app.cache.load_results import Loaded, NoPermit
from app.cache.served import Served
from tests.support.replica import KEY, Upstream, directives, run_replicas
from tests.support.virtual_time import monotonic, unix_ms


def sweep() -> PermitRequest:
    return PermitRequest(Priority.SWEEP)


async def test_a_sweep_loads_with_a_permit_that_comes_with_the_lease(upstream: Upstream) -> None:
    async with run_replicas(upstream, FakeServer(), 2, per_second=10, burst=10) as (one, other):
        granted = asyncio.Event()
        task = one.cache.loads.start(KEY, unix_ms(), PermitRequest(Priority.SWEEP, on_permit=granted.set))
        assert task is not None
        async with asyncio.timeout(0.05):
            await granted.wait()
        assert isinstance(await task, Loaded)
        await asyncio.sleep(0.01)
        assert other.memory.get(KEY) is not None


async def test_a_sweep_takes_no_lease_without_a_permit_so_a_caller_elsewhere_does_not_wait_with_it(
    upstream: Upstream,
) -> None:
    async with run_replicas(upstream, FakeServer(), 2, per_second=1, burst=4) as (one, other):
        for _ in range(2):  # of four, a sweep leaves two to those who wait
            await one.fleet_rate.take(1, leave_headroom=False)
        task = one.cache.loads.start(KEY, unix_ms(), sweep())
        assert task is not None
        began = monotonic()
        served = await other.cache.read(KEY, directives())
        assert isinstance(served, Served)
        assert monotonic() - began < upstream.seconds + 0.05
        assert isinstance(await task, NoPermit)
    assert upstream.calls == 1


async def test_a_caller_who_joins_a_sweep_that_gets_no_permit_gets_one_of_its_own(upstream: Upstream) -> None:
    async with run_replicas(upstream, FakeServer(), 1, per_second=1, burst=4) as (replica,):
        for _ in range(2):
            await replica.fleet_rate.take(1, leave_headroom=False)
        task = replica.cache.loads.start(KEY, unix_ms(), sweep())
        assert task is not None
        began = monotonic()
        assert isinstance(await replica.cache.read(KEY, directives()), Served)
        assert monotonic() - began < upstream.seconds + 0.05
    assert upstream.calls == 1


async def test_no_permit_is_no_failure_of_the_account(upstream: Upstream) -> None:
    async with run_replicas(upstream, FakeServer(), 1, per_second=1, burst=4) as (replica,):
        await replica.fleet_rate.take(4, leave_headroom=False)
        task = replica.cache.loads.start(KEY, unix_ms(), sweep())
        assert task is not None
        result = await task
        assert isinstance(result, NoPermit)
        assert (result.error.retry_after_seconds or 0) > 1
        assert replica.cache.refusal(KEY) is None
        await asyncio.sleep(2)
        task = replica.cache.loads.start(KEY, unix_ms(), sweep())
        assert task is not None


async def test_a_load_that_is_under_way_is_not_swept_besides(upstream: Upstream) -> None:
    async with run_replicas(upstream, FakeServer(), 1) as (replica,):
        reading = asyncio.create_task(replica.cache.read(KEY, directives()))
        await asyncio.sleep(0.01)
        assert replica.cache.loads.start(KEY, unix_ms(), sweep()) is None
        await reading
    assert upstream.calls == 1
