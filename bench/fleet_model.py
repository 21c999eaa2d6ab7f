"""Fleet model in virtual time: replicas with the real cache; Redis, network, readers and upstream are modelled."""

import asyncio
import math
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from functools import partial
from itertools import accumulate
from random import Random
from typing import Any, Final, cast

from app.balances.amounts import Amount
from app.balances.snapshots import AccountId, Entry, Row, Snapshot
from app.budget.budget import PermitRequest
from app.budget.fleet_budget import BudgetOptions, FleetBudget, build_budget
from app.cache.freshness import Fetch, FreshnessPolicy, RequestDirectives, age_ms, decide, early_refresh_ms
from app.cache.replica import Origin, ReplicaHooks, ReplicaOptions, build_replica
from app.cache.served import Served
from app.errors import TallygateError
from app.fleet.bus import Failure
from app.portfolio.sweep_queue import SweepQueue
from app.redis.client import RedisClient
from app.redis.shared import Shared
from app.resilience.circuit_breaker import CircuitBreaker
from app.resilience.retry_budget import RetryBudget
from app.resilience.supervision import supervised
from app.runtime import Runtime
from app.upstream.calls import CallExecutor
from app.upstream.token_source import NoTokenSource
from bench.fleet_figures import Conditions, Figures
from bench.redis_model import Client, Server
from tests.support.virtual_time import VirtualLoop, monotonic, unix_ms

POLICY: Final = FreshnessPolicy(
    fresh_ms=5_000,
    stale_while_revalidate_ms=30_000,
    stale_if_error_ms=600_000,
    absent_ms=10_000,
    portfolio_stale_ms=3_600_000,
)
_CALLERS: Final = ("web", "app", "jobs", "support")


class _Upstream:
    """An upstream that answers every call and counts it."""

    def __init__(self, random: Random, median_seconds: float) -> None:
        self._random: Final = random
        self._median_seconds: Final = median_seconds
        self.calls: Final[list[tuple[float, AccountId]]] = []

    async def answer(self, key: AccountId) -> Entry:
        self.calls.append((monotonic(), key))
        await asyncio.sleep(self._median_seconds * self._random.lognormvariate(0, 0.3))
        amount = Amount(str(len(self.calls)))
        row = Row("USDT", "USDT", "Tether", amount, amount, Amount("0"))
        return Snapshot(key, unix_ms(), can_deposit=True, balances=(row,))


class Replica:
    """One replica as the service builds it, over the modelled Redis, with calls of the modelled upstream."""

    def __init__(
        self,
        name: str,
        conditions: Conditions,
        server: Server,
        answer: Callable[[AccountId], Any],
        random: Random,
        policy: FreshnessPolicy = POLICY,
    ) -> None:
        self.name: Final = name
        self.runtime: Final = Runtime(unix_ms=unix_ms, monotonic=monotonic, random=random.random)
        self.client: Final = Client(server, _way(random, conditions.way_seconds))
        self.queue: Final = SweepQueue(early_refresh_ms(POLICY), unix_ms)
        self.shared: Final = Shared(_make_redis_client(self.client, self.runtime), "t", name)
        runtime, shared = self.runtime, self.shared
        limits = BudgetOptions(
            per_second=conditions.budget,
            burst=conditions.budget,
            concurrency=conditions.concurrency,
            least_replicas=conditions.replicas,
        )
        self.budget: Final = build_budget(shared, limits, runtime)
        calls = _make_calls(self.budget, runtime)

        async def load(key: AccountId, permit_request: PermitRequest) -> Entry:
            permit = partial(self.budget.permits.permit, permit_request)
            entry: Entry = await calls.execute(lambda: answer(key), permit)
            return entry

        options = ReplicaOptions(policy=policy, patience_seconds=5.45)
        self.parts: Final = build_replica(
            shared, self.budget, Origin(load=load), options, runtime, ReplicaHooks(listener=self.queue)
        )
        self.parts.bus.connected = True  # the modelled server tells the loader by itself
        server.listeners[name] = self

    def on_entry(self, entry: Entry) -> None:
        """Take what another replica tells."""
        self.parts.loader.on_entry(entry)

    def on_failure(self, failure: Failure) -> None:
        """Take why another replica has nothing to tell."""
        self.parts.loader.on_failure(failure)
        self.queue.on_failure(failure)

    def on_lease_released(self, key: AccountId) -> None:
        """Take that another replica has let a key go."""
        self.parts.loader.on_lease_released(key)

    def on_moved(self, key: AccountId, at: int) -> None:
        """Take that an account has moved."""
        self.parts.loader.moves.doubt(key, at)


