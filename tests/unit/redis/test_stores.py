"""What was loaded is stored after its readers are answered, and nothing overtakes the store."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from fakeredis import FakeAsyncRedis, FakeServer
from structlog.testing import capture_logs

from app.balances.snapshots import AccountId, Entry, Snapshot
from app.budget.budget import PermitRequest, Priority
from app.budget.prefetch import PermitPrefetcher
from app.cache.backoff import Backoff
from app.cache.fleet_loader import FleetLoader
from app.cache.load_results import Loaded, LoadFailed
from app.cache.loads import Loads
from app.cache.redis_tier import LeaseAcquired, RedisTier
from app.errors import Unreachable
from app.fleet.bus import Failure, Move
from app.redis.stores import Stores
from tests.support.replica import KEY, OPTIONS, Replica, Upstream, directives, run_replicas
from tests.support.virtual_time import monotonic, unix_ms, virtual_runtime

SLOW_SECONDS = 1.0
WAITING = PermitRequest(Priority.WAITING)


class SlowTier:
    """The tier of a replica, whose stores and releases reach Redis late."""

    sends_at_once = True

    def __init__(self, tier: RedisTier) -> None:
        self._tier = tier
        self.flushed = self.ended = 0
        self.sent: list[Entry] = []
        self.before_answer: Callable[[], None] = lambda: None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tier, name)

    async def store_and_release(self, entry: Entry, **options: Any) -> None:
        self.sent.append(entry)
        asyncio.get_running_loop().call_soon(self._flush)  # as the batcher does
        await asyncio.sleep(SLOW_SECONDS)
        await self._tier.store_and_release(entry, **options)
        self.ended += 1

    def _flush(self) -> None:
        self.flushed += 1

    async def read_or_lease(self, *arguments: Any, **options: Any) -> Any:
        found = await self._tier.read_or_lease(*arguments, **options)
        self.before_answer()
        return found

    async def withdraw(self, account_id: AccountId) -> None:
        await asyncio.sleep(SLOW_SECONDS / 2)
        await self._tier.withdraw(account_id)

    async def release_with_failure(self, *arguments: Any) -> None:
        await asyncio.sleep(SLOW_SECONDS)
        await self._tier.release_with_failure(*arguments)
        self.ended += 1


class Slow:
    """A replica's loader over a slow tier."""

    def __init__(self, replica: Replica, upstream: Upstream) -> None:
        self.memory, self.tier = replica.memory, SlowTier(replica.tier)

        async def load(account_id: Any, _: PermitRequest) -> Any:
            return await upstream.load(account_id)

        self.loader = FleetLoader(
            memory=replica.memory,
            redis=self.tier,  # type: ignore[arg-type]
            prefetcher=PermitPrefetcher(replica.budget, replica.fleet_rate, lambda: True),
            load=load,
            is_bus_connected=lambda: True,
            policy=OPTIONS.policy,
            runtime=virtual_runtime(unix_ms=unix_ms),
        )

    async def load(self) -> Loaded | LoadFailed:
        return await self.loader.load(KEY, directives(no_cache=True), WAITING)


@pytest.fixture
async def slow(upstream: Upstream, server: FakeServer) -> AsyncIterator[Slow]:
    async with run_replicas(upstream, server, 1) as (replica,):
        yield Slow(replica, upstream)


async def test_a_reader_is_answered_before_the_store(slow: Slow) -> None:
    assert isinstance(await slow.load(), Loaded)
    assert slow.tier.ended == 0
    await slow.loader.close()
    assert slow.tier.ended == 1


async def test_a_store_is_on_its_way_to_redis_before_its_reader_is_answered(slow: Slow) -> None:
    """So a move that is reported after an answer, at any replica, comes to Redis after the store, which it marks."""
    runtime = virtual_runtime()
    loads = Loads(slow.loader, Backoff(10, runtime), OPTIONS.policy, runtime)
    await loads.wait({KEY: directives(no_cache=True)}, WAITING, 10)
    assert (slow.tier.flushed, slow.tier.ended) == (1, 0)
    await loads.close()


async def test_a_reader_waits_for_a_store_that_may_leave_after_its_answer(slow: Slow) -> None:
    slow.tier.sends_at_once = False
    assert isinstance(await slow.load(), Loaded)
    assert slow.tier.ended == 1


async def test_a_reader_learns_of_a_failure_before_its_lease_is_released(slow: Slow, upstream: Upstream) -> None:
    upstream.error = Unreachable("x")
    assert isinstance(await slow.load(), LoadFailed)
    assert slow.tier.ended == 0
    await slow.load()
    assert slow.tier.ended == 1


