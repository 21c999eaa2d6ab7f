"""A turn that comes with the lease."""

import asyncio
from functools import partial

import pytest
from fakeredis import FakeAsyncRedis, FakeServer

from app.balances.snapshots import AccountId
from app.budget.budget import PermitRequest, Priority
from app.budget.prefetch import PermitPrefetcher
from tests.support.budget_replica import WAITING, WARM_UP, Till, run_tills
from tests.support.replica import KEY, Replica, Upstream, directives, run_replicas
from tests.support.virtual_time import monotonic, unix_ms


async def _turns_taken(server: FakeServer) -> int:
    """Tell how many turns the fleet has taken since it last rested, of those that come once in 100 seconds."""
    due = await FakeAsyncRedis(server=server).hget("t:{budget}", "next")
    return 0 if due is None else round((int(due) / 1000 - unix_ms()) / 100_000)


async def test_a_cold_read_asks_redis_twice(upstream: Upstream, server: FakeServer) -> None:
    async with run_replicas(upstream, server, 1) as (replica,):
        before = _commands(replica)
        await replica.cache.read(KEY, directives())
        assert _commands(replica) - before == 2
    assert upstream.calls == 1


async def test_who_finds_the_lease_elsewhere_takes_no_turn(upstream: Upstream, server: FakeServer) -> None:
    async with run_replicas(upstream, server, 4, per_second=0.01, burst=10) as replicas:
        await asyncio.gather(*(replica.cache.read(KEY, directives()) for replica in replicas))
        assert (upstream.calls, await _turns_taken(server)) == (1, 1)


async def test_a_wave_takes_a_turn_for_each_call_and_no_more(upstream: Upstream, server: FakeServer) -> None:
    keys = [AccountId(str(number)) for number in range(1, 31)]
    async with run_replicas(upstream, server, 3, per_second=0.01, burst=100, concurrency=4) as replicas:
        await asyncio.gather(*(replica.cache.read(key, directives()) for key in keys for replica in replicas))
        assert (upstream.calls, await _turns_taken(server)) == (30, 30)


def _commands(replica: Replica) -> float:
    return sum(replica.redis_client._metrics.redis_commands.counts.values())


async def test_an_advance_is_used_once_and_wants_no_other_turn(server: FakeServer) -> None:
    async with run_tills(server, concurrency=1, per_second=0.01, burst=10) as (till,):
        permit_request = _give(till)
        await till.take(permit_request)
        assert await _turns_taken(server) == 0
        await till.take(permit_request)
        assert await _turns_taken(server) == 1


async def test_an_advance_that_is_not_used_at_once_holds_up_nobody(server: FakeServer) -> None:
    async with run_tills(server, concurrency=1, per_second=0.01, burst=10) as (till,):
        permit_request = _give(till)
        await till.take(WAITING)
        assert monotonic() == pytest.approx(0.25, abs=0.01)
        await till.take(permit_request)
        assert await _turns_taken(server) == 2


async def test_a_call_that_was_made_in_advance_gives_its_place_back_once(server: FakeServer) -> None:
    async with run_tills(server, concurrency=1) as (till,):
        await asyncio.gather(till.take(_give(till), seconds=1), *(till.take(WAITING, seconds=1) for _ in range(3)))
        assert till.most_in_use == 1


async def test_nobody_goes_ahead_of_who_waits_for_a_turn(server: FakeServer) -> None:
    async with run_tills(server, per_second=0.01, burst=1) as (till,):
        await till.take(WAITING)
        waiting = asyncio.create_task(till.take(WAITING))
        await asyncio.sleep(0.1)
        assert not _may_ask(till)
        await waiting
        assert _may_ask(till)


async def test_what_was_refused_leaves_the_place_to_others(server: FakeServer) -> None:
    async with run_tills(server, concurrency=1) as (till,):
        for told in ((), (0, 5_000_000, 1)):
            _give(till, told)
            assert till.budget.reserve_slot()
            till.budget.release()
        assert till.fleet_rate.wait_seconds() == pytest.approx(5)


async def test_a_place_is_given_back_whatever_ends_the_question(server: FakeServer) -> None:
    async with run_tills(server, concurrency=1) as (till,):
        with (
            pytest.raises(asyncio.CancelledError),
            PermitPrefetcher(till.budget, till.fleet_rate).with_lease(PermitRequest(Priority.WAITING)),
        ):
            raise asyncio.CancelledError
        assert till.budget.reserve_slot()


async def test_nothing_is_asked_for_in_advance_where_somebody_waits_or_no_call_could_be_made(
    server: FakeServer,
) -> None:
    async with run_tills(server, concurrency=1) as (till,):
        holding = asyncio.create_task(till.take(WAITING, seconds=1))
        await asyncio.sleep(0.1)
        assert not _may_ask(till)
        waiting = asyncio.create_task(till.take(WARM_UP, seconds=1))
        await asyncio.gather(holding, waiting)
        assert _may_ask(till)
        await till.fleet_rate.pause(5)
        assert not _may_ask(till)


async def test_nothing_is_asked_for_in_advance_that_would_not_be_used(server: FakeServer) -> None:
    async with run_tills(server) as (till,):
        for is_ready in (False, True):
            ready = partial(bool, is_ready)
            with PermitPrefetcher(till.budget, till.fleet_rate, ready).with_lease(
                PermitRequest(Priority.WAITING)
            ) as advance:
                assert (advance.arguments is not None) == is_ready


async def test_a_refresh_in_advance_leaves_half_of_the_burst(server: FakeServer) -> None:
    async with run_tills(server, per_second=1, burst=11) as (till,):
        asked = [_extra(till, PermitRequest(priority)) for priority in (Priority.WAITING, Priority.REFRESH)]
    assert asked == [(1_000_000, 10_000_000), (1_000_000, 5_000_000)]


def _give(till: Till, told: tuple[int, ...] = (1, 0, 1)) -> PermitRequest:
    """Give what Redis said to an errand that asked in advance."""
    permit_request = PermitRequest(Priority.WAITING)
    with PermitPrefetcher(till.budget, till.fleet_rate).with_lease(permit_request) as advance:
        assert advance.arguments is not None
        advance.result = told
    return permit_request


def _may_ask(till: Till) -> bool:
    return _extra(till, PermitRequest(Priority.WAITING)) is not None


def _extra(till: Till, permit_request: PermitRequest) -> tuple[float, ...] | None:
    with PermitPrefetcher(till.budget, till.fleet_rate).with_lease(permit_request) as advance:
        return None if advance.arguments is None else tuple(advance.arguments.arguments)
