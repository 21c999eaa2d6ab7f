import asyncio

import pytest
from fakeredis import FakeAsyncRedis, FakeServer

from tests.support.budget_replica import WAITING, BudgetReplica, run_budget_replicas
from tests.support.virtual_time import monotonic


def _most_within(times: list[float], seconds: float) -> int:
    """Return the largest number of permits within any span of so many seconds."""
    return max(sum(start <= when < start + seconds for when in times) for start in times)


# The rate


async def test_the_whole_fleet_keeps_to_one_rate_and_one_burst(server: FakeServer) -> None:
    async with run_budget_replicas(server, 2, per_second=10, burst=5) as replicas:
        await asyncio.gather(*(replica.take(WAITING) for replica in replicas for _ in range(60)))
    times = sorted(when for replica in replicas for when in replica.times)
    assert all(_most_within(times, seconds) <= 5 + 10 * seconds for seconds in (0.05, 0.5, 1, 2, 5, 10))
    assert times[-1] == pytest.approx((120 - 5) / 10, abs=0.2)
    assert all(len([when for when in replica.times if when < 5]) >= 10 for replica in replicas)


async def test_without_redis_each_replica_keeps_to_its_share(server: FakeServer) -> None:
    server.connected = False
    async with run_budget_replicas(server, 2, per_second=10, burst=5) as replicas:
        await asyncio.gather(*(replica.take(WAITING) for replica in replicas for _ in range(50)))
    for replica in replicas:
        assert all(_most_within(replica.times, seconds) <= 5 / 2 + 5 * seconds for seconds in (0.5, 1, 2, 5))
        assert replica.times[-1] == pytest.approx(50 / 5, abs=0.6)


async def test_losing_redis_and_finding_it_give_at_most_one_more_burst_each(server: FakeServer) -> None:
    async with run_budget_replicas(server, 2, per_second=10, burst=6) as replicas:
        tasks = [asyncio.create_task(replica.take(WAITING)) for replica in replicas for _ in range(60)]
        await asyncio.sleep(3)
        server.connected = False
        await asyncio.sleep(4)
        server.connected = True
        await asyncio.gather(*tasks)
    times = sorted(when for replica in replicas for when in replica.times)
    assert all(_most_within(times, seconds) <= 2 * 6 + 10 * seconds for seconds in (0.5, 1, 2))
    assert all(_most_within(times, seconds) <= 3 * 6 + 10 * seconds for seconds in (5, 10))
    assert times[-1] == pytest.approx(120 / 10, abs=2)


# When the upstream asks for quiet


async def test_a_pause_stops_the_whole_fleet(server: FakeServer) -> None:
    async with run_budget_replicas(server, 2, per_second=10, burst=5) as replicas:
        tasks = [asyncio.create_task(replica.take(WAITING)) for replica in replicas for _ in range(20)]
        await asyncio.sleep(1)
        await replicas[0].fleet_rate.pause(5)
        await asyncio.gather(*tasks)
    times = [when for replica in replicas for when in replica.times]
    assert [when for when in times if 1 < when < 6] == []
    assert len([when for when in times if when < 1]) >= 10


async def _rate_after_pauses(server: FakeServer, *pauses: int) -> list[int]:
    """Count the permits of each two seconds after replicas, by number, have paused the fleet at one moment."""
    async with run_budget_replicas(server, 2, per_second=10, burst=1) as replicas:
        await replicas[0].take(WAITING)
        for number in pauses:
            await replicas[number].fleet_rate.pause(4)
        over = monotonic() + 4
        tasks = [asyncio.create_task(replicas[0].take(WAITING)) for _ in range(150)]
        await asyncio.sleep(4 + 14.1)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return [sum(over + start <= when < over + start + 2 for when in replicas[0].times) for start in range(0, 14, 2)]


async def test_after_a_pause_the_rate_is_halved_and_recovers(server: FakeServer) -> None:
    rates = await _rate_after_pauses(server, 0)
    assert rates[0] == pytest.approx(10, abs=2)
    assert rates == sorted(rates)
    assert rates[-1] == pytest.approx(20, abs=1)


