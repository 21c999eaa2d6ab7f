"""Wiring of the portfolio: the directory, running totals, the sweep, and reconciliations."""

from typing import Final
from uuid import uuid4

from app.accounts import Accounts
from app.balances.snapshots import AccountId, Entry
from app.budget.budget import Priority
from app.cache.freshness import RequestDirectives
from app.fleet.jobs import Jobs
from app.fleet.shared_value import SharedValue
from app.fleet.view_versions import ViewVersions
from app.history.histories import NO_HISTORIES, Histories
from app.portfolio.directory import MerchantDirectory
from app.portfolio.known_reads import KnownReads
from app.portfolio.portfolio import Portfolio
from app.portfolio.reconciler import Reconciler
from app.portfolio.running_totals import RunningTotals
from app.portfolio.surveys import Surveyor
from app.portfolio.sweep import Sweep
from app.redis.shared import Shared
from app.resilience.supervision import Part
from app.runtime import Runtime
from app.settings.sections import DirectorySettings
from app.wiring.upstream import Upstream

VERSIONS: Final = 8
VERSIONS_BYTES: Final = 64 * 1024 * 1024


class Questions(Part, frozen=True):
    """The questions that the service answers about one account or all merchants, and what they rest on."""

    accounts: Accounts
    portfolio: Portfolio
    directory: MerchantDirectory
    sweep: Sweep


def build_directory(
    settings: DirectorySettings, shared: Shared, upstream: Upstream, runtime: Runtime
) -> MerchantDirectory:
    """Build the directory, which the replicas share."""
    return MerchantDirectory(
        merchants=settings.known_merchants,
        fetch=lambda: upstream.client.fetch_directory(upstream.lane(Priority.WARM_UP, "")),
        share=SharedValue(shared, "{directory}").get_or_create,
        refresh_seconds=settings.refresh_seconds,
        runtime=runtime,
    )


def build_portfolio(
    settings: DirectorySettings,
    shared: Shared,
    directory: MerchantDirectory,
    known_reads: KnownReads,
    running_totals: RunningTotals,
    runtime: Runtime,
    histories: Histories = NO_HISTORIES,
) -> Questions:
    """Build what answers over the cache."""
    accounts, sweep = Accounts(known_reads.sources.cache, histories), known_reads.sweep
    portfolio = Portfolio(
        directory=directory,
        accounts=accounts,
        running_totals=running_totals,
        reconciler=Reconciler(
            jobs=Jobs(shared, "reconciliation"),
            surveyor=_build_surveyor(known_reads, directory, runtime),
            every_seconds=settings.reconcile_every_seconds,
            make_id=lambda: uuid4().hex,
            runtime=runtime,
        ),
        known_reads=known_reads,
        versions=ViewVersions(shared, capacity=VERSIONS, capacity_bytes=VERSIONS_BYTES, monotonic=runtime.monotonic),
    )
    tasks = {
        "directory": directory.keep_fresh,
        "totals": running_totals.keep_recounting,
        "reconciliation": portfolio.reconciler.run,
        **sweep.tasks,
    }
    return Questions(accounts, portfolio, directory, sweep, tasks=tasks, close=sweep.demand.release)


def _build_surveyor(known_reads: KnownReads, directory: MerchantDirectory, runtime: Runtime) -> Surveyor:
    """Build what reads everything for a reconciliation: up to a quarter of the concurrency at a time."""
    cache, options = known_reads.sources.cache, known_reads.sweep.options

    async def read(account_id: AccountId, directives: RequestDirectives) -> Entry:
        return (await cache.read(account_id, directives, "reconciliation", Priority.WARM_UP)).entry

    return Surveyor(
        read=read,
        directory=directory.list_now,
        peek=known_reads.sources.memory.peek,
        call_seconds=known_reads.call_seconds,
        concurrency=max(1, options.concurrency // 4),
        now_ms=runtime.unix_ms,
    )
