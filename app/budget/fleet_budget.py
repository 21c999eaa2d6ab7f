"""Composition of the budget: the fleet's rate, this replica's queue, and the number of replicas."""

from msgspec import Struct

from app.budget.budget import Budget
from app.budget.fleet_rate import FleetRateLimiter
from app.fleet.replica_count import ReplicaCount
from app.redis.shared import Shared
from app.resilience.supervision import Part
from app.runtime import Runtime


class BudgetOptions(Struct, frozen=True, kw_only=True):
    """How many calls a second the fleet may make, how many in a burst, and how many at a time this replica may."""

    per_second: float
    burst: float
    concurrency: int
    least_replicas: int = 1


class FleetBudget(Part, frozen=True):
    """The parts of a replica's budget."""

    rate: FleetRateLimiter
    permits: Budget
    replica_count: ReplicaCount


def build_budget(shared: Shared, options: BudgetOptions, runtime: Runtime) -> FleetBudget:
    """Build the budget of one replica."""
    replica_count = ReplicaCount(shared, at_least=options.least_replicas)
    rate = FleetRateLimiter(
        shared,
        per_second=options.per_second,
        burst=options.burst,
        monotonic=runtime.monotonic,
        replicas=lambda: replica_count.current,
    )
    permits = Budget(rate, per_second=options.per_second, concurrency=options.concurrency, metrics=runtime.metrics)
    tasks = {"budget": permits.dispatch, "census": replica_count.keep_counting}
    return FleetBudget(rate, permits, replica_count, tasks=tasks)
