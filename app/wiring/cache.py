"""The heart, put together: the cache over Redis and the upstream, and what lives on it."""

import hashlib
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Final
from uuid import uuid4

from msgspec import Struct

from app.accounts import Accounts
from app.balances.snapshots import AGGREGATE, AccountId, Entry
from app.budget.budget import Budget, PermitRequest, Priority
from app.budget.fleet_rate import FleetRateLimiter
from app.budget.prefetch import PermitPrefetcher
from app.cache.backoff import Backoff
from app.cache.cache import Cache
from app.cache.fleet_loader import FleetLoader
from app.cache.freshness import FreshnessPolicy, RequestDirectives
from app.cache.memory import MemoryTier
from app.cache.redis_tier import SCHEMA, RedisTier
from app.clock import unix_ms
from app.errors import StartError
from app.fleet.bus import Bus
from app.fleet.jobs import Jobs
from app.fleet.replica_count import ReplicaCount
from app.fleet.shared_value import SharedValue
from app.fleet.view_versions import ViewVersions
from app.portfolio.directory import MerchantDirectory
from app.portfolio.portfolio import Portfolio
from app.portfolio.reconciler import Reconciler
from app.portfolio.running_totals import RunningTotals
from app.portfolio.sweep import Sweeper
from app.redis.client import RedisClient
from app.redis.connections import connect
from app.settings import Settings
from app.telemetry.metrics import Metrics
from app.telemetry.traces import Traces
from app.upstream.client import UpstreamClient
from app.upstream.token_source import TokenSource, TokenState, probe_refused
from app.upstream.transport import Transport
from app.wiring.gauges import watch_cache, watch_directory, watch_reconciliations, watch_token
from app.wiring.upstream import build_breaker, build_token_source, build_upstream

MEMORY_ENTRIES: Final = 200_000
MEMORY_BYTES: Final = 512 * 1024 * 1024
VERSIONS: Final = 8
VERSIONS_BYTES: Final = 64 * 1024 * 1024


class Heart(Struct, frozen=True):
    """The cache and what it lives on; `works` run as long as the service does."""

    cache: Cache
    accounts: Accounts
    portfolio: Portfolio
    redis_client: RedisClient
    tokens: TokenSource
    works: Mapping[str, Callable[[], Awaitable[None]]]


def make_heart(
    settings: Settings, policy: FreshnessPolicy, transport: Transport, metrics: Metrics, traces: Traces
) -> Heart:
    """Build the cache over Redis and the upstream. Raises `StartError`."""
    redis_client = build_redis_client(settings, metrics, traces)
    replica_id = uuid4().hex
    prefix = f"tallygate:{SCHEMA}:{_fingerprint(settings)}"
    channel = f"{prefix}:bus"
    running_totals = RunningTotals()
    memory = MemoryTier(MEMORY_ENTRIES, MEMORY_BYTES, running_totals)
    replica_count = ReplicaCount(redis_client, channel=channel, at_least=settings.workers)
    fleet_rate = _make_turns(settings, redis_client, prefix, replica_id, replica_count)
    budget = _make_budget(settings, fleet_rate, metrics)
    tokens = build_token_source(
        settings,
        transport,
        quiet=fleet_rate.pause,
        turn=lambda patience: budget.permit(PermitRequest(Priority.WAITING, "the token itself"), patience),
        share=lambda name: (
            SharedValue(redis_client, name=f"{prefix}:{{token:{name}}}", replica_id=replica_id).get_or_create
        ),
        metrics=metrics,
    )
    upstream = build_upstream(settings, transport, tokens, fleet_rate.pause, metrics, traces)

    async def probe() -> None:
        await upstream.fetch_balances(
            AGGREGATE, lambda patience: budget.permit(PermitRequest(Priority.WARM_UP), patience)
        )

    tier = RedisTier(
        redis_client, prefix=prefix, replica_id=replica_id, channel=channel, policy=policy, metrics=metrics
    )
    fleet = FleetLoader(
        memory=memory,
        redis=tier,
        prefetcher=PermitPrefetcher(budget, fleet_rate, lambda: upstream.is_ready),
        load=lambda key, permit_request: upstream.fetch_balances(
            key, lambda patience: budget.permit(permit_request, patience)
        ),
        is_bus_connected=lambda: bus.connected,
        policy=policy,
        now_ms=unix_ms,
        random=random.random,
        metrics=metrics,
    )
    bus = Bus(
        redis_client.client,
        channel=channel,
        replica_id=replica_id,
        on_subscribed=memory.distrust,
        on_entry=fleet.on_entry,
        on_failure=fleet.on_failure,
        on_lease_released=fleet.on_lease_released,
        metrics=metrics,
    )
    cache = _make_cache(settings, policy, memory, fleet, tokens, metrics)
    accounts = Accounts(cache)
    directory = _make_roll(settings, redis_client, prefix, replica_id, upstream, budget)
    portfolio = Portfolio(
        directory=directory,
        accounts=accounts,
        running_totals=running_totals,
        reconciler=_make_reconciler(settings, redis_client, prefix, cache, directory),
        versions=ViewVersions(
            redis_client, prefix=prefix, capacity=VERSIONS, capacity_bytes=VERSIONS_BYTES, monotonic=time.monotonic
        ),
    )
    works = {
        "link": redis_client.probe_while_lost,
        "bus": bus.listen,
        "leases": tier.renew_leases,
        "budget": budget.dispatch,
        "census": replica_count.keep_counting,
        "directory": directory.keep_fresh,
        "totals": running_totals.keep_recounting,
        "reconciliation": portfolio.reconciler.run,
        "token": tokens.keep_current,
        "probe": lambda: probe_refused(tokens, probe, random.random),
    }
    watch_cache(metrics, memory=memory, redis_client=redis_client, bus=bus, budget=budget, fleet_rate=fleet_rate)
    watch_token(metrics, tokens)
    watch_directory(metrics, directory)
    watch_reconciliations(metrics, portfolio.reconciler)
    return Heart(cache, accounts, portfolio, redis_client, tokens, works)


