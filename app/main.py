"""The wiring: heart, callers and face built from the settings, and their lifespan. Importing this does nothing."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Final, Literal

import structlog
from litestar import Litestar
from msgspec import UNSET, json

from app.access.callers import Callers
from app.access.clients_file import Clients, parse_clients, read_clients_text
from app.access.clients_watch import ClientsFileWatcher
from app.access.failed_logins import FailedLogins
from app.access.tokens.jwks_source import build_jwks_cache
from app.access.tokens.verifier import TokenVerifier
from app.api.app import Access, ApiOptions, ServicePages, build_api
from app.api.middleware.edge import Edge
from app.api.routes.service import Readiness
from app.resilience.draining import Drain
from app.resilience.supervision import supervised
from app.runtime import Runtime
from app.settings import Audited, Settings, read_origins
from app.telemetry.exposition import Exposition
from app.telemetry.heartbeat import Heartbeat
from app.telemetry.metrics import Metrics
from app.telemetry.samples import WorkerHealth
from app.telemetry.traces import Traces
from app.upstream.token_source import TokenSource, TokenState
from app.wiring.cache import build_policy, make_heart, read_timeout_seconds
from app.wiring.upstream import build_transport

_SPARE_SECONDS: Final = 1.5
"""What a request may take besides waiting for balances: its token may wait a second for the keys of its issuer."""

log = structlog.get_logger()


def create_app(
    settings: Settings,
    clients: Clients,
    *,
    exposition: Exposition | None = None,
    drain: Drain | None = None,
) -> Edge:
    """Build the service. Its connections are opened and closed by its lifespan. Raises `StartError`."""
    exposition = exposition or Exposition(Metrics(version("tallygate")))
    drain = drain or Drain()
    metrics = exposition.metrics
    traces = _make_traces(settings.otlp_endpoint)
    policy = build_policy(settings)
    transport = build_transport(settings)
    heart = make_heart(settings, policy, transport, metrics, traces)
    judge = TokenVerifier(build_jwks_cache, time.time)
    judge.replace_all(clients.issuers)
    known = Callers(clients.callers, workers=settings.workers, monotonic=time.monotonic, judge=judge)
    failures = FailedLogins(settings.wrong_keys_rate / settings.workers, time.monotonic)

    def look_at_once() -> Readiness:
        return Readiness(
            status=_judge_readiness(heart.tokens, drain),
            callers=len(known),
            token=heart.tokens.state,
            redis="available" if heart.redis_client.available else "unavailable",
            token_seconds_left=UNSET if heart.tokens.seconds_left is None else int(heart.tokens.seconds_left),
            reason=heart.tokens.refusal.detail if heart.tokens.refusal else UNSET,
        )

    async def look() -> Readiness:
        return look_at_once()

    def share() -> None:
        readiness = look_at_once()
        exposition.share(WorkerHealth(time.monotonic(), readiness.status == "ready", json.encode(readiness)))

    drain.watch(share)
    heartbeat = Heartbeat(time.monotonic, share)
    metrics.loop_lag.watch(heartbeat.lag_seconds)
    metrics.callers.watch(lambda: len(known))
    watched = _watch_clients(settings, known, judge, metrics)

    @asynccontextmanager
    async def lifespan(_: Litestar) -> AsyncIterator[None]:
        async with transport:
            async with supervised(heartbeat=heartbeat.run, issuers=judge.tend, **watched, **heart.works):
                log.info("server.started", url=f"http://{settings.host}:{settings.port}", pid=os.getpid())
                yield
            await heart.cache.close()  # after the works: they would fetch anew what this breaks off
        await heart.redis_client.close()
        await asyncio.to_thread(traces.close)
        log.info("server.stopped", pid=os.getpid())

    return build_api(
        ApiOptions(
            version=version("tallygate"),
            policy=policy,
            deadline_seconds=make_deadline(settings),
            origins=read_origins(settings.cors_origins),
            audit_refusals=settings.audit is not Audited.NONE,
            audit_answers=settings.audit is Audited.ALL,
            plain=settings.plain,
        ),
        Access(known, failures),
        heart.accounts,
        heart.portfolio,
        ServicePages(look, exposition.page if settings.metrics_port is None else None, drain),
        Runtime(metrics=metrics, traces=traces),
        [lifespan],
    )


def _make_traces(endpoint: str | None) -> Traces:
    if endpoint is None:
        return Traces()
    from app.telemetry.otlp import make_otlp_traces  # noqa: PLC0415  # only who wants traces pays for them

    return make_otlp_traces(endpoint, version("tallygate"))


def make_deadline(settings: Settings) -> float:
    """Tell how many seconds a request may take in all: what is set, but never less than waiting for balances may take."""
    return max(settings.request_timeout_seconds, read_timeout_seconds(settings) + _SPARE_SECONDS)


def _judge_readiness(tokens: TokenSource, drain: Drain) -> Literal["ready", "not ready", "draining"]:
    if drain.is_on:
        return "draining"
    return "not ready" if tokens.state is TokenState.REFUSED else "ready"


def _watch_clients(
    settings: Settings, callers: Callers, judge: TokenVerifier, metrics: Metrics
) -> Mapping[str, Callable[[], Awaitable[None]]]:
    path = settings.clients_file
    if not path:
        return {}

    def renew(clients: Clients) -> bool:
        return callers.replace_all(clients.callers) | judge.replace_all(clients.issuers)

    watch = ClientsFileWatcher(
        read=lambda: asyncio.to_thread(read_clients_text, path),
        parse=lambda text: parse_clients(text, path),
        renew=renew,
    )
    metrics.clients_file_ok.watch(lambda: watch.is_ok)
    return {"clients": watch.keep_watching}
