"""A permit that comes with the lease."""

import asyncio
from functools import partial

import pytest
from fakeredis import FakeAsyncRedis, FakeServer

from app.balances.snapshots import AccountId
from app.budget.budget import PermitRequest, Priority
from app.budget.prefetch import PermitPrefetcher
from tests.support.budget_replica import WAITING, WARM_UP, BudgetReplica, run_budget_replicas
from tests.support.replica import KEY, Replica, Upstream, directives, run_replicas
from tests.support.virtual_time import monotonic, unix_ms


async def _permits_taken(server: FakeServer) -> int:
    """Count the permits that the fleet has taken since its last rest, at one in 100 seconds."""
    due = await FakeAsyncRedis(server=server).hget("t:{budget}", "next")
    return 0 if due is None else round((int(due) / 1000 - unix_ms()) / 100_000)


async def test_a_cold_read_asks_redis_twice(upstream: Upstream, server: FakeServer) -> None:
    async with run_replicas(upstream, server, 1) as (replica,):
        before = _commands(replica)
        await replica.cache.read(KEY, directives())
        await replica.settle()
        assert _commands(replica) - before == 2
    assert upstream.calls == 1


async def test_no_permit_is_taken_without_the_lease(upstream: Upstream, server: FakeServer) -> None:
    async with run_replicas(upstream, server, 4, per_second=0.01, burst=10) as replicas:
        await asyncio.gather(*(replica.cache.read(KEY, directives()) for replica in replicas))
        assert (upstream.calls, await _permits_taken(server)) == (1, 1)


async def test_a_wave_takes_a_permit_for_each_call_and_no_more(upstream: Upstream, server: FakeServer) -> None:
    account_ids = [AccountId(str(number)) for number in range(1, 31)]
    async with run_replicas(upstream, server, 3, per_second=0.01, burst=100, concurrency=4) as replicas:
        await asyncio.gather(
            *(replica.cache.read(account_id, directives()) for account_id in account_ids for replica in replicas)
        )
        assert (upstream.calls, await _permits_taken(server)) == (30, 30)


def _commands(replica: Replica) -> float:
    return sum(replica.redis_client._metrics.redis_commands.counts.values())


async def test_a_prefetched_permit_is_used_once_and_needs_no_other(server: FakeServer) -> None:
    async with run_budget_replicas(server, concurrency=1, per_second=0.01, burst=10) as (replica,):
        permit_request = _give(replica)
        await replica.take(permit_request)
        assert await _permits_taken(server) == 0
        await replica.take(permit_request)
        assert await _permits_taken(server) == 1


async def test_an_unused_prefetched_permit_delays_no_other_call(server: FakeServer) -> None:
    async with run_budget_replicas(server, concurrency=1, per_second=0.01, burst=10) as (replica,):
        permit_request = _give(replica)
        await replica.take(WAITING)
        assert monotonic() == pytest.approx(0.25, abs=0.01)
        await replica.take(permit_request)
        assert await _permits_taken(server) == 2


async def test_a_call_with_a_prefetched_permit_frees_its_slot_once(server: FakeServer) -> None:
    async with run_budget_replicas(server, concurrency=1) as (replica,):
        await asyncio.gather(
            replica.take(_give(replica), seconds=1), *(replica.take(WAITING, seconds=1) for _ in range(3))
        )
        assert replica.most_in_use == 1


async def test_no_prefetch_overtakes_a_waiting_request(server: FakeServer) -> None:
    async with run_budget_replicas(server, per_second=0.01, burst=1) as (replica,):
        await replica.take(WAITING)
        waiting = asyncio.create_task(replica.take(WAITING))
        await asyncio.sleep(0.1)
        assert not _may_ask(replica)
        await waiting
        assert _may_ask(replica)


async def test_a_refused_prefetch_frees_its_slot(server: FakeServer) -> None:
    async with run_budget_replicas(server, concurrency=1) as (replica,):
        for result in (None, (0, 5_000_000, 1)):
            _give(replica, result)
            assert replica.budget.reserve_slot()
            replica.budget.release()
        assert replica.fleet_rate.wait_seconds() == pytest.approx(5)


async def test_a_slot_is_freed_however_the_script_ends(server: FakeServer) -> None:
    async with run_budget_replicas(server, concurrency=1) as (replica,):
        with (
            pytest.raises(asyncio.CancelledError),
            PermitPrefetcher(replica.budget, replica.fleet_rate).with_lease(PermitRequest(Priority.WAITING)),
        ):
            raise asyncio.CancelledError
        assert replica.budget.reserve_slot()


async def test_nothing_is_prefetched_while_a_request_waits_or_no_call_could_be_made(
    server: FakeServer,
) -> None:
    async with run_budget_replicas(server, concurrency=1) as (replica,):
        holding = asyncio.create_task(replica.take(WAITING, seconds=1))
        await asyncio.sleep(0.1)
        assert not _may_ask(replica)
        waiting = asyncio.create_task(replica.take(WARM_UP, seconds=1))
        await asyncio.gather(holding, waiting)
        assert _may_ask(replica)
        await replica.fleet_rate.pause(5)
        assert not _may_ask(replica)


async def test_nothing_is_prefetched_that_would_not_be_used(server: FakeServer) -> None:
    async with run_budget_replicas(server) as (replica,):
        for is_ready in (False, True):
            ready = partial(bool, is_ready)
            with PermitPrefetcher(replica.budget, replica.fleet_rate, ready).with_lease(
                PermitRequest(Priority.WAITING)
            ) as prefetched:
                assert (prefetched.arguments is not None) == is_ready


async def test_a_prefetch_for_a_refresh_leaves_half_of_the_burst(server: FakeServer) -> None:
    async with run_budget_replicas(server, per_second=1, burst=11) as (replica,):
        asked = [_extra(replica, PermitRequest(priority)) for priority in (Priority.WAITING, Priority.REFRESH)]
    assert asked == [(1_000_000, 10_000_000, 1), (1_000_000, 5_000_000, 1)]


def _give(replica: BudgetReplica, result: tuple[int, int, int] | None = (1, 0, 1)) -> PermitRequest:
    """Give what Redis said to an errand that asked in prefetched."""
    permit_request = PermitRequest(Priority.WAITING)
    with PermitPrefetcher(replica.budget, replica.fleet_rate).with_lease(permit_request) as prefetched:
        assert prefetched.arguments is not None
        prefetched.result = result
    return permit_request


def _may_ask(replica: BudgetReplica) -> bool:
    return _extra(replica, PermitRequest(Priority.WAITING)) is not None


def _extra(replica: BudgetReplica, permit_request: PermitRequest) -> tuple[float, ...] | None:
    with PermitPrefetcher(replica.budget, replica.fleet_rate).with_lease(permit_request) as prefetched:
        return None if prefetched.arguments is None else tuple(prefetched.arguments.arguments)
