"""Several replicas over one Redis, each with everything real but the upstream."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from fakeredis import FakeServer
from msgspec import UNSET
from structlog.testing import capture_logs

from app.balances.snapshots import AccountId, Snapshot
from app.cache.freshness import RequestDirectives
from app.cache.served import Served, Source
from app.errors import BudgetSpent, NotCached, Unreachable
from app.fleet.lease import LEASE_MS
from app.history.recording import HistoryOptions
from tests.support.replica import KEY, Replica, Upstream, directives, run_replicas
from tests.support.virtual_time import monotonic, unix_ms


@pytest.fixture
async def replicas(upstream: Upstream, server: FakeServer) -> AsyncIterator[list[Replica]]:
    async with run_replicas(upstream, server, 4) as running:
        yield running


async def _die(replica: Replica) -> None:
    """End what a replica fetches, as others see it when its process dies: nothing of it reaches Redis any more."""
    while replica.redis_client.available:
        replica.redis_client._breaker.record_failure()
    await replica.cache.close()


async def test_simultaneous_cold_reads_at_all_replicas_make_one_call(
    replicas: list[Replica], upstream: Upstream
) -> None:
    reads = (replica.cache.read(KEY, directives()) for _ in range(25) for replica in replicas)
    served = await asyncio.gather(*reads)
    assert upstream.calls == 1
    assert len({one.entry for one in served}) == 1


@pytest.mark.parametrize("seconds_back", [0.2, 1])
async def test_what_was_asked_for_later_is_newer_though_a_clock_went_back(
    replicas: list[Replica], upstream: Upstream, seconds_back: float
) -> None:
    asking, listening, *_ = replicas
    first = (await asking.cache.read(KEY, directives())).entry
    await asking.settle()
    asking.ahead_ms = round(-1000 * seconds_back)
    second = (await asking.cache.read(KEY, _now(asking, no_cache=True))).entry
    await asyncio.sleep(0.01)
    other = await listening.cache.read(KEY, directives())
    assert (second.as_of, second) == (first.as_of + 1, other.entry)
    assert other.source is Source.MEMORY
    assert upstream.calls == 2


@pytest.mark.parametrize(("stood_seconds", "as_of"), [(3, 500), (0.9, 4000), (60, 0)])
async def test_an_answer_after_a_standstill_counts_as_of_its_beginning_and_never_as_from_before_the_call(
    replicas: list[Replica], upstream: Upstream, stood_seconds: float, as_of: int
) -> None:
    asking, *_ = replicas
    upstream.seconds = 4
    began = unix_ms()
    reading = asyncio.create_task(asking.cache.read(KEY, directives()))
    await asyncio.sleep(3.5)
    now = asyncio.get_running_loop().time()
    asking.fleet.standstills.tick(now - stood_seconds)
    asking.fleet.standstills.tick(now)
    assert (await reading).entry.as_of - began == pytest.approx(as_of, abs=20)


@pytest.mark.parametrize("stood_seconds", [0, 3])
async def test_the_history_has_no_look_of_which_nobody_knows_when_it_was(
    upstream: Upstream, server: FakeServer, stood_seconds: float
) -> None:
    async with run_replicas(upstream, server, 1, history=HistoryOptions(keep_ms=10**9, max_bytes=10**9)) as (asking,):
        upstream.seconds = 4
        reading = asyncio.create_task(asking.cache.read(KEY, directives()))
        await asyncio.sleep(3.5)
        now = asyncio.get_running_loop().time()
        asking.fleet.standstills.tick(now - stood_seconds)
        asking.fleet.standstills.tick(now)
        entry = (await reading).entry
        await asking.settle()
        assert (entry.sequence is UNSET) is (stood_seconds > 0)


def _now(replica: Replica, **directives: bool) -> RequestDirectives:
    """Say what a request accepts that comes now, by the clock of a replica."""
    return RequestDirectives(unix_ms() + replica.ahead_ms, **directives)


@pytest.mark.parametrize("ahead_seconds", [4, 3600, -3600])
async def test_a_replica_with_a_wrong_clock_makes_nobody_answer_what_is_old(
    replicas: list[Replica], upstream: Upstream, ahead_seconds: int
) -> None:
    wrong, *_ = replicas
    wrong.ahead_ms = 1000 * ahead_seconds
    began = monotonic()
    with capture_logs() as logs:
        while monotonic() < began + 60:
            for replica in replicas:
                served = await replica.cache.read(KEY, _now(replica))
                assert isinstance(served.entry, Snapshot)
                asked_at = upstream.arrivals[int(served.entry.balances[0].total) - 1]
                assert monotonic() - asked_at < 5.5
            await asyncio.sleep(0.1)
    assert 11 <= upstream.calls <= 26
    warned = [line["seconds"] for line in logs if line["event"] == "bus.clocks_differ"]
    assert len(warned) == (3 if ahead_seconds > 0 else 1)
    assert all(abs(seconds - abs(ahead_seconds)) < 1 for seconds in warned)


async def test_what_a_wrong_clock_left_in_redis_is_found_by_nobody_and_replaced(
    replicas: list[Replica], upstream: Upstream
) -> None:
    wrong, late, later, latest = replicas
    wrong.ahead_ms = 3_600_000
    await wrong.cache.read(KEY, _now(wrong))
    assert await late.fleet.look_up([KEY]) == {}
    with pytest.raises(NotCached):
        await late.cache.read(KEY, _now(late, only_if_cached=True))
    assert (await late.cache.read(KEY, _now(late))).source is Source.FETCHED
    later.memory.forget(KEY)
    assert (await later.cache.read(KEY, _now(later))).source is Source.REDIS
    latest.memory.forget(KEY)
    (listed,) = (await latest.cache.read_many([KEY], _now(latest, only_if_cached=True))).values()
    assert isinstance(listed, Served)
    assert listed.source is Source.REDIS
    assert upstream.calls == 2


async def test_what_was_known_before_a_clock_went_back_an_hour_is_fetched_once_more(
    replicas: list[Replica], upstream: Upstream
) -> None:
    asking, *_ = replicas
    asking.ahead_ms = 3_600_000
    await asking.cache.read(KEY, _now(asking))
    asking.ahead_ms = 0
    served = [await asking.cache.read(KEY, _now(asking)) for _ in range(3)]
    assert [one.source for one in served] == [Source.FETCHED, Source.MEMORY, Source.MEMORY]
    assert upstream.calls == 2


async def test_a_wave_of_accounts_makes_one_call_for_each(replicas: list[Replica], upstream: Upstream) -> None:
    account_ids = [AccountId(str(number)) for number in range(1, 51)]
    served = await asyncio.gather(
        *(replica.cache.read(account_id, directives()) for account_id in account_ids for replica in replicas)
    )
    assert sorted(upstream.asked) == sorted(account_ids)
    assert {one.entry.account_id for one in served} == set(account_ids)


async def test_a_hot_account_is_fetched_once_a_window_and_its_readers_never_wait(
    replicas: list[Replica], upstream: Upstream
) -> None:
    await replicas[0].cache.read(KEY, directives())
    await replicas[0].settle()
    began = monotonic()
    while monotonic() < began + 60:
        for replica in replicas:
            asked = monotonic()
            served = await replica.cache.read(KEY, directives())
            assert monotonic() == asked
            assert unix_ms() - served.entry.as_of <= 5_000 + 150
        await asyncio.sleep(0.02)
    assert 11 <= upstream.calls <= 13


async def test_a_lease_released_at_shutdown_is_taken_immediately_and_no_caller_sees_a_failure(
    replicas: list[Replica], upstream: Upstream
) -> None:
    going, *staying = replicas
    lost = asyncio.create_task(going.cache.read(KEY, directives()))
    await asyncio.sleep(0.01)
    waiting = [asyncio.create_task(replica.cache.read(KEY, directives())) for replica in staying]
    await asyncio.sleep(0.01)
    await going.cache.close()
    served = await asyncio.gather(*waiting)
    assert monotonic() < 0.2
    assert len({one.entry for one in served}) == 1
    assert upstream.calls == 2
    with pytest.raises(asyncio.CancelledError):
        await lost


@pytest.mark.parametrize("seconds", [0.05, 0.3, 0.47])
async def test_when_the_holder_of_the_lease_dies_another_takes_over_as_soon_as_it_ends(
    replicas: list[Replica], upstream: Upstream, seconds: float
) -> None:
    upstream.seconds = 0.5
    holder, *others = replicas
    lost = asyncio.create_task(holder.cache.read(KEY, directives()))
    await asyncio.sleep(0.01)
    waiting = [asyncio.create_task(replica.cache.read(KEY, directives())) for replica in others for _ in range(10)]
    await asyncio.sleep(seconds - 0.01)
    await _die(holder)
    died = monotonic()
    served = await asyncio.gather(*waiting)
    assert monotonic() - died <= LEASE_MS / 1000 * 1.05 + 0.5
    assert upstream.calls == 2
    assert len({one.entry for one in served}) == 1
    assert lost.cancelled()


async def test_a_call_longer_than_the_lease_stays_the_only_one(replicas: list[Replica], upstream: Upstream) -> None:
    upstream.seconds = 5
    await asyncio.gather(*(replica.cache.read(KEY, directives()) for replica in replicas))
    assert upstream.calls == 1


async def test_after_its_call_a_replica_keeps_no_lease_and_no_task(upstream: Upstream, server: FakeServer) -> None:
    upstream.seconds = 2.4
    async with run_replicas(upstream, server, 3) as replicas:
        for number in range(20):
            upstream.seconds = 2.39 + number / 1000
            await asyncio.gather(*(replica.cache.read(AccountId(str(number)), directives()) for replica in replicas))
        await asyncio.sleep(0)
        names = [str(task.get_coro()) for task in asyncio.all_tasks()]
    assert [name for name in names if "keep_lease" in name] == []


async def test_failing_refreshes_back_off_while_stale_answers_go_on(
    replicas: list[Replica], upstream: Upstream
) -> None:
    await replicas[0].cache.read(KEY, directives())
    upstream.error = Unreachable("x")
    calls = []
    for _ in range(5):
        before = upstream.calls
        for _ in range(600):
            await asyncio.gather(*(replica.cache.read(KEY, directives()) for replica in replicas))
            await asyncio.sleep(0.1)
        calls.append(upstream.calls - before)
    assert calls[0] <= 4 * 8
    assert all(count <= 4 * 3 for count in calls[1:])
    assert all(calls)


async def test_after_a_backed_off_failure_the_upstream_is_found_well_again(
    replicas: list[Replica], upstream: Upstream
) -> None:
    await replicas[0].cache.read(KEY, directives())
    upstream.error = Unreachable("x")
    for _ in range(120):
        await replicas[0].cache.read(KEY, directives())
        await asyncio.sleep(1)
    upstream.error = None
    for _ in range(31):
        await replicas[0].cache.read(KEY, directives())
        await asyncio.sleep(1)
    served = await replicas[0].cache.read(KEY, directives())
    assert served.covered_error is None
    assert unix_ms() - served.entry.as_of <= 35_000


async def test_a_replica_that_joins_late_calls_nobody(
    replicas: list[Replica], upstream: Upstream, server: FakeServer
) -> None:
    account_ids = [AccountId(str(number)) for number in range(1, 21)]
    await asyncio.gather(*(replicas[0].cache.read(account_id, directives()) for account_id in account_ids))
    await replicas[0].settle()
    late = Replica(upstream, server, "late")
    async with late.running():
        served = await asyncio.gather(*(late.cache.read(account_id, directives()) for account_id in account_ids))
    assert {one.source for one in served} == {Source.REDIS}
    assert upstream.calls == len(account_ids)


async def test_no_cache_at_every_replica_gets_every_one_a_call_that_began_after_it(
    replicas: list[Replica], upstream: Upstream
) -> None:
    first = asyncio.create_task(replicas[0].cache.read(KEY, directives()))
    await asyncio.sleep(0.05)
    served = await asyncio.gather(
        *(replica.cache.read(KEY, directives(no_cache=True)) for replica in replicas for _ in range(5))
    )
    assert (await first).entry.as_of < min(one.entry.as_of for one in served)
    assert upstream.calls <= 1 + len(replicas)


async def test_a_wave_beyond_the_budget_learns_when_to_retry(upstream: Upstream, server: FakeServer) -> None:
    async with run_replicas(upstream, server, 2, per_second=10, burst=10) as replicas:
        reads = (
            replica.cache.read(AccountId(str(number)), directives()) for number in range(1, 91) for replica in replicas
        )
        results = await asyncio.gather(*reads, return_exceptions=True)
        refused = [one for one in results if isinstance(one, BaseException)]
        assert all(isinstance(one, BudgetSpent) and one.retry_after_seconds for one in refused)
        assert 0 < len(refused) < len(results)
        assert upstream.calls <= 10 + 6 * 10
