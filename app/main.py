"""Composition root: the whole service, built from its settings. Importing this builds nothing."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from importlib.metadata import version
from typing import Final

import structlog
from litestar import Litestar

from app.access.clients_file import Clients
from app.api.app import Access, ApiOptions, Balances, Moved, ServicePages, build_api
from app.api.middleware.edge import Edge
from app.api.streams.streams import Cut
from app.balances.snapshots import AccountId
from app.budget.fleet_budget import build_budget
from app.cache.freshness import FreshnessPolicy
from app.cache.replica import build_replica
from app.portfolio.running_totals import RunningTotals
from app.resilience.draining import Drain
from app.resilience.supervision import Part, running
from app.runtime import Runtime
from app.settings.sections import Audited, HttpSettings, Settings, TelemetrySettings
from app.telemetry.exposition import Exposition
from app.telemetry.traces import Traces
from app.upstream.transport import Transport
from app.watch.news import AccountNews
from app.wiring.access import build_access
from app.wiring.cache_options import budget_options, read_timeout_seconds, replica_options
from app.wiring.gauges import watch_gauges
from app.wiring.health import Health, build_health
from app.wiring.history import build_history
from app.wiring.moved import MovedParts, build_moved
from app.wiring.portfolio import build_directory, build_portfolio
from app.wiring.redis import build_redis
from app.wiring.sweep import build_known_reads, build_sweep, build_sweep_queue, build_sweep_sources
from app.wiring.upstream import build_origin, build_transport, build_upstream, coordinate
from app.wiring.watch import Process, WatchedReplica, build_watching, cut_nothing, make_hooks

_SPARE_SECONDS: Final = 1.5
"""What a request may take besides the wait for balances: its token may wait a second for the keys of its issuer."""

Lifespan = Callable[[Litestar], AbstractAsyncContextManager[None]]

log = structlog.get_logger()


def create_app(
    settings: Settings, clients: Clients, *, exposition: Exposition, drain: Drain, cut: Cut = cut_nothing
) -> Edge:
    """Build the service. Its lifespan opens and closes all connections. `cut` ends some. Raises `StartError`."""

    def withdraw(account_id: AccountId) -> None:
        replica.cache.loads.withdraw(account_id)

    def on_subscribed() -> None:
        watching.on_subscribed()

    runtime = Runtime(metrics=exposition.metrics, traces=_build_traces(settings.telemetry))
    shared = build_redis(settings.redis, settings.upstream.url, runtime, plain=settings.process.plain)
    budget = build_budget(shared, budget_options(settings), runtime)
    transport = build_transport(settings.upstream, runtime, withdraw)
    upstream = build_upstream(settings.upstream, transport, coordinate(shared, budget), runtime)
    history = build_history(settings, shared, drain, runtime)
    origin, options = build_origin(upstream, budget.permits, history.recorder), replica_options(settings)
    news, totals, queue = AccountNews(), RunningTotals(), build_sweep_queue(options.policy, runtime)
    replica = build_replica(shared, budget, origin, options, runtime, make_hooks(news, totals, queue, on_subscribed))
    directory = build_directory(settings.directory, shared, upstream, runtime)
    sweep = build_sweep(settings, queue, build_sweep_sources(directory, replica, upstream), shared, budget, runtime)
    known = build_known_reads(settings, sweep, replica, budget, upstream.tokens, runtime)
    questions = build_portfolio(settings.directory, shared, directory, known, totals, runtime, history.histories)
    moved = build_moved(settings.upstream.event_keys_file, replica, shared, runtime)
    access = build_access(settings.access, clients, settings.process.workers, runtime)
    health = build_health(upstream.tokens, shared.client, access.callers, drain, exposition, runtime)
    source = WatchedReplica(replica, budget, upstream.tokens, history.slices)
    process = Process(drain, make_deadline(settings), cut)
    watching = build_watching(settings, news, source, questions, access.callers, process, runtime)
    parts = (shared, history, budget, upstream, replica, moved, questions, access, health, watching)
    watch_gauges(runtime.metrics, shared, budget, upstream, replica, questions, access)
    return build_api(
        _api_options(settings, options.policy),
        Access(access.callers, access.failed_logins, access.addresses),
        Balances(questions.accounts, questions.portfolio, watching.live),
        _make_pages(settings, health, exposition, drain, moved),
        runtime,
        [_make_lifespan(settings.http, transport, parts, runtime.traces)],
    )


def make_deadline(settings: Settings) -> float:
    """Give how many seconds a request may take in all: as set, but never less than the wait for balances may take."""
    return max(settings.http.request_timeout_seconds, read_timeout_seconds(settings) + _SPARE_SECONDS)


def _api_options(settings: Settings, policy: FreshnessPolicy) -> ApiOptions:
    return ApiOptions(
        version=version("tallygate"),
        policy=policy,
        deadline_seconds=make_deadline(settings),
        origins=settings.http.cors_origins,
        audit_refusals=settings.access.audit is not Audited.NONE,
        audit_answers=settings.access.audit is Audited.ALL,
        plain=settings.process.plain,
    )


def _make_pages(
    settings: Settings, health: Health, exposition: Exposition, drain: Drain, moved: MovedParts
) -> ServicePages:
    scrape = exposition.page if settings.telemetry.metrics_port is None else None
    return ServicePages(health.look, scrape, drain, Moved(moved.notices, moved.events))


def _make_lifespan(settings: HttpSettings, transport: Transport, parts: Iterable[Part], traces: Traces) -> Lifespan:
    @asynccontextmanager
    async def lifespan(_: Litestar) -> AsyncIterator[None]:
        async with transport, running(parts):
            log.info("server.started", url=f"http://{settings.host}:{settings.port}", pid=os.getpid())
            yield
        await asyncio.to_thread(traces.close)
        log.info("server.stopped", pid=os.getpid())

    return lifespan


def _build_traces(settings: TelemetrySettings) -> Traces:
    if settings.otlp_endpoint is None:
        return Traces()
    from app.telemetry.otlp import make_otlp_traces  # noqa: PLC0415  # only who wants traces pays for them

    return make_otlp_traces(settings.otlp_endpoint, version("tallygate"))
