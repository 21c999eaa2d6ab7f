"""Wiring of the cache: its options, from the settings."""

from app.budget.fleet_budget import BudgetOptions
from app.cache.freshness import FreshnessPolicy
from app.cache.replica import ReplicaOptions
from app.settings.sections import FreshnessSettings, PortfolioSettings, Settings


def budget_options(settings: Settings) -> BudgetOptions:
    """Give the options of the budget. Each worker is a replica of its own."""
    return BudgetOptions(
        per_second=settings.upstream.rate,
        burst=settings.upstream.burst or settings.upstream.rate,
        concurrency=settings.upstream.concurrency,
        least_replicas=settings.process.workers,
    )


def replica_options(settings: Settings) -> ReplicaOptions:
    """Give the options of a replica's cache."""
    policy = build_policy(settings.freshness, settings.portfolio)
    return ReplicaOptions(policy=policy, patience_seconds=read_timeout_seconds(settings))


def read_timeout_seconds(settings: Settings) -> float:
    """Give how long a caller waits for balances: for a whole call of the upstream, and for Redis around it."""
    return settings.upstream.timeout_seconds + 4 * settings.redis.timeout_seconds + 0.25


def build_policy(settings: FreshnessSettings, portfolio: PortfolioSettings) -> FreshnessPolicy:
    """Convert the freshness settings to milliseconds."""
    return FreshnessPolicy(
        fresh_ms=round(settings.fresh_seconds * 1000),
        stale_while_revalidate_ms=round(settings.stale_while_revalidate_seconds * 1000),
        stale_if_error_ms=round(settings.stale_if_error_seconds * 1000),
        absent_ms=round(settings.absent_seconds * 1000),
        portfolio_stale_ms=round(portfolio.stale_seconds * 1000),
    )
