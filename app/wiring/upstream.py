"""The way out, put together: the wire to the upstream, the token's source, the calls."""

import random
import time
from collections.abc import Awaitable, Callable

from app.api.problem_kinds import kind_of
from app.clock import unix_ms
from app.egress.pool import PoolOptions
from app.egress.transport import trust_authorities
from app.errors import StartError
from app.resilience.circuit_breaker import CircuitBreaker
from app.resilience.retry_budget import RetryBudget
from app.settings import Settings, read_token_file
from app.telemetry.metrics import Metrics
from app.telemetry.traces import Traces
from app.upstream.calls import AcquirePermit, CallExecutor
from app.upstream.client import UpstreamClient
from app.upstream.token_minting import Mint
from app.upstream.token_renewal import GetShared, MintedTokenSource
from app.upstream.token_sealing import Seal, fingerprint
from app.upstream.token_source import AuthenticatedTransport, FileTokenSource, NoTokenSource, Token, TokenSource
from app.upstream.transport import Transport

_CONNECTION_SECONDS = 300.0


def build_transport(settings: Settings) -> Transport:
    """Make the wire to the upstream."""
    options = PoolOptions(trust_authorities(), _CONNECTION_SECONDS, time.monotonic, random.random)
    return Transport(settings.upstream_url, options)


def build_token_source(
    settings: Settings,
    transport: Transport,
    *,
    quiet: Callable[[float], Awaitable[None]],
    turn: AcquirePermit,
    share: Callable[[str], GetShared],
    metrics: Metrics | None = None,
) -> TokenSource:
    """Make the source of the token that the settings name; one that is minted is shared by a name."""
    path, token = settings.upstream_token_file, settings.upstream_token
    if path is not None and token is not None:
        return FileTokenSource(token, lambda: read_token_file(path), monotonic=time.monotonic)
    if token is not None:
        return TokenSource(Token(token), monotonic=time.monotonic)
    if settings.upstream_api_key is None or settings.upstream_api_secret is None:
        raise StartError("There is no source of the upstream's token.")
    seal = Seal(
        settings.upstream_api_secret,
        f"the token of {settings.upstream_url.rstrip('/')} for {fingerprint(settings.upstream_api_key)}",
    )
    calls = _make_calls(settings, NoTokenSource(None, monotonic=time.monotonic), quiet, metrics or Metrics())
    mint = Mint(
        transport,
        calls,
        turn,
        api_key=settings.upstream_api_key,
        api_secret=settings.upstream_api_secret,
        now=time.time,
    )
    return MintedTokenSource(mint.mint, seal, share(seal.name), monotonic=time.monotonic, random=random.random)


def build_upstream(
    settings: Settings,
    transport: Transport,
    tokens: TokenSource,
    quiet: Callable[[float], Awaitable[None]],
    metrics: Metrics | None = None,
    traces: Traces | None = None,
) -> UpstreamClient:
    """Make the client of the upstream; `quiet` is told when the upstream wants to be left alone."""
    metrics = metrics or Metrics()
    calls = _make_calls(settings, tokens, quiet, metrics, traces)
    metrics.breaker_open.watch(lambda: calls.is_breaker_open)
    return UpstreamClient(
        AuthenticatedTransport(transport, tokens), calls, now_ms=unix_ms, monotonic=time.monotonic, metrics=metrics
    )


def _make_calls(
    settings: Settings,
    tokens: TokenSource,
    quiet: Callable[[float], Awaitable[None]],
    metrics: Metrics,
    traces: Traces | None = None,
) -> CallExecutor:
    return CallExecutor(
        tokens=tokens,
        breaker=build_breaker(threshold=5, first_pause_seconds=0.5, longest_pause_seconds=15),
        retries=RetryBudget(random.random),
        quiet=quiet,
        timeout_seconds=settings.upstream_timeout_seconds,
        monotonic=time.monotonic,
        metrics=metrics,
        traces=traces,
        name_of=lambda error: kind_of(error).name,
    )


def build_breaker(*, threshold: int, first_pause_seconds: float, longest_pause_seconds: float) -> CircuitBreaker:
    """Make a breaker over the real clock; see `Breaker`."""
    return CircuitBreaker(
        threshold=threshold,
        first_pause_seconds=first_pause_seconds,
        longest_pause_seconds=longest_pause_seconds,
        monotonic=time.monotonic,
        random=random.random,
    )
