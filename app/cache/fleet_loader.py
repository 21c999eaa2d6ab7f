"""Cache loader: the replica with the lease fetches, the others wait for its result on the bus."""

import asyncio
import math
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Final

import structlog
from msgspec.structs import replace

from app.balances.snapshots import AccountId, Entry
from app.budget.budget import PermitRequest
from app.budget.prefetch import PermitPrefetcher
from app.cache.freshness import (
    FreshnessPolicy,
    RequestDirectives,
    age_ms,
    latest_plausible_as_of,
    oldest_acceptable_as_of,
    satisfies,
)
from app.cache.load_results import Loaded, LoadFailed, LoadResult, NoPermit
from app.cache.memory import MemoryTier
from app.cache.moves import Moves, order
from app.cache.redis_tier import Found, LeaseAcquired, LeaseHeldElsewhere, LeaseResult, RedisTier
from app.errors import BudgetSpent, TallygateError
from app.fleet.bus import Failure
from app.fleet.standstill import Standstills
from app.history.recording import Look
from app.redis.client import RedisFailure
from app.runtime import Runtime

_POLL_SECONDS: Final = 0.05
_WARNING_INTERVAL_SECONDS: Final = 60

log = structlog.get_logger()


Load = Callable[[AccountId, PermitRequest], Awaitable[Entry]]


