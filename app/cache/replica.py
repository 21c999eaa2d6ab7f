"""Composition of a replica's cache: memory, Redis tier, bus and loader. The service, tests and benchmarks use it."""

from collections.abc import Callable
from typing import Final

from msgspec import Struct

from app.balances.snapshots import AccountId
from app.budget.fleet_budget import FleetBudget
from app.budget.prefetch import PermitPrefetcher
from app.cache.backoff import Backoff
from app.cache.cache import Cache
from app.cache.fleet_loader import FleetLoader, Load
from app.cache.freshness import FreshnessPolicy
from app.cache.memory import Listener, MemoryTier
from app.cache.redis_tier import RedisTier
from app.errors import TallygateError
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


class ReplicaHooks(Struct, frozen=True, kw_only=True):
    """What is called when something happens to a replica's cache.

    `listener` hears what memory keeps and drops, `on_failure` each load that failed at another replica, and
    `on_load_failure` each that failed here. `on_subscribed` is called when the bus is joined (again).
    """

    listener: Listener | None = None
    on_failure: Callable[[Failure], None] = lambda _: None
    on_load_failure: Callable[[AccountId, TallygateError], None] = lambda _, __: None
    on_subscribed: Callable[[], None] = lambda: None


class Replica(Part, frozen=True):
    """The parts of a replica's cache."""

    memory: MemoryTier
    tier: RedisTier
    loader: FleetLoader
    bus: Bus
    cache: Cache


_NO_HOOKS: Final = ReplicaHooks()


def build_replica(
    shared: Shared,
    budget: FleetBudget,
    origin: Origin,
    options: ReplicaOptions,
    runtime: Runtime,
    hooks: ReplicaHooks = _NO_HOOKS,
) -> Replica:
    """Build the cache of one replica."""
    memory = MemoryTier(options.capacity, options.capacity_bytes, hooks.listener)
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

    def on_subscribed() -> None:
        memory.distrust()
        hooks.on_subscribed()

    bus = Bus(
        shared,
        on_subscribed=on_subscribed,
        on_entry=loader.on_entry,
        on_failure=_call_both(loader.on_failure, hooks.on_failure),
        on_lease_released=loader.on_lease_released,
        on_doubt=loader.moves.doubt,
        metrics=runtime.metrics,
    )
    cache = _build_cache(memory, loader, origin, options, runtime, hooks)
    tasks = {"bus": bus.listen, "leases": tier.renew_leases, "standstills": loader.standstills.watch}
    return Replica(memory, tier, loader, bus, cache, tasks=tasks, close=cache.close)


def _build_cache(
    memory: MemoryTier,
    loader: FleetLoader,
    origin: Origin,
    options: ReplicaOptions,
    runtime: Runtime,
    hooks: ReplicaHooks,
) -> Cache:
    return Cache(
        memory=memory,
        fleet=loader,
        backoff=Backoff(options.capacity, runtime, hooks.on_load_failure),
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
