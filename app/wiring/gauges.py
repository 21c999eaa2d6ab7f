"""What the gauges look at."""

from app.balances.reconciliation import Verdict
from app.budget.budget import Budget
from app.budget.fleet_rate import FleetRateLimiter
from app.cache.memory import MemoryTier
from app.fleet.bus import Bus
from app.portfolio.directory import MerchantDirectory
from app.portfolio.reconciler import Reconciler
from app.redis.client import RedisClient
from app.telemetry.metrics import Metrics
from app.upstream.token_source import TokenSource, TokenState


def watch_cache(
    metrics: Metrics,
    *,
    memory: MemoryTier,
    redis_client: RedisClient,
    bus: Bus,
    budget: Budget,
    fleet_rate: FleetRateLimiter,
) -> None:
    """Let the gauges of memory, Redis, bus and budget show these."""
    metrics.snapshots.watch(lambda: len(memory))
    metrics.snapshot_bytes.watch(lambda: memory.bytes)
    metrics.redis_available.watch(lambda: redis_client.available)
    metrics.bus_connected.watch(lambda: bus.connected)
    metrics.budget_waiting.watch(lambda: budget.waiting)
    metrics.budget_left.watch(fleet_rate.available_now)
    metrics.quiet_seconds.watch(fleet_rate.pause_seconds)


def watch_token(metrics: Metrics, tokens: TokenSource) -> None:
    """Let the gauges of the upstream's token show this one."""
    metrics.token_accepted.watch(lambda: tokens.state is not TokenState.REFUSED)
    metrics.token_seconds_left.watch(lambda: tokens.seconds_left)


def watch_directory(metrics: Metrics, directory: MerchantDirectory) -> None:
    """Let the gauges of the directory show this roll."""
    metrics.directory_age.watch(lambda: directory.age_seconds)
    metrics.directory_stale.watch(lambda: None if directory.age_seconds is None else directory.is_stale)


def watch_reconciliations(metrics: Metrics, reconciler: Reconciler) -> None:
    """Let the gauges of the reconciliation show the last result that is known here."""

    def count() -> dict[tuple[str | int, ...], float]:
        last = reconciler.last
        return {} if last is None else {(verdict.value,): float(last.verdicts[verdict]) for verdict in Verdict}

    metrics.reconciliation_assets.watch_all(count)
    metrics.reconciliation_overdue.watch(lambda: reconciler.is_overdue)
    metrics.reconciliation_time.watch(
        lambda: reconciler.last.finished_at / 1000 if reconciler.last and reconciler.last.finished_at else None
    )
