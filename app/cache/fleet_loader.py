"""One fetch in the whole fleet: the replica with the lease makes it, the others wait for what the bus tells of it."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import structlog
from msgspec import Struct
from msgspec.structs import replace

from app.balances.snapshots import Entry, Key
from app.budget.budget import Errand
from app.budget.prefetch import Advances
from app.cache.freshness import Policy, Terms, age_ms, latest_credible, oldest_that_needs_no_fetch, satisfies
from app.cache.memory import MemoryTier
from app.cache.redis_tier import Begun, Elsewhere, Found, Ours, RedisTier
from app.errors import TallygateError
from app.fleet import bus
from app.redis.client import Outcome
from app.telemetry.metrics import Metrics

_WITHOUT_BUS_SECONDS: Final = 0.05
_SILENT_SECONDS: Final = 60

log = structlog.get_logger()


class Landed(Struct, frozen=True, gc=False):
    """An entry: `fetch_began_at` is when we asked the upstream for it, None if it was found or told."""

    entry: Entry
    fetch_began_at: int | None


class Failed(Struct, frozen=True):
    """Why there is none."""

    error: TallygateError


Landing = Landed | Failed
Load = Callable[[Key, Errand], Awaitable[Entry]]


class Fleet:
    """Get entries that are not in memory. `load` asks the upstream; `hears` tells whether the bus does; times are Unix ms.

    The tasks that call `fetch` are nobody's to cancel but at the end.
    """

    def __init__(
        self,
        *,
        memory: MemoryTier,
        redis: RedisTier,
        advances: Advances,
        load: Load,
        hears: Callable[[], bool],
        policy: Policy,
        now_ms: Callable[[], int],
        random: Callable[[], float],
        metrics: Metrics | None = None,
    ) -> None:
        self._metrics: Final = metrics or Metrics()
        self._memory: Final = memory
        self._redis: Final = redis
        self._advances: Final = advances
        self._load: Final = load
        self._hears: Final = hears
        self._policy: Final = policy
        self._now_ms: Final = now_ms
        self._random: Final = random
        self._silent_until = 0.0
        self._expected: Final[dict[Key, asyncio.Future[Failed | None]]] = {}

    async def fetch(self, key: Key, terms: Terms, errand: Errand) -> Landing:
        """Get an entry that satisfies the terms, out of Redis, from the replica that fetches it, or from the upstream."""
        while True:
            begun = await self._begin(key, terms, errand)
            if (known := self._find_known(key, terms)) is not None:
                if isinstance(begun, Ours):
                    await self._settle(known)
                return Landed(known, None)
            match begun:
                case Outcome():
                    return await self._ask(key, errand)
                case Ours():
                    return await self._ask_for_all(key, errand)
                case Found():
                    terms = _stricter(terms)
                case Elsewhere(_, lease_ms):
                    if failed := await self._await_news(key, lease_ms / 1000):
                        return failed

    async def look(self, keys: Sequence[Key]) -> dict[Key, Entry]:
        """Give the newest entries that are stored anywhere, without fetching or holding others from it.

        One round trip, whatever the number.
        """
        found = await self._redis.get_many(keys)
        latest = latest_credible(self._now_ms())
        believed = {} if isinstance(found, Outcome) else found.items()
        stored = {key: self._memory.put(entry) for key, entry in believed if entry.as_of <= latest}
        known = ((key, self._memory.peek(key)) for key in keys if key not in stored)
        return stored | {key: entry for key, entry in known if entry is not None}

    def hear_entry(self, entry: Entry) -> None:
        """Take what another replica tells."""
        now = self._now_ms()
        if entry.as_of <= latest_credible(now):
            self._metrics.bus_lag.observe(age_ms(entry, now) / 1000)
            self._memory.put(entry)
        else:
            self._doubt(entry, now)
        self._wake(entry.key, None)

    def hear_freed(self, key: Key) -> None:
        """Let those who wait for a key try to get its lease."""
        self._wake(key, None)

    def hear_failure(self, failure: bus.Failure) -> None:
        """Pass a failure on to those who wait for it."""
        self._wake(failure.key, Failed(failure.revive()))

    async def close(self) -> None:
        """Wait until what was sent is answered."""
        await self._redis.close()

    async def _begin(self, key: Key, terms: Terms, errand: Errand) -> Begun | Outcome:
        """Ask Redis for an entry or the lease. Memory has the newest one then, and trusts it."""
        now = self._now_ms()
        oldest, latest = oldest_that_needs_no_fetch(now, self._policy, terms), latest_credible(now)
        ours = self._memory.peek(key)
        if ours is not None and ours.as_of > latest:  # our clock went back
            self._memory.forget(key)
            ours = None
        known = -1 if ours is None else ours.as_of
        with self._advances.asking(errand) as advance:
            begun = await self._redis.begin(key, oldest, known, advance.extra, latest_as_of=latest)
            advance.told = begun.turn if isinstance(begun, Ours) else ()
        if not isinstance(begun, Outcome) and (newest := begun.entry or ours) is not None:
            self._memory.put(newest)
        return begun

    def _find_known(self, key: Key, terms: Terms) -> Entry | None:
        """Give what is known if it will do. Memory's own counts again, now that Redis has been asked."""
        known = self._memory.peek(key)
        if known is not None and satisfies(known, None, self._now_ms(), self._policy, terms):
            return self._memory.put(known)
        return None

    async def _settle(self, entry: Entry) -> None:
        await self._redis.settle(entry, latest_as_of=latest_credible(self._now_ms()))

    async def _ask_for_all(self, key: Key, errand: Errand) -> Landing:
        try:
            with self._redis.holding(key):
                landing = await self._ask(key, errand)
        except asyncio.CancelledError:
            await self._redis.let_go(key)
            raise
        match landing:
            case Landed(entry):
                await self._settle(entry)
            case Failed(error):
                await self._redis.abandon(key, bus.tell(key, error))
        return landing

    async def _ask(self, key: Key, errand: Errand) -> Landing:
        """Ask the upstream. Its answer is newer than what was known when it was asked, whatever the clocks say."""
        began_at = self._now_ms()
        known = self._memory.peek(key)
        try:
            entry = await self._load(key, errand)
        except TallygateError as error:
            return Failed(error)
        if known is not None and entry.as_of <= known.as_of:
            entry = replace(entry, as_of=known.as_of + 1)
        return Landed(self._memory.put(entry), began_at)

    async def _await_news(self, key: Key, lease_seconds: float) -> Failed | None:
        """Wait until the replica with the lease tells how it went, or may have died: then somebody takes over."""
        expected = self._expected.setdefault(key, asyncio.get_running_loop().create_future())
        wait = lease_seconds if self._hears() else min(lease_seconds, _WITHOUT_BUS_SECONDS)
        try:
            async with asyncio.timeout(wait * (1 + self._random() / 20)):
                return await asyncio.shield(expected)
        except TimeoutError:
            return None
        finally:
            self._expected.pop(key, None)

    def _doubt(self, entry: Entry, now: int) -> None:
        """Leave aside what is from a time that has not come yet; tell so, once a minute."""
        self._metrics.clock_doubts.add()
        if (moment := asyncio.get_running_loop().time()) >= self._silent_until:
            self._silent_until = moment + _SILENT_SECONDS
            log.warning("bus.clocks_differ", merchant=entry.key, seconds=round((entry.as_of - now) / 1000, 3))

    def _wake(self, key: Key, news: Failed | None) -> None:
        expected = self._expected.pop(key, None)
        if expected is not None and not expected.done():
            expected.set_result(news)


def _stricter(terms: Terms) -> Terms:
    """Ask for a fetch: what looked new enough was not."""
    return terms if terms.no_cache else Terms(terms.came_at, max_age_ms=0)
