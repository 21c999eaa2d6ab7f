"""The heart, put together: the cache over Redis and the upstream, and what lives on it."""

import hashlib
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Final
from uuid import uuid4

from msgspec import Struct

from app.accounts import Desk
from app.balances.snapshots import AGGREGATE, Entry, Key
from app.budget.budget import Budget, Errand, Priority
from app.budget.fleet_rate import Turns
from app.budget.prefetch import Advances
from app.cache.backoff import Backoff
from app.cache.cache import Cache
from app.cache.fleet_loader import Fleet
from app.cache.freshness import Policy, Terms
from app.cache.memory import MemoryTier
from app.cache.redis_tier import SCHEMA, RedisTier
from app.clock import unix_ms
from app.errors import StartError
from app.fleet.bus import Bus
from app.fleet.jobs import Jobs
from app.fleet.replica_count import Census
from app.fleet.shared_value import Vault
from app.fleet.view_versions import Versions
from app.portfolio.directory import Roll
from app.portfolio.portfolio import Portfolio
from app.portfolio.reconciler import Reconciler
from app.portfolio.running_totals import Tally
from app.portfolio.sweep import Looker
from app.redis.client import Link
from app.redis.connections import connect
from app.settings import Settings
from app.telemetry.metrics import Metrics
from app.telemetry.traces import Traces
from app.upstream.client import Upstream
from app.upstream.token_source import Tokens, TokenState, probe_refused
from app.upstream.transport import Transport
from app.wiring.gauges import watch_cache, watch_directory, watch_reconciliations, watch_token
from app.wiring.upstream import make_breaker, make_tokens, make_upstream

MEMORY_ENTRIES: Final = 200_000
MEMORY_BYTES: Final = 512 * 1024 * 1024
VERSIONS: Final = 8
VERSIONS_BYTES: Final = 64 * 1024 * 1024


class Heart(Struct, frozen=True):
    """The cache and what it lives on; `works` run as long as the service does."""

    cache: Cache
    desk: Desk
    portfolio: Portfolio
    link: Link
    tokens: Tokens
    works: Mapping[str, Callable[[], Awaitable[None]]]


def make_heart(settings: Settings, policy: Policy, transport: Transport, metrics: Metrics, traces: Traces) -> Heart:
    """Build the cache over Redis and the upstream. Raises `StartError`."""
    link = make_link(settings, metrics, traces)
    owner = uuid4().hex
    prefix = f"tallygate:{SCHEMA}:{_fingerprint(settings)}"
    channel = f"{prefix}:bus"
    tally = Tally()
    memory = MemoryTier(MEMORY_ENTRIES, MEMORY_BYTES, tally)
    census = Census(link, channel=channel, at_least=settings.workers)
    turns = _make_turns(settings, link, prefix, owner, census)
    budget = _make_budget(settings, turns, metrics)
    tokens = make_tokens(
        settings,
        transport,
        quiet=turns.quiet,
        turn=lambda patience: budget.turn(Errand(Priority.WAITING, "the token itself"), patience),
        share=lambda name: Vault(link, name=f"{prefix}:{{token:{name}}}", owner=owner).obtain,
        metrics=metrics,
    )
    upstream = make_upstream(settings, transport, tokens, turns.quiet, metrics, traces)

    async def probe() -> None:
        await upstream.fetch_balances(AGGREGATE, lambda patience: budget.turn(Errand(Priority.WARM_UP), patience))

    tier = RedisTier(link, prefix=prefix, owner=owner, channel=channel, policy=policy, metrics=metrics)
    fleet = Fleet(
        memory=memory,
        redis=tier,
        advances=Advances(budget, turns, lambda: upstream.is_ready),
        load=lambda key, errand: upstream.fetch_balances(key, lambda patience: budget.turn(errand, patience)),
        hears=lambda: bus.connected,
        policy=policy,
        now_ms=unix_ms,
        random=random.random,
        metrics=metrics,
    )
    bus = Bus(
        link.client,
        channel=channel,
        owner=owner,
        on_join=memory.distrust,
        on_entry=fleet.hear_entry,
        on_failure=fleet.hear_failure,
        on_freed=fleet.hear_freed,
        metrics=metrics,
    )
    cache = _make_cache(settings, policy, memory, fleet, tokens, metrics)
    desk = Desk(cache)
    roll = _make_roll(settings, link, prefix, owner, upstream, budget)
    portfolio = Portfolio(
        roll=roll,
        desk=desk,
        tally=tally,
        reconciler=_make_reconciler(settings, link, prefix, cache, roll),
        versions=Versions(
            link, prefix=prefix, capacity=VERSIONS, capacity_bytes=VERSIONS_BYTES, monotonic=time.monotonic
        ),
    )
    works = {
        "link": link.tend,
        "bus": bus.listen,
        "leases": tier.keep_leases,
        "budget": budget.serve,
        "census": census.count,
        "directory": roll.keep,
        "totals": tally.keep_recounting,
        "reconciliation": portfolio.reconciler.work,
        "token": tokens.tend,
        "probe": lambda: probe_refused(tokens, probe, random.random),
    }
    watch_cache(metrics, memory=memory, link=link, bus=bus, budget=budget, turns=turns)
    watch_token(metrics, tokens)
    watch_directory(metrics, roll)
    watch_reconciliations(metrics, portfolio.reconciler)
    return Heart(cache, desk, portfolio, link, tokens, works)


