"""Wiring of the upstream: the transport, the source of the token, and the calls."""

import time
from collections.abc import Awaitable, Callable
from functools import partial

from msgspec import Struct

from app.api.problem_kinds import kind_of
from app.balances.snapshots import AGGREGATE, AccountId
from app.budget.budget import Budget, Priority
from app.budget.fleet_budget import FleetBudget
from app.cache.replica import Origin
from app.egress.pool import PoolOptions
from app.egress.trust import Trust, TrustFiles
from app.errors import StartError
from app.fleet.shared_value import GetShared, SharedValue
from app.history.recording import Recorder
from app.redis.shared import Shared
from app.resilience.circuit_breaker import CircuitBreaker
from app.resilience.retry_budget import RetryBudget
from app.resilience.supervision import Part
from app.runtime import Runtime
from app.settings.environment import read_token_file
from app.settings.sections import UpstreamSettings
from app.upstream.calls import AcquirePermit, CallExecutor
from app.upstream.client import UpstreamClient
from app.upstream.token_minting import Mint
from app.upstream.token_renewal import MintedTokenSource
from app.upstream.token_sealing import Seal, fingerprint
from app.upstream.token_source import (
    AuthenticatedTransport,
    FileTokenSource,
    NoTokenSource,
    Token,
    TokenSource,
    TokenState,
    probe_refused,
)
from app.upstream.transport import Transport
from app.upstream.unsolicited import report_unsolicited


class Coordination(Struct, frozen=True):
    """What the replicas agree on before one of them calls the upstream.

    `pause` lets none of them call for so many seconds; `lane` gives permits of a priority for a caller; `share` gives
    the shared value of a name.
    """

    pause: Callable[[float], Awaitable[None]]
    lane: Callable[[Priority, str], AcquirePermit]
    share: Callable[[str], GetShared]


class Upstream(Part, frozen=True):
    """The upstream, and what calls of it go through. Its transport must be open while it is called."""

    transport: Transport
    tokens: TokenSource
    calls: CallExecutor
    client: UpstreamClient
    lane: Callable[[Priority, str], AcquirePermit]


def build_transport(
    settings: UpstreamSettings, runtime: Runtime, withdraw: Callable[[AccountId], None] = lambda _: None
) -> Transport:
    """Build the transport to the upstream. `withdraw` replaces what a stray answer may have spoiled. Raises `StartError`."""
    trust = Trust(TrustFiles(settings.ca_file, settings.cert_file, settings.key_file))
    options = PoolOptions(trust.context, settings.connection_seconds, runtime.monotonic, runtime.random)
    return Transport(settings.url, options, partial(report_unsolicited, runtime.metrics, withdraw))


def coordinate(shared: Shared, budget: FleetBudget) -> Coordination:
    """Coordinate the replicas through Redis."""
    return Coordination(
        pause=budget.rate.pause,
        lane=budget.permits.lane,
        share=lambda name: SharedValue(shared, f"{{token:{name}}}").get_or_create,
    )


def build_upstream(
    settings: UpstreamSettings, transport: Transport, coordination: Coordination, runtime: Runtime
) -> Upstream:
    """Build the client of the upstream. Raises `StartError` if there is no token."""
    tokens = _build_token_source(settings, transport, coordination, runtime)
    calls = _build_calls(settings, tokens, coordination, runtime)
    client = UpstreamClient(AuthenticatedTransport(transport, tokens), calls, runtime)

    async def probe() -> None:
        await client.fetch_balances(AGGREGATE, coordination.lane(Priority.WARM_UP, ""))

    tasks = {"token": tokens.keep_current, "probe": lambda: probe_refused(tokens, probe, runtime.random)}
    return Upstream(transport, tokens, calls, client, coordination.lane, tasks=tasks)


def build_origin(upstream: Upstream, permits: Budget, recorder: Recorder | None = None) -> Origin:
    """Let entries be loaded from the upstream, with the permit that each load asks for, and their looks recorded."""
    return Origin(
        load=lambda account_id, request: upstream.client.fetch_balances(account_id, partial(permits.permit, request)),
        is_ready=lambda: upstream.calls.are_ready,
        is_refused=lambda: upstream.tokens.state is TokenState.REFUSED,
        recorder=recorder,
    )


def _build_token_source(
    settings: UpstreamSettings, transport: Transport, coordination: Coordination, runtime: Runtime
) -> TokenSource:
    """Build the source of the token that the settings name. A minted one is shared under the name of its seal."""
    path, token = settings.token_file, settings.token
    if path is not None and token is not None:
        return FileTokenSource(token, lambda: read_token_file(path), monotonic=runtime.monotonic)
    if token is not None:
        return TokenSource(Token(token), monotonic=runtime.monotonic)
    if settings.api_key is None or settings.api_secret is None:
        raise StartError("There is no source of the upstream's token.")
    seal = Seal(settings.api_secret, f"the token of {settings.url.rstrip('/')} for {fingerprint(settings.api_key)}")
    mint = Mint(
        transport,
        _build_calls(settings, NoTokenSource(None, monotonic=runtime.monotonic), coordination, runtime),
        coordination.lane(Priority.WAITING, "the token itself"),
        api_key=settings.api_key,
        api_secret=settings.api_secret,
        now=time.time,
    )
    return MintedTokenSource(mint.mint, seal, coordination.share(seal.name), runtime)


def _build_calls(
    settings: UpstreamSettings, tokens: TokenSource, coordination: Coordination, runtime: Runtime
) -> CallExecutor:
    return CallExecutor(
        tokens=tokens,
        breaker=CircuitBreaker(runtime, threshold=5, first_pause_seconds=0.5, longest_pause_seconds=15),
        retries=RetryBudget(runtime.random),
        quiet=coordination.pause,
        timeout_seconds=settings.timeout_seconds,
        runtime=runtime,
        name_of=lambda error: kind_of(error).name,
    )