def _make_roll(
    settings: Settings,
    redis_client: RedisClient,
    prefix: str,
    replica_id: str,
    upstream: UpstreamClient,
    budget: Budget,
) -> MerchantDirectory:
    return MerchantDirectory(
        merchants=settings.known_merchants,
        fetch=lambda: upstream.fetch_directory(
            lambda patience: budget.permit(PermitRequest(Priority.WARM_UP), patience)
        ),
        share=SharedValue(redis_client, name=f"{prefix}:{{directory}}", replica_id=replica_id).get_or_create,
        refresh_seconds=settings.directory_refresh_seconds,
        now_ms=unix_ms,
        random=random.random,
    )


def _make_reconciler(
    settings: Settings, redis_client: RedisClient, prefix: str, cache: Cache, directory: MerchantDirectory
) -> Reconciler:
    async def read(key: AccountId, directives: RequestDirectives) -> Entry:
        return (await cache.read(key, directives, "reconciliation", Priority.WARM_UP)).entry

    return Reconciler(
        jobs=Jobs(redis_client, prefix=prefix, kind="reconciliation"),
        sweeper=Sweeper(
            read=read,
            directory=directory.list_now,
            concurrency=max(1, settings.upstream_concurrency // 4),
            now_ms=unix_ms,
        ),
        every_seconds=settings.reconcile_every_seconds,
        now_ms=unix_ms,
        make_id=lambda: uuid4().hex,
        random=random.random,
    )


def _make_turns(
    settings: Settings, redis_client: RedisClient, prefix: str, replica_id: str, replica_count: ReplicaCount
) -> FleetRateLimiter:
    return FleetRateLimiter(
        redis_client,
        prefix=prefix,
        replica_id=replica_id,
        per_second=settings.upstream_rate,
        burst=settings.upstream_burst or settings.upstream_rate,
        monotonic=time.monotonic,
        replicas=lambda: replica_count.current,
    )


def _make_budget(settings: Settings, fleet_rate: FleetRateLimiter, metrics: Metrics) -> Budget:
    return Budget(
        fleet_rate,
        per_second=settings.upstream_rate,
        concurrency=settings.upstream_concurrency,
        metrics=metrics,
    )


def read_timeout_seconds(settings: Settings) -> float:
    """Tell how long a caller waits for balances: for a whole call of the upstream, and for Redis around it."""
    return settings.upstream_timeout_seconds + 4 * settings.redis_timeout_seconds + 0.25


def _make_cache(
    settings: Settings,
    policy: FreshnessPolicy,
    memory: MemoryTier,
    fleet: FleetLoader,
    tokens: TokenSource,
    metrics: Metrics,
) -> Cache:
    return Cache(
        memory=memory,
        fleet=fleet,
        backoff=Backoff(MEMORY_ENTRIES, time.monotonic, random.random),
        is_refused=lambda: tokens.state is TokenState.REFUSED,
        policy=policy,
        patience_seconds=read_timeout_seconds(settings),
        now_ms=unix_ms,
        random=random.random,
        metrics=metrics,
    )


def build_policy(settings: Settings) -> FreshnessPolicy:
    """Say the freshness settings in milliseconds."""
    return FreshnessPolicy(
        fresh_ms=round(settings.fresh_seconds * 1000),
        stale_while_revalidate_ms=round(settings.stale_while_revalidate_seconds * 1000),
        stale_if_error_ms=round(settings.stale_if_error_seconds * 1000),
        absent_ms=round(settings.absent_seconds * 1000),
    )


def build_redis_client(settings: Settings, metrics: Metrics | None = None, traces: Traces | None = None) -> RedisClient:
    """Make the link to Redis. Raises `StartError`."""
    if settings.redis_url is None:
        raise StartError(
            "There is no Redis: `tallygate serve` starts one of its own where TALLYGATE_REDIS_URL is unset."
        )
    try:
        client = connect(settings.redis_url.reveal(), settings.redis_timeout_seconds, plain=settings.plain)
    except ValueError:
        raise StartError(
            "TALLYGATE_REDIS_URL wants redis://, rediss:// or unix://, or redis+sentinel:// or redis+cluster://."
        ) from None
    return RedisClient(
        client,
        breaker=build_breaker(threshold=3, first_pause_seconds=0.25, longest_pause_seconds=2),
        timeout_seconds=settings.redis_timeout_seconds,
        metrics=metrics,
        traces=traces,
    )


def _fingerprint(settings: Settings) -> str:
    """Name the upstream, so that balances of different ones do not meet in one Redis."""
    return hashlib.sha256(settings.upstream_url.rstrip("/").encode()).hexdigest()[:12]
