"""Wiring of the sweep: its queue, which hears memory, and what it fetches with."""

from app.budget.fleet_budget import FleetBudget
from app.cache.freshness import FreshnessPolicy, early_refresh_ms
from app.cache.replica import Replica
from app.fleet.demand import Demand
from app.portfolio.directory import MerchantDirectory
from app.portfolio.known_reads import KnownReads, KnownSources
from app.portfolio.sweep import Sweep
from app.portfolio.sweep_figures import SweepOptions
from app.portfolio.sweep_queue import SweepQueue
from app.portfolio.sweep_sources import SweepSources
from app.redis.shared import Shared
from app.runtime import Runtime
from app.settings.sections import Settings
from app.upstream.token_source import TokenSource
from app.wiring.cache_options import build_policy
from app.wiring.upstream import Upstream


def build_sweep_queue(policy: FreshnessPolicy, runtime: Runtime) -> SweepQueue:
    """Build the queue. It must hear what memory keeps, and the failures of other replicas."""
    return SweepQueue(early_refresh_ms(policy), runtime.unix_ms)


def build_sweep_sources(directory: MerchantDirectory, replica: Replica, upstream: Upstream) -> SweepSources:
    """Build what the sweep reads and where it loads."""
    pause = upstream.calls.seconds_open
    return SweepSources(directory, replica.loader.look_up, replica.memory.peek, replica.cache, pause)


def build_sweep(
    settings: Settings,
    queue: SweepQueue,
    sources: SweepSources,
    shared: Shared,
    budget: FleetBudget,
    runtime: Runtime,
) -> Sweep:
    """Build the sweep of one replica."""
    return Sweep(
        demand=Demand(shared, settings.portfolio.demand_seconds, runtime.monotonic),
        sources=sources,
        queue=queue,
        budget=budget,
        options=sweep_options(settings),
        runtime=runtime,
    )


def build_known_reads(
    settings: Settings,
    sweep: Sweep,
    replica: Replica,
    budget: FleetBudget,
    tokens: TokenSource,
    runtime: Runtime,
) -> KnownReads:
    """Build what reads all merchants for views. They wait for permits no longer than calls do."""
    policy = build_policy(settings.freshness, settings.portfolio)
    sources = KnownSources(
        replica.memory, replica.loader.look_up, replica.cache, budget.permits, lambda: tokens.refusal
    )
    return KnownReads(sources, sweep, policy, settings.upstream.timeout_seconds, runtime.unix_ms)


def sweep_options(settings: Settings) -> SweepOptions:
    """Give what a sweep may use."""
    return SweepOptions(
        per_second=settings.upstream.rate,
        share=settings.portfolio.sweep_share,
        concurrency=settings.upstream.concurrency,
        stale_seconds=settings.portfolio.stale_seconds,
    )
