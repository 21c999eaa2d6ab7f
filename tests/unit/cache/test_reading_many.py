"""Reads of many accounts: each gets what a single read gets, with one look-up in Redis, in time, and fair to others."""

import asyncio
from collections.abc import AsyncIterator
from typing import Final

import pytest
from fakeredis import FakeServer
from msgspec.structs import replace
from structlog.testing import capture_logs

from app.accounts import Accounts, Available, Unavailable
from app.api.views.parts import Coverage, PartView, oldest
from app.balances.snapshots import AccountId, Entry
from app.cache.served import Served, Source
from app.errors import DeadlinePassed, InternalError, NotCached, UpstreamFaulty
from tests.support.replica import PATIENCE_SECONDS, Replica, Upstream, directives, run_replicas
from tests.support.virtual_time import monotonic, unix_ms

KEYS = [AccountId(str(number)) for number in range(1, 101)]


@pytest.fixture
async def replicas(upstream: Upstream) -> AsyncIterator[list[Replica]]:
    async with run_replicas(upstream, FakeServer(), 2) as running:
        yield running


async def test_what_redis_has_takes_one_command_whatever_the_number(replicas: list[Replica]) -> None:
    one, other = replicas
    await one.cache.read_many(KEYS, directives())
    await one.settle()
    other.memory.distrust()  # as if the bus had sent it nothing
    sent = []
    attempt = other.redis_client.execute

    async def count(command: object, *reading: object, **options: bool) -> object:
        sent.append(command)
        return await attempt(command, *reading, **options)  # type: ignore[arg-type]

    other.redis_client.execute = count  # type: ignore[method-assign, assignment]
    results = await other.cache.read_many(KEYS, directives())
    assert {part.source for part in results.values() if isinstance(part, Served)} == {Source.REDIS}
    assert list(results) == KEYS
    assert len(sent) == 1


async def test_a_part_waits_less_than_a_single_read_so_that_the_rest_comes_in_time(
    replicas: list[Replica], upstream: Upstream
) -> None:
    upstream.seconds = 1000
    began = monotonic()
    with pytest.raises(Exception, match="No answer"):
        await replicas[0].cache.read(KEYS[0], directives())
    alone = monotonic() - began
    began = monotonic()
    await replicas[0].cache.read_many(KEYS[:2], directives())
    assert monotonic() - began <= 0.8 * alone + 0.01


async def test_the_directives_hold_for_each_part(replicas: list[Replica], upstream: Upstream) -> None:
    cache = replicas[0].cache
    accounts = Accounts(cache)
    await cache.read(KEYS[0], directives())
    stored, missing = await accounts.get_many(KEYS[:2], directives(only_if_cached=True), "web")
    assert isinstance(stored, Available)
    assert isinstance(missing, Unavailable)
    assert isinstance(missing.error, NotCached)
    assert upstream.calls == 1
    await accounts.get_many(KEYS[:2], directives(no_cache=True), "web")
    assert upstream.calls == 3


async def test_a_part_that_is_being_refreshed_or_covers_a_failure_is_stale(
    replicas: list[Replica], upstream: Upstream
) -> None:
    accounts = Accounts(replicas[0].cache)
    await accounts.get_many(KEYS[:1], directives(), "web")
    await asyncio.sleep(6)
    refreshed = await accounts.get_many(KEYS[:1], directives(), "web")
    assert Coverage.of(refreshed) == Coverage(1, 0, 1, 0)
    await asyncio.sleep(60)
    upstream.error = UpstreamFaulty("x")
    covered = await accounts.get_many(KEYS[:2], directives(), "web")
    assert [PartView.of(part).status for part in covered] == ["stale", "unavailable"]


async def test_a_fault_of_ours_is_covered_by_a_stale_part_and_spoils_no_other(
    replicas: list[Replica], upstream: Upstream
) -> None:
    accounts = Accounts(replicas[0].cache)
    await accounts.get_many(KEYS[:2], directives(), "web")
    await asyncio.sleep(60)
    upstream.crashes[KEYS[0]] = upstream.crashes[KEYS[2]] = OverflowError("a fault of ours")
    with capture_logs() as logs:
        found = await accounts.get_many(KEYS[:4], directives(), "web")
    assert [PartView.of(part).status for part in found] == ["stale", "fresh", "unavailable", "fresh"]
    assert isinstance(found[2], Unavailable)
    assert isinstance(found[2].error, InternalError)
    assert {line["event"] for line in logs} == {"cache.flight_crashed"}


async def test_what_is_withdrawn_is_served_by_no_replica_though_it_cannot_be_fetched_again(
    replicas: list[Replica], upstream: Upstream
) -> None:
    for replica in replicas:
        await replica.cache.read(KEYS[0], directives())
    upstream.error = UpstreamFaulty("x")
    replicas[0].cache.loads.withdraw(KEYS[0])
    await asyncio.sleep(1)
    for replica in replicas:
        with pytest.raises(UpstreamFaulty):
            await replica.cache.read(KEYS[0], directives())
    upstream.error = None
    await asyncio.sleep(60)
    assert (await replicas[-1].cache.read(KEYS[0], directives())).is_stale is False