class FleetLoader:
    """Load entries that memory lacks. `load` calls the upstream. Times are Unix milliseconds.

    Only shutdown may cancel a task that runs `load`.
    """

    def __init__(
        self,
        *,
        memory: MemoryTier,
        redis: RedisTier,
        prefetcher: PermitPrefetcher,
        load: Load,
        is_bus_connected: Callable[[], bool],
        policy: FreshnessPolicy,
        runtime: Runtime,
    ) -> None:
        self._metrics: Final = runtime.metrics
        self._memory: Final = memory
        self._redis: Final = redis
        self._prefetcher: Final = prefetcher
        self._load: Final = load
        self._is_bus_connected: Final = is_bus_connected
        self._policy: Final = policy
        self._now_ms: Final = runtime.unix_ms
        self._random: Final = runtime.random
        self._no_warning_before = 0.0
        self.standstills: Final = Standstills()
        self.moves: Final = Moves(memory, redis, runtime.unix_ms)
        self._expected: Final[dict[AccountId, asyncio.Future[LoadFailed | None]]] = {}

    async def load(
        self, account_id: AccountId, directives: RequestDirectives, permit_request: PermitRequest
    ) -> LoadResult:
        """Load an entry that satisfies the directives, from Redis, the leaseholder, or the upstream.

        Redis gets the result afterwards. The next load of the account begins when that has ended.
        """
        await self._redis.stores.wait(account_id)
        try:
            while True:
                # before Redis is asked: the message that a lease is free may come before the answer that it is held
                expected = self._expected[account_id] = asyncio.get_running_loop().create_future()
                found = await self._read_or_lease(account_id, directives, permit_request)
                if (known := self._find_known(account_id, directives)) is not None:
                    if isinstance(found, LeaseAcquired):
                        await self._store(known)
                    return Loaded(known, None)
                match found:
                    case RedisFailure():
                        return await self._load_from_upstream(account_id, permit_request)
                    case LeaseAcquired():
                        if not await self._prefetcher.secure(permit_request):
                            return await self._give_up(account_id)
                        return await self._load_as_leaseholder(account_id, permit_request)
                    case Found():
                        directives = _stricter(directives)
                    case LeaseHeldElsewhere(_, lease_ms):
                        if failed := await self._wait_for_leaseholder(expected, lease_ms / 1000):
                            return failed
        finally:
            self._expected.pop(account_id, None)

    async def look_up(self, account_ids: Sequence[AccountId]) -> dict[AccountId, Entry]:
        """Return the newest stored entries, by one round trip to Redis. Takes no lease and makes no fetch."""
        found = await self._redis.get_many(account_ids)
        latest = latest_plausible_as_of(self._now_ms())
        entries = {} if isinstance(found, RedisFailure) else found
        stored = {account_id: self._memory.put(entry) for account_id, entry in entries.items() if entry.as_of <= latest}
        known = ((account_id, self._memory.peek(account_id)) for account_id in account_ids if account_id not in stored)
        return stored | {account_id: entry for account_id, entry in known if entry is not None}

    def on_entry(self, entry: Entry) -> None:
        """Keep an entry that another replica fetched."""
        now = self._now_ms()
        if entry.as_of <= latest_plausible_as_of(now):
            self._metrics.bus_lag.observe(age_ms(entry, now) / 1000)
            self._memory.put(entry)
        else:
            self._discard_implausible(entry, now)
        self._wake(entry.account_id, None)

    def on_lease_released(self, account_id: AccountId) -> None:
        """Let the waiters of an account try to get its lease."""
        self._wake(account_id, None)

    def on_failure(self, failure: Failure) -> None:
        """Pass a failure on to the waiters of its account."""
        self._wake(failure.account_id, LoadFailed(failure.to_error()))

    async def withdraw(self, account_id: AccountId) -> None:
        """Remove all that is known of an account, at every replica: it may be another account's."""
        self._memory.forget(account_id)
        await self._redis.stores.wait(account_id)
        await self._redis.withdraw(account_id)
        self._memory.forget(account_id)  # what a load that was under way has put meanwhile

    async def close(self) -> None:
        """Wait until all is stored, and Redis has answered all commands that were sent."""
        await self._redis.close()

    async def _read_or_lease(
        self, account_id: AccountId, directives: RequestDirectives, permit_request: PermitRequest
    ) -> LeaseResult | RedisFailure:
        """Ask Redis for an entry or its lease. Afterwards memory has the newest entry, and trusts it."""
        now = self._now_ms()
        oldest, latest = oldest_acceptable_as_of(now, self._policy, directives), latest_plausible_as_of(now)
        kept = self._memory.peek(account_id)
        if kept is not None and kept.as_of > latest:  # our clock went back
            self._memory.forget(account_id)
            kept = None
        known = -1 if kept is None else kept.as_of
        with self._prefetcher.with_lease(permit_request) as prefetched:
            found = await self._redis.read_or_lease(
                account_id, oldest, known, prefetched.arguments, latest_as_of=latest
            )
            prefetched.result = found.permit if isinstance(found, LeaseAcquired) else None
        if not isinstance(found, RedisFailure) and (newest := found.entry or kept) is not None:
            self._memory.put(newest)
        return found

    def _find_known(self, account_id: AccountId, directives: RequestDirectives) -> Entry | None:
        """Return memory's entry if it satisfies. It is trusted again, since Redis was just asked."""
        known = self._memory.peek(account_id)
        if known is not None and satisfies(known, None, self._now_ms(), self._policy, directives):
            return self._memory.put(known)
        return None

    async def _store(self, entry: Entry, look: Look | None = None) -> None:
        """Store in the background, but wait where the store may leave after an answer: a move may be reported then."""
        self.moves.begin_store(entry.account_id)
        self._redis.stores.start(entry.account_id, self.moves.store(entry, partial(self._send, look)))
        if not self._redis.sends_at_once:
            await self._redis.stores.wait(entry.account_id)

    async def _send(self, look: Look | None, entry: Entry) -> None:
        latest = latest_plausible_as_of(self._now_ms())
        await self._redis.store_and_release(entry, latest_as_of=latest, look=look)

    async def _give_up(self, account_id: AccountId) -> NoPermit:
        """Release the lease of an account for which a sweep got no permit."""
        await self._redis.release(account_id)
        wait = self._prefetcher.seconds_to_permit()
        return NoPermit(BudgetSpent("The upstream's budget has no permit for a sweep now.", retry_after_seconds=wait))

    async def _load_as_leaseholder(self, account_id: AccountId, permit_request: PermitRequest) -> LoadResult:
        known, asked_at, loop_time = self._memory.peek(account_id), self._now_ms(), asyncio.get_running_loop().time
        since = loop_time()
        try:
            with self._redis.holding_lease(account_id):
                result = await self._load_from_upstream(account_id, permit_request)
        except asyncio.CancelledError:
            await self._redis.release(account_id)
            raise
        match result:
            case Loaded(entry):
                is_doubted = self.standstills.seconds_doubted(since, loop_time()) > 0
                # a look's time must be right: nobody knows when this one was
                await self._store(entry, None if is_doubted else Look(asked_at, known))
            case LoadFailed(error):
                failure = Failure.of(account_id, error)
                self._redis.stores.start(account_id, self._redis.release_with_failure(account_id, failure))
        return result

    async def _load_from_upstream(self, account_id: AccountId, permit_request: PermitRequest) -> LoadResult:
        """Call the upstream. Its answer counts as newer than what was known at the call.

        If this process stood still during the call, the answer counts as no newer than the beginning of that: other
        replicas may have a newer one since.
        """
        began_at, known = self._now_ms(), self.moves.begin_call(account_id)
        loop_time = asyncio.get_running_loop().time
        asked_at = loop_time()
        try:
            entry = await self._load(account_id, permit_request)
            if doubted := self.standstills.seconds_doubted(asked_at, loop_time()):
                entry = replace(entry, as_of=max(began_at, entry.as_of - math.ceil(1000 * doubted)))
        except TallygateError as error:
            return LoadFailed(error)
        finally:
            moved_at = self.moves.end_call(account_id)
        entry = order(entry, known, moved_at)
        return Loaded(self._memory.put(entry), began_at)

    async def _wait_for_leaseholder(
        self, expected: asyncio.Future[LoadFailed | None], lease_seconds: float
    ) -> LoadFailed | None:
        """Wait for the leaseholder's result, at most until its lease ends. Without a bus, poll Redis instead."""
        wait = lease_seconds if self._is_bus_connected() else min(lease_seconds, _POLL_SECONDS)
        try:
            async with asyncio.timeout(wait * (1 + self._random() / 20)):
                return await asyncio.shield(expected)
        except TimeoutError:
            return None

    def _discard_implausible(self, entry: Entry, now: int) -> None:
        """Drop an entry from the future, and warn once a minute."""
        self._metrics.clock_doubts.add()
        if (moment := asyncio.get_running_loop().time()) >= self._no_warning_before:
            self._no_warning_before = moment + _WARNING_INTERVAL_SECONDS
            log.warning("bus.clocks_differ", merchant=entry.account_id, seconds=round((entry.as_of - now) / 1000, 3))

    def _wake(self, account_id: AccountId, failure: LoadFailed | None) -> None:
        expected = self._expected.pop(account_id, None)
        if expected is not None and not expected.done():
            expected.set_result(failure)


def _stricter(directives: RequestDirectives) -> RequestDirectives:
    """Ask for a fetch, since what Redis took for new enough does not satisfy."""
    return directives if directives.no_cache else RequestDirectives(directives.received_at, max_age_ms=0)