async def test_a_pause_that_has_no_effect_any_more_leaves_no_trace(server: FakeServer) -> None:
    raw = FakeAsyncRedis(server=server)
    async with run_budget_replicas(server, per_second=10, burst=5) as (replica,):
        await replica.fleet_rate.pause(4)
        await asyncio.sleep(4 + 5)
        await replica.take(WAITING)
        assert await raw.hlen("t:{budget}") == 5
        await asyncio.sleep(10)
        await replica.take(WAITING)
        assert await raw.hkeys("t:{budget}") == [b"next"]


async def test_refusals_of_one_moment_slow_the_fleet_down_once(server: FakeServer) -> None:
    rates = await _rate_after_pauses(server, 0, 1, 0)
    assert rates[0] == pytest.approx(10, abs=2)


async def test_a_pause_that_redis_could_not_record_holds_for_the_replica_that_was_asked(server: FakeServer) -> None:
    async with run_budget_replicas(server, per_second=10, burst=5) as (replica,):
        await replica.take(WAITING)
        server.connected = False
        await replica.fleet_rate.pause(20)
        server.connected = True
        came = monotonic()
        await asyncio.sleep(5)
        await replica.take(WAITING)
        assert monotonic() - came >= 20


async def test_without_redis_a_pause_stops_the_replica_that_was_asked(server: FakeServer) -> None:
    server.connected = False
    async with run_budget_replicas(server, per_second=10, burst=5) as (replica,):
        await replica.fleet_rate.pause(5)
        await asyncio.gather(*(replica.take(WAITING) for _ in range(10)))
    assert replica.times[0] == pytest.approx(5, abs=0.01)
    assert _most_within(replica.times, 0.05) <= 5


# Who asks


async def test_a_replica_counts_those_that_ask_twice_a_second_at_most(server: FakeServer) -> None:
    raw = FakeAsyncRedis(server=server)

    async def ask(*asking: BudgetReplica) -> tuple[object, list[int]]:
        for replica in asking:
            await replica.fleet_rate.take(1, leave_headroom=False)
        return await raw.zrange("t:{budget}:asking", 0, -1, withscores=True), [
            replica.fleet_rate.active_replicas for replica in replicas
        ]

    async with run_budget_replicas(server, 2) as replicas:
        counted = await ask(replicas[0])
        for _ in range(4):
            await asyncio.sleep(0.12)
            assert await ask(replicas[0]) == counted
        _, active = await ask(replicas[1])
        assert active == [1, 2]
        await asyncio.sleep(0.02)
        assert (await ask(replicas[0]))[1] == [2, 2]
        for _ in range(4):
            await asyncio.sleep(0.4)
            assert (await ask(*replicas))[1] == [2, 2]  # who asks without a break is counted without one
        for _ in range(4):
            await asyncio.sleep(0.4)
            _, active = await ask(replicas[0])
        assert active == [1, 2]


async def test_replicas_are_counted_as_soon_as_redis_is_back(server: FakeServer) -> None:
    async with run_budget_replicas(server, 2) as (replica, _):
        await replica.fleet_rate.take(1, leave_headroom=False)
        server.connected = False
        await replica.fleet_rate.take(1, leave_headroom=False)
        assert replica.fleet_rate.active_replicas == 2
        server.connected = True
        await replica.fleet_rate.take(1, leave_headroom=False)
        assert replica.fleet_rate.active_replicas == 1


async def test_the_budget_is_forgotten_an_hour_after_the_last_census(server: FakeServer) -> None:
    raw = FakeAsyncRedis(server=server)
    async with run_budget_replicas(server) as (replica,):
        await replica.fleet_rate.take(1, leave_headroom=False)
        await raw.delete("t:{budget}")
        await replica.fleet_rate.take(1, leave_headroom=False)
        assert await raw.pttl("t:{budget}") == 3_600_000  # also when it is made without one
        await asyncio.sleep(0.6)
        await replica.fleet_rate.take(1, leave_headroom=False)
        assert await raw.pttl("t:{budget}") == 3_600_000
