"""Replicas of the cache in virtual time: everything real over fakeredis and a loader that obeys."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from fakeredis import FakeAsyncRedis, FakeServer
from msgspec.structs import replace

from app.balances.snapshots import Absence, AccountId, Entry, Row, Snapshot
from app.budget.budget import PermitRequest
from app.budget.fleet_budget import BudgetOptions, build_budget
from app.cache.freshness import FreshnessPolicy, RequestDirectives
from app.cache.replica import Origin, ReplicaHooks, ReplicaOptions, build_replica
from app.history.feed import FeedReader
from app.history.recording import HistoryOptions, Recorder
from app.redis.client import RedisClient
from app.redis.shared import Shared
from app.resilience.circuit_breaker import CircuitBreaker
from app.resilience.supervision import running
from tests.support.virtual_redis import virtual_redis_time
from tests.support.virtual_time import monotonic, unix_ms, virtual_runtime

POLICY = FreshnessPolicy(fresh_ms=5_000, stale_while_revalidate_ms=30_000, stale_if_error_ms=600_000, absent_ms=10_000)
KEY = AccountId("12345")
CHANNEL = "t:bus"
PATIENCE_SECONDS = 6
OPTIONS = ReplicaOptions(policy=POLICY, patience_seconds=PATIENCE_SECONDS, capacity=1000, capacity_bytes=10**9)


class Upstream:
    """An upstream that takes `seconds` for an answer, gives `error` if there is one, and counts its calls.

    Each answer has another amount, but for accounts in `amounts`.
    """

    def __init__(self) -> None:
        self.seconds = 0.1
        self.error: Exception | None = None
        self.crashes: dict[AccountId, Exception] = {}
        self.absent = False
        self.arrivals: list[float] = []
        self.asked: list[AccountId] = []
        self.amounts: dict[AccountId, str] = {}

    @property
    def calls(self) -> int:
        return len(self.arrivals)

    async def load(self, key: AccountId) -> Entry:
        self.arrivals.append(monotonic())
        self.asked.append(key)
        amount = self.amounts.get(key) or str(self.calls)
        await asyncio.sleep(self.seconds)
        if error := self.crashes.get(key, self.error):
            raise error
        if self.absent:
            return Absence(key, unix_ms())
        row = Row("USDT", "USDT", "USDT", amount, amount, "0")  # type: ignore[arg-type]
        return Snapshot(key, unix_ms(), can_deposit=True, balances=(row,))


class Replica:
    """One replica: its cache, and the parts that tests look into. Its clock is `ahead_ms` ahead of the others'.

    `limits` are those of `BudgetOptions`, 1,000 where left out.
    """

    def __init__(
        self,
        upstream: Upstream,
        server: FakeServer,
        name: str,
        *,
        history: HistoryOptions | None = None,
        hooks: ReplicaHooks | None = None,
        **limits: float,
    ) -> None:
        self.ahead_ms = 0
        self.is_refused = False
        runtime = virtual_runtime(lambda: 0.5, unix_ms=lambda: unix_ms() + self.ahead_ms)
        self.shared = make_shared(server, name)
        self.redis_client = self.shared.client
        options = BudgetOptions(**{"per_second": 1000, "burst": 1000, "concurrency": 1000, **limits})  # type: ignore[arg-type]
        self.fleet_budget = build_budget(self.shared, options, runtime)
        self.budget, self.fleet_rate = self.fleet_budget.permits, self.fleet_budget.rate
        self.replica_count = self.fleet_budget.replica_count

        async def load(key: AccountId, permit_request: PermitRequest) -> Entry:
            async with self.budget.permit(permit_request, 5):
                entry = await upstream.load(key)
                return replace(entry, as_of=entry.as_of + self.ahead_ms) if self.ahead_ms else entry

        recorder = None if history is None else Recorder(self.shared, history, runtime.metrics)
        self.feed = FeedReader(self.shared, self.shared.stores.wait_for_all)
        origin = Origin(load=load, is_refused=lambda: self.is_refused, recorder=recorder)
        self.parts = build_replica(self.shared, self.fleet_budget, origin, OPTIONS, runtime, hooks or ReplicaHooks())
        self.memory, self.tier, self.fleet = self.parts.memory, self.parts.tier, self.parts.loader
        self.bus, self.cache = self.parts.bus, self.parts.cache

    async def settle(self) -> None:
        """Wait until all is stored that was loaded: its readers were answered before."""
        await self.fleet.close()

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Replica"]:
        """Run it, with the bus joined."""
        async with running([self.shared, self.fleet_budget, self.parts]):
            await asyncio.sleep(0.01)
            yield self


@asynccontextmanager
async def run_replicas(
    upstream: Upstream, server: FakeServer, count: int, **options: Any
) -> AsyncIterator[list[Replica]]:
    """Run so many replicas over one Redis, in virtual time."""
    with virtual_redis_time():
        async with AsyncExitStack() as stack:
            replicas = [Replica(upstream, server, f"r{number}", **options) for number in range(count)]
            yield [await stack.enter_async_context(replica.running()) for replica in replicas]


def make_shared(server: FakeServer, name: str = "r") -> Shared:
    """Give a replica its share in a fake server."""
    client = make_redis_client(server)
    tasks = {"link": client.probe_while_lost, "renewal": client.renew_while_refused}
    return Shared(client, "t", name, tasks=tasks, close=client.close)


def make_redis_client(server: FakeServer, timeout_seconds: float = 0.05) -> RedisClient:
    """Make a client of a fake server."""
    runtime = virtual_runtime()
    breaker = CircuitBreaker(runtime, threshold=3, first_pause_seconds=0.25, longest_pause_seconds=2)
    return RedisClient(
        lambda: FakeAsyncRedis(server=server), breaker=breaker, timeout_seconds=timeout_seconds, runtime=runtime
    )


def directives(**directives: object) -> RequestDirectives:
    """Say what a request that comes now accepts."""
    return RequestDirectives(received_at=unix_ms(), **directives)  # type: ignore[arg-type]
