"""Replicas of the cache in virtual time: everything real over fakeredis and a loader that obeys."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from fakeredis import FakeAsyncRedis, FakeServer
from msgspec.structs import replace

from app.balances.snapshots import Absence, AccountId, Entry, Row, Snapshot
from app.budget.budget import Budget, PermitRequest
from app.budget.fleet_rate import FleetRateLimiter
from app.budget.prefetch import PermitPrefetcher
from app.cache.backoff import Backoff
from app.cache.cache import Cache
from app.cache.fleet_loader import FleetLoader
from app.cache.freshness import FreshnessPolicy, RequestDirectives
from app.cache.memory import MemoryTier
from app.cache.redis_tier import RedisTier
from app.fleet.bus import Bus
from app.fleet.replica_count import ReplicaCount
from app.redis.client import RedisClient
from app.resilience.circuit_breaker import CircuitBreaker
from app.resilience.supervision import supervised
from tests.support.virtual_redis import virtual_redis_time
from tests.support.virtual_time import monotonic, unix_ms

POLICY = FreshnessPolicy(fresh_ms=5_000, stale_while_revalidate_ms=30_000, stale_if_error_ms=600_000, absent_ms=10_000)
KEY = AccountId("12345")
CHANNEL = "t:bus"
PATIENCE_SECONDS = 6


class Upstream:
    """An upstream that takes `seconds` for an answer, gives `error` if there is one, and counts its calls."""

    def __init__(self) -> None:
        self.seconds = 0.1
        self.error: Exception | None = None
        self.absent = False
        self.arrivals: list[float] = []
        self.asked: list[AccountId] = []

    @property
    def calls(self) -> int:
        return len(self.arrivals)

    async def load(self, key: AccountId) -> Entry:
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
        self.redis_client = make_redis_client(server)
        self.memory = MemoryTier(1000, 10**9)
        self.tier = RedisTier(self.redis_client, prefix="t", replica_id=name, channel=CHANNEL, policy=POLICY)
        self.replica_count = ReplicaCount(self.redis_client, channel=CHANNEL, at_least=1)
        self.fleet_rate = FleetRateLimiter(
            self.redis_client,
            prefix="t",
            replica_id=name,
            per_second=per_second,
            burst=burst,
            monotonic=monotonic,
            replicas=lambda: self.replica_count.current,
        )
        self.budget = Budget(self.fleet_rate, per_second=per_second, concurrency=concurrency)

        async def load(key: AccountId, permit_request: PermitRequest) -> Entry:
            async with self.budget.permit(permit_request, 5):
                entry = await upstream.load(key)
                return replace(entry, as_of=entry.as_of + self.ahead_ms) if self.ahead_ms else entry

        def now_ms() -> int:
            return unix_ms() + self.ahead_ms

        self.fleet = FleetLoader(
            memory=self.memory,
            redis=self.tier,
            prefetcher=PermitPrefetcher(self.budget, self.fleet_rate),
            load=load,
            is_bus_connected=lambda: self.bus.connected,
            policy=POLICY,
            now_ms=now_ms,
            random=lambda: 0.5,
        )
        self.bus = Bus(
            self.redis_client.client,
            channel=CHANNEL,
            replica_id=name,
            on_subscribed=self.memory.distrust,
            on_entry=self.fleet.on_entry,
            on_failure=self.fleet.on_failure,
            on_lease_released=self.fleet.on_lease_released,
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
            "link": self.redis_client.probe_while_lost,
            "bus": self.bus.listen,
            "leases": self.tier.renew_leases,
            "budget": self.budget.dispatch,
            "census": self.replica_count.keep_counting,
        }
        async with supervised(**works):
            await asyncio.sleep(0.01)
            yield self
            await self.cache.close()
        await self.redis_client.close()


@asynccontextmanager
async def run_replicas(
    upstream: Upstream, server: FakeServer, count: int, **options: float
) -> AsyncIterator[list[Replica]]:
    """Run so many replicas over one Redis, in virtual time."""
    with virtual_redis_time():
        async with AsyncExitStack() as stack:
            replicas = [Replica(upstream, server, f"r{number}", **options) for number in range(count)]  # type: ignore[arg-type]
            yield [await stack.enter_async_context(replica.running()) for replica in replicas]


def make_redis_client(server: FakeServer, timeout_seconds: float = 0.05) -> RedisClient:
    """Make a link to a fake server."""
    breaker = CircuitBreaker(
        threshold=3, first_pause_seconds=0.25, longest_pause_seconds=2, monotonic=monotonic, random=lambda: 0.0
    )
    return RedisClient(FakeAsyncRedis(server=server), breaker=breaker, timeout_seconds=timeout_seconds)


def directives(**directives: object) -> RequestDirectives:
    """Say what a request that comes now accepts."""
    return RequestDirectives(received_at=unix_ms(), **directives)  # type: ignore[arg-type]