class Readers:
    """Callers who read at random, and the results."""

    def __init__(self, conditions: Conditions, replicas: list[Replica], figures: Figures, random: Random) -> None:
        self._conditions: Final = conditions
        self._replicas: Final = replicas
        self._figures: Final = figures
        self._random: Final = random
        self._keys: Final = [AccountId(str(10_001 + number)) for number in range(conditions.merchants)]
        self._weights: Final = list(
            accumulate(1 / rank**conditions.skew for rank in range(1, conditions.merchants + 1))
        )

    async def read(self) -> None:
        """Read at random moments until the time is over and every read has an answer."""
        async with asyncio.TaskGroup() as waiting:
            while monotonic() < self._conditions.seconds:
                await asyncio.sleep(self._random.expovariate(self._conditions.reads_per_second))
                key = self._random.choices(self._keys, cum_weights=self._weights)[0]
                replica, directives = self._random.choice(self._replicas), RequestDirectives(received_at=unix_ms())
                reading = replica.parts.cache.read(key, directives, self._random.choice(_CALLERS))
                if isinstance(decide(replica.parts.memory.peek(key), unix_ms(), POLICY, directives), Fetch):
                    waiting.create_task(self._wait(reading))
                else:
                    self._record(_run_without_waiting(reading), monotonic())

    async def _wait(self, reading: Coroutine[Any, Any, Served]) -> None:
        began = monotonic()
        try:
            self._record(await reading, began)
        except TallygateError as error:
            if began >= self._conditions.warm_up_seconds:
                self._figures.failures[type(error).__name__] += 1

    def _record(self, served: Served, began: float) -> None:
        if began < self._conditions.warm_up_seconds:
            return
        self._figures.ages.append(age_ms(served.entry, unix_ms()))
        if monotonic() > began:
            self._figures.waits.append(monotonic() - began)


def run_fleet(conditions: Conditions) -> Figures:
    """Run a fleet under the conditions. The same conditions give the same figures."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(_live(conditions))


async def _live(conditions: Conditions) -> Figures:
    random = Random(conditions.seed)
    server = Server(_unix_us, _way(random, conditions.way_seconds))
    upstream = _Upstream(random, conditions.upstream_seconds)
    replicas = [
        Replica(f"r{number}", conditions, server, upstream.answer, random) for number in range(conditions.replicas)
    ]
    figures = Figures(calls=upstream.calls, warm_up_seconds=conditions.warm_up_seconds)
    async with AsyncExitStack() as stack:
        for replica in replicas:
            await stack.enter_async_context(
                supervised(budget=replica.budget.permits.dispatch, leases=replica.parts.tier.renew_leases)
            )
        reading = asyncio.create_task(Readers(conditions, replicas, figures, random).read())
        await asyncio.sleep(conditions.warm_up_seconds)
        before, messages = server.operations.copy(), server.messages
        await asyncio.sleep(conditions.seconds - conditions.warm_up_seconds)
        figures.seconds = conditions.seconds - conditions.warm_up_seconds
        figures.operations = server.operations - before
        figures.messages = server.messages - messages
        await reading
        for replica in replicas:
            await replica.parts.cache.close()
    return figures


def _run_without_waiting(reading: Coroutine[Any, Any, Served]) -> Served:
    """Run a read that waits for nothing, without the cost of a task."""
    try:
        reading.send(None)
    except StopIteration as done:
        return cast("Served", done.value)
    raise RuntimeError("a read waited that had its answer in memory")


def _way(random: Random, median_seconds: float) -> Callable[[], float]:
    location = math.log(median_seconds)
    return lambda: random.lognormvariate(location, 0.4)


def _make_redis_client(client: Client, runtime: Runtime) -> RedisClient:
    breaker = CircuitBreaker(runtime, threshold=3, first_pause_seconds=0.25, longest_pause_seconds=2)
    return RedisClient(lambda: cast("Any", client), breaker=breaker, timeout_seconds=0.05, runtime=runtime)


def _make_calls(budget: FleetBudget, runtime: Runtime) -> CallExecutor:
    return CallExecutor(
        tokens=NoTokenSource(None, monotonic=monotonic),
        breaker=CircuitBreaker(runtime, threshold=5, first_pause_seconds=0.5, longest_pause_seconds=15),
        retries=RetryBudget(runtime.random),
        quiet=budget.rate.pause,
        timeout_seconds=5,
        runtime=runtime,
    )


def _unix_us() -> int:
    return 1_000_000_000_000_000 + round(monotonic() * 1_000_000)