async def test_what_is_in_doubt_while_it_is_being_loaded_is_withdrawn_once_it_is_stored(
    replicas: list[Replica], upstream: Upstream
) -> None:
    one, other = replicas
    reading = asyncio.create_task(one.cache.read(KEYS[0], directives()))
    await asyncio.sleep(upstream.seconds / 2)
    one.cache.loads.withdraw(KEYS[0])
    await reading  # nothing said yet that it is another account's
    upstream.error = UpstreamFaulty("x")
    await asyncio.sleep(1)
    assert upstream.calls >= 2
    for replica in (one, other):
        with pytest.raises(UpstreamFaulty):
            await replica.cache.read(KEYS[0], directives())


async def test_who_asks_for_many_does_not_hold_up_another_who_asks_for_few(upstream: Upstream) -> None:
    async with run_replicas(upstream, FakeServer(), 1, per_second=10, burst=1) as (replica,):
        many = asyncio.create_task(replica.cache.read_many(KEYS[:30], directives(), "many"))
        await asyncio.sleep(0.5)
        await replica.cache.read_many(KEYS[99:], directives(), "one")
        await many
    assert upstream.asked.index(KEYS[99]) < 10


class Slow(Upstream):
    """An upstream whose answers are four seconds old, and that hangs for the second merchant."""

    async def load(self, account_id: AccountId) -> Entry:
        if account_id == KEYS[1]:
            await asyncio.sleep(1000)
        entry = await super().load(account_id)
        return replace(entry, as_of=entry.as_of - 4000)


async def test_a_part_that_came_fresh_is_not_stale_because_the_others_took_long() -> None:
    upstream = Slow()
    async with run_replicas(upstream, FakeServer(), 1) as (replica,):
        began = unix_ms()
        results = await replica.cache.read_many(KEYS[:2], directives())
        came, late = results.values()
        assert isinstance(came, Served)
        assert isinstance(late, DeadlinePassed)
        assert unix_ms() - began >= 4000  # so that the first one is older than fresh by now
        assert not came.is_stale
    assert upstream.asked == KEYS[:1]


class Troubled(Upstream):
    """An upstream that fails for 3 % of the merchants, hangs for 1 %, and remembers what it returned for the others."""

    FAILING: Final = frozenset(AccountId(str(number)) for number in range(1, 1000, 34))
    HANGING: Final = frozenset(AccountId(str(number)) for number in range(100, 1001, 100))

    def __init__(self) -> None:
        super().__init__()
        self.returned: dict[AccountId, Entry] = {}

    async def load(self, account_id: AccountId) -> Entry:
        if account_id in self.HANGING:
            await asyncio.sleep(1000)
        if account_id in self.FAILING:
            raise UpstreamFaulty("It fails.")
        self.returned[account_id] = await super().load(account_id)
        return self.returned[account_id]


async def test_of_a_thousand_those_that_fail_or_hang_are_marked_in_time_and_the_others_exact_everywhere() -> None:
    account_ids = [AccountId(str(number)) for number in range(1, 1001)]
    upstream = Troubled()
    async with run_replicas(upstream, FakeServer(), 2) as (one, other):
        began = monotonic()
        results = await one.cache.read_many(account_ids, directives())
        assert monotonic() - began <= 0.8 * PATIENCE_SECONDS
        assert list(results) == account_ids
        assert {
            account_id for account_id, part in results.items() if isinstance(part, UpstreamFaulty)
        } == Troubled.FAILING
        assert {
            account_id for account_id, part in results.items() if isinstance(part, DeadlinePassed)
        } == Troubled.HANGING
        assert {
            account_id: part.entry for account_id, part in results.items() if isinstance(part, Served)
        } == upstream.returned
        assert upstream.calls == len(upstream.returned) == 960
        stored = await one.tier.get_many(account_ids)
        assert stored == upstream.returned
        for replica in (one, other):
            found = await replica.cache.read_many(account_ids, directives(only_if_cached=True))
            assert {
                account_id: part.entry for account_id, part in found.items() if isinstance(part, Served)
            } == upstream.returned
    assert upstream.calls == 960


async def test_many_are_as_old_as_the_oldest(replicas: list[Replica]) -> None:
    accounts = Accounts(replicas[0].cache)
    first = await accounts.get_many(KEYS[:1], directives(), "web")
    await asyncio.sleep(2)
    both = await accounts.get_many(KEYS[:2], directives(), "web")
    assert oldest(both) == oldest(first)
    assert oldest(()) is None


async def test_what_is_unknown_is_asked_for_first_then_the_oldest(upstream: Upstream) -> None:
    async with run_replicas(upstream, FakeServer(), 1, per_second=10, burst=1) as (replica,):
        for key in (KEYS[2], KEYS[0]):
            await replica.cache.read(key, directives())
            await asyncio.sleep(1)
        await asyncio.sleep(60)
        await replica.cache.read_many(KEYS[:4], directives())
    assert upstream.asked[2:] == [KEYS[1], KEYS[3], KEYS[2], KEYS[0]]
