"""Replicas of the cache in virtual time: everything real over fakeredis and a loader that obeys."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from fakeredis import FakeAsyncRedis, FakeServer
from msgspec.structs import replace

from app.balances.snapshots import Absence, Entry, Key, Row, Snapshot
from app.budget.budget import Budget, Errand
from app.budget.fleet_rate import Turns
from app.budget.prefetch import Advances
from app.cache.backoff import Backoff
from app.cache.cache import Cache
from app.cache.fleet_loader import Fleet
from app.cache.freshness import Policy, Terms
from app.cache.memory import MemoryTier
from app.cache.redis_tier import RedisTier
from app.fleet.bus import Bus
from app.fleet.replica_count import Census
from app.redis.client import Link
from app.resilience.circuit_breaker import Breaker
from app.resilience.supervision import running
from tests.support.virtual_redis import virtual_redis_time
from tests.support.virtual_time import monotonic, unix_ms

POLICY = Policy(fresh_ms=5_000, stale_while_revalidate_ms=30_000, stale_if_error_ms=600_000, absent_ms=10_000)
KEY = Key("12345")
CHANNEL = "t:bus"
PATIENCE_SECONDS = 6


class Upstream:
    """An upstream that takes `seconds` for an answer, gives `error` if there is one, and counts its calls."""

    def __init__(self) -> None:
        self.seconds = 0.1
        self.error: Exception | None = None
        self.absent = False
        self.arrivals: list[float] = []
        self.asked: list[Key] = []

    @property
    def calls(self) -> int:
        return len(self.arrivals)

    async def load(self, key: Key) -> Entry:
        self.arrivals.append(monotonic())
        self.asked.append(key)
        amount = str(self.calls)
        await asyncio.sleep(self.seconds)
        if self.error is not None:
            raise self.error
        if self.absent:
            return Absence(key, unix_ms())
        row = Row("USDT", "USDT", "USDT", amount, amount, "0")  # type: ignore[arg-type]
        return Snapshot(key, unix_ms(), can_deposit=True, balances=(row,))


class Replica:
    """One replica: its cache, and the parts that tests look into. Its clock is `ahead_ms` ahead of the others'."""

    def __init__(
        self,
        upstream: Upstream,
        server: FakeServer,
        name: str,
        *,
        per_second: float = 1000,
        burst: float = 1000,
        concurrency: int = 1000,
    ) -> None:
        self.ahead_ms = 0
        self.is_refused = False
        self.link = make_link(server)
        self.memory = MemoryTier(1000, 10**9)
        self.tier = RedisTier(self.link, prefix="t", owner=name, channel=CHANNEL, policy=POLICY)
        self.census = Census(self.link, channel=CHANNEL, at_least=1)
        self.turns = Turns(
            self.link,
            prefix="t",
            owner=name,
            per_second=per_second,
            burst=burst,
            monotonic=monotonic,
            replicas=lambda: self.census.replicas,
        )
        self.budget = Budget(self.turns, per_second=per_second, concurrency=concurrency)

        async def load(key: Key, errand: Errand) -> Entry:
            async with self.budget.turn(errand, 5):
                entry = await upstream.load(key)
                return replace(entry, as_of=entry.as_of + self.ahead_ms) if self.ahead_ms else entry

        def now_ms() -> int:
            return unix_ms() + self.ahead_ms

        self.fleet = Fleet(
            memory=self.memory,
            redis=self.tier,
            advances=Advances(self.budget, self.turns),
            load=load,
            hears=lambda: self.bus.connected,
            policy=POLICY,
            now_ms=now_ms,
            random=lambda: 0.5,
        )
        self.bus = Bus(
            self.link.client,
            channel=CHANNEL,
            owner=name,
            on_join=self.memory.distrust,
            on_entry=self.fleet.hear_entry,
            on_failure=self.fleet.hear_failure,
            on_freed=self.fleet.hear_freed,
        )
        self.cache = Cache(
            memory=self.memory,
            fleet=self.fleet,
            backoff=Backoff(1000, monotonic, lambda: 0.0),
            is_refused=lambda: self.is_refused,
            policy=POLICY,
            patience_seconds=PATIENCE_SECONDS,
            now_ms=now_ms,
            random=lambda: 0.5,
        )

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Replica"]:
        """Run it, with the bus joined."""
        works = {
            "link": self.link.tend,
            "bus": self.bus.listen,
            "leases": self.tier.keep_leases,
            "budget": self.budget.serve,
            "census": self.census.count,
        }
        async with running(**works):
            await asyncio.sleep(0.01)
            yield self
            await self.cache.close()
        await self.link.close()


@asynccontextmanager
async def run_replicas(
    upstream: Upstream, server: FakeServer, count: int, **options: float
) -> AsyncIterator[list[Replica]]:
    """Run so many replicas over one Redis, in virtual time."""
    with virtual_redis_time():
        async with AsyncExitStack() as stack:
            replicas = [Replica(upstream, server, f"r{number}", **options) for number in range(count)]  # type: ignore[arg-type]
            yield [await stack.enter_async_context(replica.running()) for replica in replicas]


def make_link(server: FakeServer, timeout_seconds: float = 0.05) -> Link:
    """Make a link to a fake server."""
    breaker = Breaker(
        threshold=3, first_pause_seconds=0.25, longest_pause_seconds=2, monotonic=monotonic, random=lambda: 0.0
    )
    return Link(FakeAsyncRedis(server=server), breaker=breaker, timeout_seconds=timeout_seconds)


def terms(**directives: object) -> Terms:
    """Say what a request that comes now accepts."""
    return Terms(came_at=unix_ms(), **directives)  # type: ignore[arg-type]
