"""Gauges: what each of them reads."""

from app.balances.reconciliation import Verdict
from app.budget.fleet_budget import FleetBudget
from app.cache.replica import Replica
from app.portfolio.reconciler import Reconciler
from app.portfolio.sweep import Sweep
from app.portfolio.sweep_figures import SweepState
from app.redis.shared import Shared
from app.telemetry.metrics import Metrics
from app.upstream.token_source import TokenState
from app.wiring.access import AccessControl
from app.wiring.portfolio import Questions
from app.wiring.upstream import Upstream


def watch_gauges(
    metrics: Metrics,
    shared: Shared,
    budget: FleetBudget,
    upstream: Upstream,
    replica: Replica,
    questions: Questions,
    access: AccessControl,
) -> None:
    """Let the gauges read these parts."""
    tokens, directory = upstream.tokens, questions.directory
    metrics.redis_available.watch(lambda: shared.client.available)
    metrics.redis_accepts_writes.watch(lambda: shared.client.accepts_writes)
    metrics.budget_waiting.watch(lambda: budget.permits.waiting)
    metrics.budget_left.watch(budget.rate.available_now)
    metrics.quiet_seconds.watch(budget.rate.pause_seconds)
    metrics.token_accepted.watch(lambda: tokens.state is not TokenState.REFUSED)
    metrics.token_seconds_left.watch(lambda: tokens.seconds_left)
    metrics.breaker_open.watch(lambda: upstream.calls.is_breaker_open)
    metrics.snapshots.watch(lambda: len(replica.memory))
    metrics.snapshot_bytes.watch(lambda: replica.memory.bytes)
    metrics.bus_connected.watch(lambda: replica.bus.connected)
    metrics.directory_age.watch(lambda: directory.age_seconds)
    metrics.directory_stale.watch(lambda: None if directory.age_seconds is None else directory.is_stale)
    _watch_sweep(metrics, questions.sweep)
    _watch_reconciliations(metrics, questions.portfolio.reconciler)
    metrics.callers.watch(lambda: len(access.callers))
    metrics.key_seconds_left.watch_all(lambda: {(name,): left for name, left in access.callers.seconds_left().items()})
    if (watcher := access.watcher) is not None:
        metrics.clients_file_ok.watch(lambda: watcher.is_ok)


def _watch_sweep(metrics: Metrics, sweep: Sweep) -> None:
    """Show how the sweep is, as far as this replica knows; its figures only while there is demand."""
    demand, queue = sweep.demand, sweep.queue

    def age() -> float | None:
        oldest = queue.oldest_as_of if demand.is_there else None
        return None if oldest is None else max(0, sweep.now_ms() - oldest) / 1000

    metrics.sweep_state.watch_all(lambda: {(state.value,): sweep.status().state is state for state in SweepState})
    metrics.sweep_round.watch(lambda: sweep.status().seconds_to_round if demand.is_there else None)
    metrics.sweep_unknown.watch(lambda: queue.unknown if demand.is_there else None)
    metrics.sweep_oldest.watch(age)


def _watch_reconciliations(metrics: Metrics, reconciler: Reconciler) -> None:
    """Show the last result that is known here."""

    def count() -> dict[tuple[str | int, ...], float]:
        last = reconciler.last
        return {} if last is None else {(verdict.value,): float(last.verdicts[verdict]) for verdict in Verdict}

    metrics.reconciliation_assets.watch_all(count)
    metrics.reconciliation_overdue.watch(lambda: reconciler.is_overdue)
    metrics.reconciliation_time.watch(
        lambda: reconciler.last.finished_at / 1000 if reconciler.last and reconciler.last.finished_at else None
    )