def _make_roll(settings: Settings, link: Link, prefix: str, owner: str, upstream: Upstream, budget: Budget) -> Roll:
    return Roll(
        merchants=settings.known_merchants,
        fetch=lambda: upstream.fetch_directory(lambda patience: budget.turn(Errand(Priority.WARM_UP), patience)),
        share=Vault(link, name=f"{prefix}:{{directory}}", owner=owner).obtain,
        refresh_seconds=settings.directory_refresh_seconds,
        now_ms=unix_ms,
        random=random.random,
    )


def _make_reconciler(settings: Settings, link: Link, prefix: str, cache: Cache, roll: Roll) -> Reconciler:
    async def read(key: Key, terms: Terms) -> Entry:
        return (await cache.read(key, terms, "reconciliation", Priority.WARM_UP)).entry

    return Reconciler(
        jobs=Jobs(link, prefix=prefix, kind="reconciliation"),
        looker=Looker(
            read=read,
            directory=roll.list_afresh,
            concurrency=max(1, settings.upstream_concurrency // 4),
            now_ms=unix_ms,
        ),
        every_seconds=settings.reconcile_every_seconds,
        now_ms=unix_ms,
        make_id=lambda: uuid4().hex,
        random=random.random,
    )


def _make_turns(settings: Settings, link: Link, prefix: str, owner: str, census: Census) -> Turns:
    return Turns(
        link,
        prefix=prefix,
        owner=owner,
        per_second=settings.upstream_rate,
        burst=settings.upstream_burst or settings.upstream_rate,
        monotonic=time.monotonic,
        replicas=lambda: census.replicas,
    )


def _make_budget(settings: Settings, turns: Turns, metrics: Metrics) -> Budget:
    return Budget(
        turns,
        per_second=settings.upstream_rate,
        concurrency=settings.upstream_concurrency,
        metrics=metrics,
    )


def make_patience(settings: Settings) -> float:
    """Tell how long a caller waits for balances: for a whole call of the upstream, and for Redis around it."""
    return settings.upstream_timeout_seconds + 4 * settings.redis_timeout_seconds + 0.25


def _make_cache(
    settings: Settings, policy: Policy, memory: MemoryTier, fleet: Fleet, tokens: Tokens, metrics: Metrics
) -> Cache:
    return Cache(
        memory=memory,
        fleet=fleet,
        backoff=Backoff(MEMORY_ENTRIES, time.monotonic, random.random),
        is_refused=lambda: tokens.state is TokenState.REFUSED,
        policy=policy,
        patience_seconds=make_patience(settings),
        now_ms=unix_ms,
        random=random.random,
        metrics=metrics,
    )


def make_policy(settings: Settings) -> Policy:
    """Say the freshness settings in milliseconds."""
    return Policy(
        fresh_ms=round(settings.fresh_seconds * 1000),
        stale_while_revalidate_ms=round(settings.stale_while_revalidate_seconds * 1000),
        stale_if_error_ms=round(settings.stale_if_error_seconds * 1000),
        absent_ms=round(settings.absent_seconds * 1000),
    )


def make_link(settings: Settings, metrics: Metrics | None = None, traces: Traces | None = None) -> Link:
    """Make the link to Redis. Raises `StartError`."""
    if settings.redis_url is None:
        raise StartError(
            "There is no Redis: `tallygate serve` starts one of its own where TALLYGATE_REDIS_URL is unset."
        )
    try:
        client = connect(settings.redis_url.reveal(), settings.redis_timeout_seconds)
    except ValueError:
        raise StartError(
            "TALLYGATE_REDIS_URL wants redis://, rediss:// or unix://, or redis+sentinel:// or redis+cluster://."
        ) from None
    return Link(
        client,
        breaker=make_breaker(threshold=3, first_pause_seconds=0.25, longest_pause_seconds=2),
        timeout_seconds=settings.redis_timeout_seconds,
        metrics=metrics,
        traces=traces,
    )


def _fingerprint(settings: Settings) -> str:
    """Name the upstream, so that balances of different ones do not meet in one Redis."""
    return hashlib.sha256(settings.upstream_url.rstrip("/").encode()).hexdigest()[:12]
