"""One fetch in the whole fleet: the replica with the lease makes it, the others wait for what the bus tells of it."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import structlog
from msgspec import Struct
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
from app.cache.memory import MemoryTier
from app.cache.redis_tier import Found, LeaseAcquired, LeaseHeldElsewhere, LeaseResult, RedisTier
from app.errors import TallygateError
from app.fleet import bus
from app.redis.client import RedisFailure
from app.runtime import Runtime

_WITHOUT_BUS_SECONDS: Final = 0.05
_SILENT_SECONDS: Final = 60

log = structlog.get_logger()


class Loaded(Struct, frozen=True, gc=False):
    """An entry: `fetch_began_at` is when we asked the upstream for it, None if it was found or told."""

    entry: Entry
    fetch_began_at: int | None


class LoadFailed(Struct, frozen=True):
    """Why there is none."""

    error: TallygateError


LoadResult = Loaded | LoadFailed
Load = Callable[[AccountId, PermitRequest], Awaitable[Entry]]


class FleetLoader:
    """Get entries that are not in memory. `load` asks the upstream; `hears` tells whether the bus does; times are Unix ms.

    The tasks that call `fetch` are nobody's to cancel but at the end.
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
        self._silent_until = 0.0
        self._expected: Final[dict[AccountId, asyncio.Future[LoadFailed | None]]] = {}

    async def load(self, key: AccountId, directives: RequestDirectives, permit_request: PermitRequest) -> LoadResult:
        """Get an entry that satisfies the terms, out of Redis, from the replica that fetches it, or from the upstream."""
        while True:
            begun = await self._begin(key, directives, permit_request)
            if (known := self._find_known(key, directives)) is not None:
                if isinstance(begun, LeaseAcquired):
                    await self._settle(known)
                return Loaded(known, None)
            match begun:
                case RedisFailure():
                    return await self._load_from_upstream(key, permit_request)
                case LeaseAcquired():
                    return await self._load_as_leaseholder(key, permit_request)
                case Found():
                    directives = _stricter(directives)
                case LeaseHeldElsewhere(_, lease_ms):
                    if failed := await self._wait_for_leaseholder(key, lease_ms / 1000):
                        return failed

    async def look_up(self, keys: Sequence[AccountId]) -> dict[AccountId, Entry]:
        """Give the newest entries that are stored anywhere, without fetching or holding others from it.

        One round trip, whatever the number.
        """
        found = await self._redis.get_many(keys)
        latest = latest_plausible_as_of(self._now_ms())
        believed = {} if isinstance(found, RedisFailure) else found.items()
        stored = {key: self._memory.put(entry) for key, entry in believed if entry.as_of <= latest}
        known = ((key, self._memory.peek(key)) for key in keys if key not in stored)
        return stored | {key: entry for key, entry in known if entry is not None}

    def on_entry(self, entry: Entry) -> None:
        """Take what another replica tells."""
        now = self._now_ms()
        if entry.as_of <= latest_plausible_as_of(now):
            self._metrics.bus_lag.observe(age_ms(entry, now) / 1000)
            self._memory.put(entry)
        else:
            self._discard_implausible(entry, now)
        self._wake(entry.account_id, None)

    def on_lease_released(self, key: AccountId) -> None:
        """Let those who wait for a key try to get its lease."""
        self._wake(key, None)

    def on_failure(self, failure: bus.Failure) -> None:
        """Pass a failure on to those who wait for it."""
        self._wake(failure.account_id, LoadFailed(failure.to_error()))

    async def close(self) -> None:
        """Wait until what was sent is answered."""
        await self._redis.close()

    async def _begin(
        self, key: AccountId, directives: RequestDirectives, permit_request: PermitRequest
    ) -> LeaseResult | RedisFailure:
        """Ask Redis for an entry or the lease. Memory has the newest one then, and trusts it."""
        now = self._now_ms()
        oldest, latest = oldest_acceptable_as_of(now, self._policy, directives), latest_plausible_as_of(now)
        ours = self._memory.peek(key)
        if ours is not None and ours.as_of > latest:  # our clock went back
            self._memory.forget(key)
            ours = None
        known = -1 if ours is None else ours.as_of
        with self._prefetcher.with_lease(permit_request) as advance:
            begun = await self._redis.read_or_lease(key, oldest, known, advance.extra, latest_as_of=latest)
            advance.result = begun.permit if isinstance(begun, LeaseAcquired) else ()
        if not isinstance(begun, RedisFailure) and (newest := begun.entry or ours) is not None:
            self._memory.put(newest)
        return begun

    def _find_known(self, key: AccountId, directives: RequestDirectives) -> Entry | None:
        """Give what is known if it will do. Memory's own counts again, now that Redis has been asked."""
        known = self._memory.peek(key)
        if known is not None and satisfies(known, None, self._now_ms(), self._policy, directives):
            return self._memory.put(known)
        return None

    async def _settle(self, entry: Entry) -> None:
        await self._redis.store_and_release(entry, latest_as_of=latest_plausible_as_of(self._now_ms()))

    async def _load_as_leaseholder(self, key: AccountId, permit_request: PermitRequest) -> LoadResult:
        try:
            with self._redis.holding(key):
                result = await self._load_from_upstream(key, permit_request)
        except asyncio.CancelledError:
            await self._redis.release(key)
            raise
        match result:
            case Loaded(entry):
                await self._settle(entry)
            case LoadFailed(error):
                await self._redis.release_with_failure(key, bus.tell(key, error))
        return result

    async def _load_from_upstream(self, key: AccountId, permit_request: PermitRequest) -> LoadResult:
        """Ask the upstream. Its answer is newer than what was known when it was asked, whatever the clocks say."""
        began_at = self._now_ms()
        known = self._memory.peek(key)
        try:
            entry = await self._load(key, permit_request)
        except TallygateError as error:
            return LoadFailed(error)
        if known is not None and entry.as_of <= known.as_of:
            entry = replace(entry, as_of=known.as_of + 1)
        return Loaded(self._memory.put(entry), began_at)

    async def _wait_for_leaseholder(self, key: AccountId, lease_seconds: float) -> LoadFailed | None:
        """Wait until the replica with the lease tells how it went, or may have died: then somebody takes over."""
        expected = self._expected.setdefault(key, asyncio.get_running_loop().create_future())
        wait = lease_seconds if self._is_bus_connected() else min(lease_seconds, _WITHOUT_BUS_SECONDS)
        try:
            async with asyncio.timeout(wait * (1 + self._random() / 20)):
                return await asyncio.shield(expected)
        except TimeoutError:
            return None
        finally:
            self._expected.pop(key, None)

    def _discard_implausible(self, entry: Entry, now: int) -> None:
        """Leave aside what is from a time that has not come yet; tell so, once a minute."""
        self._metrics.clock_doubts.add()
        if (moment := asyncio.get_running_loop().time()) >= self._silent_until:
            self._silent_until = moment + _SILENT_SECONDS
            log.warning("bus.clocks_differ", merchant=entry.account_id, seconds=round((entry.as_of - now) / 1000, 3))

    def _wake(self, key: AccountId, news: LoadFailed | None) -> None:
        expected = self._expected.pop(key, None)
        if expected is not None and not expected.done():
            expected.set_result(news)


def _stricter(directives: RequestDirectives) -> RequestDirectives:
    """Ask for a fetch: what looked new enough was not."""
    return directives if directives.no_cache else RequestDirectives(directives.received_at, max_age_ms=0)
