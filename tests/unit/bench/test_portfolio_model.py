"""A fleet that sweeps, in virtual time: whole within the floor and a little, and young from then on."""

import asyncio

import pytest

from app.balances.snapshots import AccountId
from app.budget.budget import Budget, PermitRequest, Priority
from app.portfolio.sweep_figures import SweepState
from bench.portfolio_model import DEMAND_SECONDS, DIRECTORY_SECONDS, PortfolioConditions, PortfolioFleet, run_portfolio
from tests.support.virtual_time import monotonic

FRESH_SECONDS = 5
CALL_SECONDS = 0.3
"""What an age may exceed its bound by: calls differ in how long they take."""

TAKEOVER_SECONDS = 5


def assert_in_time(fleet: PortfolioFleet, conditions: PortfolioConditions, late_seconds: float = 0) -> float:
    """Assert that the whole was there in time, for few calls, within the budget, and stayed young. Return when it was there."""
    upstream = fleet.upstream
    floor = conditions.merchants / conditions.budget
    assert upstream.whole_at <= 1.15 * floor + 2 + late_seconds
    assert upstream.calls_until(upstream.whole_at) <= 1.25 * conditions.merchants
    oldest = upstream.oldest_seconds(upstream.whole_at, monotonic())
    assert oldest <= max(1.25 * floor, FRESH_SECONDS) * 1.01 + CALL_SECONDS + late_seconds
    assert upstream.excess(conditions.budget, conditions.budget) <= 1
    return upstream.whole_at


@pytest.mark.parametrize("replicas", [1, 4])
@pytest.mark.parametrize("budget", [10, 50, 200])
@pytest.mark.parametrize("merchants", [30, 400])
async def test_the_whole_gets_whole_and_stays_young(merchants: int, budget: float, replicas: int) -> None:
    conditions = PortfolioConditions(merchants=merchants, budget=budget, replicas=replicas)
    async with run_portfolio(conditions) as fleet:
        await fleet.ask(max(3.5 * merchants / budget, 20))
        assert_in_time(fleet, conditions)
        assert all(replica.queue.unknown == 0 for replica in fleet.replicas)
        assert len(fleet.sweeping) == 1


@pytest.mark.parametrize(("merchants", "budget", "replicas"), [(2000, 50, 1), (2000, 200, 4), (2000, 200, 50)])
async def test_a_large_portfolio_gets_whole_in_a_fleet_of_any_size(
    merchants: int, budget: float, replicas: int
) -> None:
    conditions = PortfolioConditions(merchants=merchants, budget=budget, replicas=replicas)
    async with run_portfolio(conditions) as fleet:
        await fleet.ask(2.4 * merchants / budget)
        assert_in_time(fleet, conditions)


async def test_a_busy_moment_says_nothing_of_a_sweep_that_keeps_up_since() -> None:
    conditions = PortfolioConditions(merchants=20, budget=10)
    async with run_portfolio(conditions) as fleet:
        await fleet.ask(0.3)
        permits = fleet.replicas[0].budget.permits
        await asyncio.gather(*(_use(permits) for _ in range(50)))
        await fleet.ask(20)
        assert fleet.replicas[0].sweep.status().seconds_to_round == 2


async def _use(permits: Budget) -> None:
    async with permits.permit(PermitRequest(Priority.REFRESH), 10):
        pass


@pytest.mark.parametrize("pause", ["breaker", "budget", "token"])
async def test_an_upstream_that_is_away_makes_no_sweep_starved(pause: str) -> None:
    conditions = PortfolioConditions(merchants=400, budget=10)
    async with run_portfolio(conditions) as fleet:
        await fleet.ask(20)
        (replica,) = fleet.replicas
        before, calls = replica.sweep.reached, len(fleet.upstream.began)
        if pause == "breaker":
            replica.pause_seconds = 0.5
        elif pause == "token":
            fleet.upstream.refuses_the_token = True
        else:
            await replica.budget.rate.pause(60)
        await fleet.ask(60)
        assert len(fleet.upstream.began) <= calls + conditions.concurrency
        assert replica.sweep.reached > 0.9 * before
        replica.pause_seconds, fleet.upstream.refuses_the_token = 0, False
        await fleet.ask(40)
        assert_in_time(fleet, conditions, late_seconds=60)


async def test_merchants_that_fail_hold_up_nobody() -> None:
    conditions = PortfolioConditions(merchants=400, budget=10, replicas=4, failing=0.03)
    async with run_portfolio(conditions) as fleet:
        await fleet.ask(150)
        assert_in_time(fleet, conditions)
        failing = fleet.upstream.failing
        for replica in fleet.replicas:
            assert {one for one in fleet.upstream.merchants if replica.queue.last_failure(one)} == failing
            assert replica.sweep.status().seconds_to_whole == 0


async def test_a_replica_that_dies_in_the_middle_of_a_round_loses_nothing() -> None:
    conditions = PortfolioConditions(merchants=400, budget=10, replicas=4)
    async with run_portfolio(conditions) as fleet:
        asking = asyncio.create_task(fleet.ask(150, every_seconds=3))
        for _ in range(2):
            await asyncio.sleep(12)
            (sweeping,) = fleet.sweeping
            await sweeping.kill()
            fleet.replicas.remove(sweeping)
            await asyncio.sleep(TAKEOVER_SECONDS)
            assert len(fleet.sweeping) == 1
        await asking
        assert_in_time(fleet, conditions, 2 * TAKEOVER_SECONDS)


