import asyncio
import random

import pytest
from fakeredis import FakeServer
from structlog.testing import capture_logs

from app.balances.snapshots import AccountId
from app.budget.budget import PermitRequest, Priority
from app.cache.single_flight import SingleFlight
from app.errors import BudgetSpent
from tests.support.budget_replica import REFRESH, WAITING, WARM_UP, BudgetReplica, run_budget_replicas
from tests.support.virtual_time import monotonic


async def _wait_in_order(
    replica: BudgetReplica, *permit_requests: tuple[str, PermitRequest]
) -> list[asyncio.Task[None]]:
    """Let errands come one after the other."""
    tasks = []
    for name, permit_request in permit_requests:
        tasks.append(asyncio.create_task(replica.take(permit_request, name=name)))
        await asyncio.sleep(0.001)
    return tasks


async def test_no_more_permits_than_slots_are_in_use(server: FakeServer) -> None:
    async with run_budget_replicas(server, concurrency=3) as (replica,):
        await asyncio.gather(*(replica.take(WAITING, seconds=0.1) for _ in range(30)))
        assert replica.most_in_use == 3
        assert monotonic() == pytest.approx(30 / 3 * 0.1, abs=0.01)


# Who goes first


async def test_those_who_are_waited_for_go_first_then_refreshes_then_warming_up(server: FakeServer) -> None:
    async with run_budget_replicas(server, concurrency=1) as (replica,):
        tasks = await _wait_in_order(
            replica,
            ("holder", WAITING),
            *((permit_request.priority.name, permit_request) for permit_request in (WARM_UP, REFRESH, WAITING)),
        )
        assert replica.names == ["holder", "WARM_UP", "REFRESH", "WAITING"]
        replica.given.clear()
        await asyncio.gather(*tasks)


async def test_when_slots_are_few_the_most_urgent_is_granted_first(server: FakeServer) -> None:
    async with run_budget_replicas(server, concurrency=1) as (replica,):
        holder = asyncio.create_task(replica.take(WAITING, seconds=1))
        await asyncio.sleep(0.1)
        tasks = await _wait_in_order(replica, ("warm-up", WARM_UP), ("refresh", REFRESH), ("waiting", WAITING))
        await asyncio.gather(holder, *tasks)
    assert replica.names == ["", "waiting", "refresh", "warm-up"]


async def test_a_refresh_that_somebody_comes_to_wait_for_goes_before_other_refreshes(server: FakeServer) -> None:
    async with run_budget_replicas(server, concurrency=1) as (replica,):
        holder = asyncio.create_task(replica.take(WAITING, seconds=1))
        await asyncio.sleep(0.1)
        joined = PermitRequest(Priority.REFRESH)
        tasks = await _wait_in_order(replica, *((f"{number}", REFRESH) for number in range(5)), ("joined", joined))
        joined.escalate(PermitRequest(Priority.WAITING, "web"))
        await asyncio.gather(holder, *tasks)
    assert replica.names == ["", "joined", "0", "1", "2", "3", "4"]


async def test_half_of_the_burst_is_spared_for_those_who_are_waited_for(server: FakeServer) -> None:
    async with run_budget_replicas(server, per_second=1, burst=10) as (replica,):
        refreshes = [asyncio.create_task(replica.take(REFRESH)) for _ in range(10)]
        await asyncio.sleep(0.01)
        assert len(replica.given) == 5
        await asyncio.gather(*(replica.take(WAITING, name="waiting") for _ in range(4)))
        assert monotonic() < 0.1
        await asyncio.gather(*refreshes)


async def test_a_refresh_that_somebody_comes_to_wait_for_is_spared_no_more(server: FakeServer) -> None:
    async with run_budget_replicas(server, per_second=1, burst=10) as (replica,):
        await asyncio.gather(*(replica.take(WAITING) for _ in range(9)))
        joined = SingleFlight[None]()
        joined.join(
            AccountId("1"),
            PermitRequest(Priority.REFRESH),
            lambda permit_request: replica.take(permit_request, name="joined"),
        )
        await asyncio.sleep(0.01)
        assert "joined" not in replica.names
        flight, _ = joined.join(AccountId("1"), PermitRequest(Priority.WAITING, "web"), replica.take)
        await flight
        assert monotonic() < 1


async def test_who_wants_thousands_holds_nobody_up_who_wants_one(server: FakeServer) -> None:
    async with run_budget_replicas(server, per_second=10, burst=1) as (replica,):
        greedy = PermitRequest(Priority.WAITING, "greedy")
        crowd = [asyncio.create_task(replica.take(greedy, name="greedy")) for _ in range(1000)]
        await asyncio.sleep(1.05)
        before = len(replica.given)
        await replica.take(PermitRequest(Priority.WAITING, "modest"), 5, name="modest")
        assert replica.names[before:] in (["modest"], ["greedy", "modest"])
        for task in crowd:
            task.cancel()
        await asyncio.gather(*crowd, return_exceptions=True)


async def test_callers_alternate(server: FakeServer) -> None:
    async with run_budget_replicas(server, concurrency=1) as (replica,):
        holder = asyncio.create_task(replica.take(WAITING, seconds=1))
        await asyncio.sleep(0.1)
        callers = [name for name in "abc" for _ in range(5)]
        tasks = await _wait_in_order(replica, *((name, PermitRequest(Priority.WAITING, name)) for name in callers))
        await asyncio.gather(holder, *tasks)
    assert replica.names[1:] == list("abc") * 5


