"""Composition of a replica's cache: memory, Redis tier, bus and loader. The service, tests and benchmarks use it."""

from collections.abc import Callable
from typing import Final

from msgspec import Struct

from app.budget.fleet_budget import FleetBudget
from app.budget.prefetch import PermitPrefetcher
from app.cache.backoff import Backoff
from app.cache.cache import Cache
from app.cache.fleet_loader import FleetLoader, Load
from app.cache.freshness import FreshnessPolicy
from app.cache.memory import Listener, MemoryTier
from app.cache.redis_tier import RedisTier
from app.fleet.bus import Bus, Failure
from app.history.recording import Recorder
from app.redis.shared import Shared
from app.resilience.supervision import Part
from app.runtime import Runtime

MEMORY_ENTRIES: Final = 200_000
MEMORY_BYTES: Final = 512 * 1024 * 1024


class ReplicaOptions(Struct, frozen=True, kw_only=True):
    """How old balances may be, how long a caller waits for them, and how many memory keeps."""

    policy: FreshnessPolicy
    patience_seconds: float
    capacity: int = MEMORY_ENTRIES
    capacity_bytes: int = MEMORY_BYTES


class Origin(Struct, frozen=True, kw_only=True):
    """Where entries come from. Calls may start now if `is_ready`; all of them are refused if `is_refused`.

    `recorder` records what was looked at, if there is a history.
    """

    load: Load
    is_ready: Callable[[], bool] = lambda: True
    is_refused: Callable[[], bool] = lambda: False
    recorder: Recorder | None = None


class Replica(Part, frozen=True):
    """The parts of a replica's cache."""

    memory: MemoryTier
    tier: RedisTier
    loader: FleetLoader
    bus: Bus
    cache: Cache


def build_replica(
    shared: Shared,
    budget: FleetBudget,
    origin: Origin,
    options: ReplicaOptions,
    runtime: Runtime,
    *,
    listener: Listener | None = None,
    on_failure: Callable[[Failure], None] = lambda _: None,
) -> Replica:
    """Build the cache of one replica. `listener` is notified of what memory keeps and drops.

    `on_failure` is called for each load that failed at another replica.
    """
    memory = MemoryTier(options.capacity, options.capacity_bytes, listener)
    tier = RedisTier(shared, policy=options.policy, metrics=runtime.metrics, recorder=origin.recorder)
    loader = FleetLoader(
        memory=memory,
        redis=tier,
        prefetcher=PermitPrefetcher(budget.permits, budget.rate, origin.is_ready),
        load=origin.load,
        is_bus_connected=lambda: bus.connected,
        policy=options.policy,
        runtime=runtime,
    )
    bus = Bus(
        shared,
        on_subscribed=memory.distrust,
        on_entry=loader.on_entry,
        on_failure=_call_both(loader.on_failure, on_failure),
        on_lease_released=loader.on_lease_released,
        on_doubt=loader.moves.doubt,
        metrics=runtime.metrics,
    )
    cache = _build_cache(memory, loader, origin, options, runtime)
    tasks = {"bus": bus.listen, "leases": tier.renew_leases}
    return Replica(memory, tier, loader, bus, cache, tasks=tasks, close=cache.close)


def _build_cache(
    memory: MemoryTier, loader: FleetLoader, origin: Origin, options: ReplicaOptions, runtime: Runtime
) -> Cache:
    return Cache(
        memory=memory,
        fleet=loader,
        backoff=Backoff(options.capacity, runtime),
        is_refused=origin.is_refused,
        policy=options.policy,
        patience_seconds=options.patience_seconds,
        runtime=runtime,
    )


def _call_both(first: Callable[[Failure], None], second: Callable[[Failure], None]) -> Callable[[Failure], None]:
    def call(failure: Failure) -> None:
        first(failure)
        second(failure)

    return call