async def test_a_replica_that_stops_gives_the_sweep_to_another_one_soon() -> None:
    async with run_portfolio(PortfolioConditions(merchants=400, budget=10, replicas=2)) as fleet:
        await fleet.ask(5)
        (sweeping,) = fleet.sweeping
        await sweeping.sweep.demand.release()
        await asyncio.sleep(1.1)
        assert len(fleet.sweeping) == 1


async def test_a_replica_that_alone_does_not_reach_the_upstream_leaves_the_sweep_to_another_one() -> None:
    conditions = PortfolioConditions(merchants=400, budget=10, replicas=4)
    async with run_portfolio(conditions) as fleet:
        await fleet.ask(12)
        (sweeping,) = fleet.sweeping
        sweeping.pause_seconds = 0.5
        await fleet.ask(9, every_seconds=1)
        assert fleet.sweeping == [sweeping]
        await fleet.ask(80, every_seconds=1)
        assert fleet.sweeping[0] is not sweeping
        assert_in_time(fleet, conditions, late_seconds=15)


async def test_redis_may_be_away_for_a_while() -> None:
    conditions = PortfolioConditions(merchants=400, budget=10, replicas=4)
    async with run_portfolio(conditions) as fleet:
        asking = asyncio.create_task(fleet.ask(200, every_seconds=1))
        await asyncio.sleep(15)
        await fleet.restart_redis(20)
        await asking
        floor = conditions.merchants / conditions.budget
        upstream = fleet.upstream
        # each replica fetched for itself at its share meanwhile: at worst, all of it was of use to nobody else
        assert upstream.whole_at <= 1.15 * floor + 2 + 20 + TAKEOVER_SECONDS
        late_seconds = 20 + CALL_SECONDS + TAKEOVER_SECONDS
        assert upstream.oldest_seconds(upstream.whole_at, monotonic()) <= 1.25 * floor + late_seconds
        assert upstream.excess(conditions.budget, 2 * conditions.budget) <= 1
        assert len(fleet.sweeping) == 1


async def test_a_new_merchant_is_known_within_the_directory_s_time_and_one_that_is_gone_is_left_alone() -> None:
    conditions = PortfolioConditions(merchants=100, budget=10, replicas=2)
    async with run_portfolio(conditions) as fleet:
        await fleet.ask(20)
        gone, *others = fleet.upstream.merchants
        new = AccountId("99999")
        fleet.upstream.merchants = [*others, new]
        began = monotonic()
        await fleet.ask(2 * DIRECTORY_SECONDS)
        answers = fleet.upstream.answers
        assert answers[new][0] - began <= DIRECTORY_SECONDS + 1
        assert answers[gone][-1] - began <= DIRECTORY_SECONDS
        assert all(len(replica.queue) == 100 for replica in fleet.replicas)


@pytest.mark.parametrize("every_seconds", [0.2, 5])
async def test_a_caller_of_one_merchant_is_answered_as_if_there_were_no_sweep(every_seconds: float) -> None:
    conditions = PortfolioConditions(merchants=400, budget=10, replicas=4)
    async with run_portfolio(conditions) as fleet:
        reading = asyncio.create_task(fleet.read(60, 1 / every_seconds))
        await fleet.ask(60)
        waits = await reading
        assert max(waits) < CALL_SECONDS
        assert fleet.upstream.excess(conditions.budget, conditions.budget) <= 1


async def test_the_budget_is_left_to_callers_who_take_it_all() -> None:
    conditions = PortfolioConditions(merchants=400, budget=10, replicas=2, stale_seconds=60)
    async with run_portfolio(conditions) as fleet:
        reading = asyncio.create_task(fleet.read(60, 20))
        await fleet.ask(60)
        assert {replica.sweep.status().state for replica in fleet.replicas} == {SweepState.STARVED}
        await reading
        assert fleet.upstream.excess(conditions.budget, conditions.budget) <= 1


async def test_nobody_asks_and_nobody_is_asked() -> None:
    async with run_portfolio(PortfolioConditions(merchants=30, budget=10, replicas=4)) as fleet:
        await asyncio.sleep(900)
        assert not fleet.upstream.began
        await fleet.ask(1)
        await asyncio.sleep(DEMAND_SECONDS + 10)
        calls = len(fleet.upstream.began)
        assert calls > 30
        await asyncio.sleep(900)
        assert len(fleet.upstream.began) == calls
        assert {replica.sweep.status().state for replica in fleet.replicas} == {SweepState.IDLE}


async def test_demand_may_be_always_or_never() -> None:
    for demand_seconds, sweeps in ((float("inf"), True), (0.0, False)):
        conditions = PortfolioConditions(merchants=30, budget=10, demand_seconds=demand_seconds)
        async with run_portfolio(conditions) as fleet:
            if not sweeps:
                await fleet.ask(10)
            await asyncio.sleep(1000)
            assert bool(fleet.upstream.began) is sweeps