async def test_the_next_load_of_an_account_begins_after_the_store(slow: Slow, upstream: Upstream) -> None:
    await slow.load()
    following = asyncio.create_task(slow.load())
    await asyncio.sleep(SLOW_SECONDS / 2)
    assert upstream.calls == 1
    assert isinstance(await following, Loaded)
    assert (upstream.calls, slow.tier.ended) == (2, 1)


async def test_a_withdrawal_removes_what_was_on_its_way_to_redis(slow: Slow, server: FakeServer) -> None:
    await slow.load()
    await slow.loader.withdraw(KEY)
    await asyncio.sleep(2 * SLOW_SECONDS)
    assert await FakeAsyncRedis(server=server).get(f"t:{{{KEY}}}") is None
    assert slow.memory.peek(KEY) is None


async def test_a_withdrawal_removes_what_arrives_while_it_is_under_way(
    slow: Slow, upstream: Upstream, server: FakeServer
) -> None:
    runtime = virtual_runtime()
    loads = Loads(slow.loader, Backoff(10, runtime), OPTIONS.policy, runtime)
    loads.start(KEY, unix_ms(), WAITING)
    await asyncio.sleep(upstream.seconds / 2)
    loads.withdraw(KEY)
    await asyncio.sleep(upstream.seconds)
    upstream.error = Unreachable("x")  # so that it cannot be fetched again
    await asyncio.sleep(5 * SLOW_SECONDS)
    assert slow.memory.peek(KEY) is None
    assert await FakeAsyncRedis(server=server).get(f"t:{{{KEY}}}") is None
    await loads.close()


async def test_a_move_heard_of_before_the_store_began_is_marked_in_redis(slow: Slow, server: FakeServer) -> None:
    await slow.load()
    slow.loader.moves.hear(Move(KEY, unix_ms()))  # the store's task has not run yet
    await slow.loader.close()
    assert [entry.is_moved for entry in slow.tier.sent] == [True]
    assert b'"movedAt"' in (await FakeAsyncRedis(server=server).get(f"t:{{{KEY}}}") or b"")
    kept = slow.memory.peek(KEY)
    assert isinstance(kept, Snapshot)
    assert kept.is_moved


async def test_a_store_that_crashes_is_logged_and_holds_up_nobody() -> None:
    stores = Stores()

    async def crash() -> None:
        raise ZeroDivisionError

    with capture_logs() as logs:
        stores.start(KEY, crash())
        await stores.wait(KEY)
        await stores.wait_for_all()
        await stores.wait(KEY)
    assert [line["event"] for line in logs] == ["cache.store_crashed"]


async def test_a_cancelled_wait_harms_no_store() -> None:
    stores, ended = Stores(), asyncio.Event()

    async def store() -> None:
        await asyncio.sleep(0.01)
        ended.set()

    stores.start(KEY, store())
    waiting = asyncio.create_task(stores.wait(KEY))
    await asyncio.sleep(0)
    waiting.cancel()
    await stores.wait_for_all()
    assert ended.is_set()
    assert waiting.cancelled()


async def test_what_begins_while_all_are_waited_for_is_not_waited_for() -> None:
    stores, ended = Stores(), list[str]()

    async def store(name: str) -> None:
        await asyncio.sleep(1)
        ended.append(name)

    stores.start(KEY, store("first"))
    waiting = asyncio.create_task(stores.wait_for_all())
    await asyncio.sleep(0.5)
    stores.start(AccountId("2"), store("second"))
    await waiting
    assert ended == ["first"]
    await stores.wait_for_all()
    assert ended == ["first", "second"]


async def test_a_move_heard_of_while_the_store_is_under_way_is_marked_after_it(slow: Slow, server: FakeServer) -> None:
    await slow.load()
    await asyncio.sleep(SLOW_SECONDS / 2)
    slow.loader.moves.hear(Move(KEY, unix_ms()))
    await slow.loader.close()
    assert [entry.is_moved for entry in slow.tier.sent] == [False]
    assert b'"movedAt"' in (await FakeAsyncRedis(server=server).get(f"t:{{{KEY}}}") or b"")


async def test_a_failure_that_the_bus_brings_before_redis_says_that_the_lease_is_held_is_not_missed(
    upstream: Upstream, server: FakeServer
) -> None:
    async with run_replicas(upstream, server, 2) as (one, other):
        slow = Slow(one, upstream)
        assert isinstance(await other.tier.read_or_lease(KEY, unix_ms()), LeaseAcquired)
        failure = Failure.of(KEY, Unreachable("x"))
        slow.tier.before_answer = lambda: slow.loader.on_failure(failure)
        asked = monotonic()
        assert isinstance(await slow.load(), LoadFailed)
        assert monotonic() == asked