async def test_a_granted_request_no_longer_refers_to_its_waiter(server: FakeServer) -> None:
    """Else only the garbage collector would free them."""
    async with run_budget_replicas(server, concurrency=1) as (replica,):
        permit_requests = [PermitRequest(Priority.WAITING, "web") for _ in range(3)]
        await asyncio.gather(*(replica.take(permit_request, seconds=1) for permit_request in permit_requests))
        assert [permit_request.on_change for permit_request in permit_requests] == [None] * 3


# Who gets none


async def test_hopeless_requests_are_rejected_immediately_and_learn_when_to_retry(server: FakeServer) -> None:
    async with run_budget_replicas(server, per_second=1, burst=1) as (replica,):
        crowd = [asyncio.create_task(replica.take(WAITING)) for _ in range(10)]
        await asyncio.sleep(0.01)
        with pytest.raises(BudgetSpent) as spent:
            await replica.take(WAITING, 5)
        assert monotonic() == pytest.approx(0.01)
        assert spent.value.retry_after_seconds == pytest.approx(10, abs=1)
        await asyncio.gather(*crowd)


async def test_no_request_is_rejected_whose_permit_would_have_come(server: FakeServer) -> None:
    async with run_budget_replicas(server, per_second=10, burst=100) as (replica,):
        results = await asyncio.gather(*(replica.take(WAITING, 5) for _ in range(100)), return_exceptions=True)
        assert results == [None] * 100
        assert monotonic() < 0.1


async def test_a_single_request_is_not_hopeless_while_another_caller_has_thousands(server: FakeServer) -> None:
    async with run_budget_replicas(server, per_second=10, burst=1) as (replica,):
        crowd = [asyncio.create_task(replica.take(PermitRequest(Priority.WAITING, "greedy"))) for _ in range(1000)]
        await asyncio.sleep(0.01)
        await replica.take(PermitRequest(Priority.WAITING, "modest"), 0.5)
        for task in crowd:
            task.cancel()
        await asyncio.gather(*crowd, return_exceptions=True)


async def test_patience_ends_with_budget_spent(server: FakeServer) -> None:
    async with run_budget_replicas(server, concurrency=1) as (replica,):
        holder = asyncio.create_task(replica.take(WAITING, seconds=30))
        await asyncio.sleep(0.01)
        with pytest.raises(BudgetSpent) as spent:
            await replica.take(WAITING, 5)
        assert monotonic() == pytest.approx(5.01)
        assert spent.value.retry_after_seconds is not None
        await holder


# What is released


async def test_a_failed_call_frees_its_slot(server: FakeServer) -> None:
    async with run_budget_replicas(server, concurrency=1) as (replica,):
        for _ in range(5):
            with pytest.raises(ValueError, match="broken"):
                async with replica.budget.permit(WAITING, 1):
                    raise ValueError("broken")
        await replica.take(WAITING, 1)


async def _assert_slots(replica: BudgetReplica, count: int) -> None:
    """Check that so many permits can be held at a time and no more."""
    replica.most_in_use = 0
    before = monotonic()
    await asyncio.gather(*(replica.take(WAITING, seconds=1) for _ in range(2 * count)))
    assert replica.most_in_use == count
    assert monotonic() - before == pytest.approx(2, abs=0.05)


@pytest.mark.parametrize("connected", [True, False])
async def test_a_waiter_cancelled_in_the_moment_of_its_grant_releases_the_permit(
    server: FakeServer, connected: bool
) -> None:
    """Whichever comes first in that moment: at every step of the loop around it."""
    server.connected = connected
    with capture_logs() as logs:
        async with run_budget_replicas(server, concurrency=1) as (replica,):
            await asyncio.gather(*(replica.take(WAITING) for _ in range(10)))
            for steps in range(12):
                holder = asyncio.create_task(replica.take(WAITING, seconds=1))
                await asyncio.sleep(0.5)
                waiter = asyncio.create_task(replica.take(WAITING, seconds=1))
                await asyncio.sleep(0.4)
                holder.cancel()
                for _ in range(steps):
                    await asyncio.sleep(0)
                waiter.cancel()
                await asyncio.gather(holder, waiter, return_exceptions=True)
            await _assert_slots(replica, 1)
    assert [line["task"] for line in logs if line["event"] == "task.crashed"] == []


@pytest.mark.parametrize("seed", range(6))
async def test_no_slot_is_lost_however_many_are_cancelled_whenever(server: FakeServer, seed: int) -> None:
    chance = random.Random(seed)
    server.connected = seed % 2 == 0
    with capture_logs() as logs:
        async with run_budget_replicas(server, concurrency=3) as (replica,):
            tasks: list[asyncio.Task[None]] = []
            for _ in range(100):
                seconds = chance.choice((0, 0.01, 0.02))
                tasks.append(asyncio.create_task(replica.take(WAITING, chance.choice((0.01, 1)), seconds=seconds)))
                if chance.random() < 0.6:
                    chance.choice(tasks).cancel()
                for _ in range(chance.randrange(4)):
                    await asyncio.sleep(0)
                await asyncio.sleep(chance.choice((0, 0, 0.005, 0.01)))
            results = await asyncio.gather(*tasks, return_exceptions=True)
            assert {type(one) for one in results} <= {type(None), asyncio.CancelledError, BudgetSpent}
            await _assert_slots(replica, 3)
    assert [line["task"] for line in logs if line["event"] == "task.crashed"] == []
