"""`tallygate check`: whether all that the service depends on is in order, and what to correct."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from logging import CRITICAL
from math import ceil

import structlog
from msgspec import Struct

from app.access.clients_file import read_clients
from app.access.tokens.issuers import Issuer
from app.access.tokens.jwks_source import fetch_keys
from app.balances.snapshots import AGGREGATE
from app.cli.standard_streams import print_output
from app.errors import IssuerUnavailable, StartError, TallygateError, TokenRefused
from app.fleet.shared_value import Create
from app.resilience.supervision import supervised
from app.runtime import Runtime
from app.server.descriptors import plan_descriptors
from app.settings.environment import read_settings, unknown_settings
from app.settings.sections import AccessSettings, RedisSettings, Settings, UpstreamSettings
from app.wiring.history import diagnose_history
from app.wiring.redis import diagnose_redis
from app.wiring.sweep import sweep_options
from app.wiring.upstream import Coordination, Upstream, build_transport, build_upstream


class Right(Struct, frozen=True):
    """A subject that is in order."""

    subject: str
    seen: str


class Wrong(Struct, frozen=True):
    """A subject that is not in order, and what to correct."""

    subject: str
    seen: str


Finding = Right | Wrong


def check() -> bool:
    """Print a table of findings, and no log line. Return whether all is right."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(CRITICAL))
    findings = asyncio.run(_gather())
    print_output(
        "\n".join(f"{type(finding).__name__.lower():<6}{finding.subject:<10}{finding.seen}" for finding in findings)
    )
    return all(isinstance(finding, Right) for finding in findings)


async def _gather() -> list[Finding]:
    try:
        settings = read_settings(os.environ)
    except StartError as error:
        return [Wrong("settings", error.detail)]
    return [finding async for finding in _look(settings)]


async def _look(settings: Settings) -> AsyncIterator[Finding]:
    yield _check_names()
    yield _check_descriptors(settings)
    for finding in await _check_callers(settings.access):
        yield finding
    yield await _check_redis(settings.redis)
    if settings.history.redis_url is not None:
        yield await _check_history(settings)
    for finding in await _check_upstream(settings):
        yield finding


def _check_descriptors(settings: Settings) -> Finding:
    try:
        plan = plan_descriptors(settings)
    except StartError as error:
        return Wrong("files", error.detail)
    if plan.connections < settings.http.connections:
        return Wrong(
            "files",
            f"A process may open {plan.limit}, and needs {plan.needed}: raise the limit (`ulimit -n`), or each accepts "
            f"only {plan.connections} connections instead of TALLYGATE_CONNECTIONS.",
        )
    return Right("files", f"A process may open as many as it needs, {plan.needed}.")


def _check_names() -> Finding:
    unknown = [f"{name} (perhaps {meant})" if meant else name for name, meant in unknown_settings(os.environ)]
    if unknown:
        return Wrong("settings", f"There is no setting {', '.join(unknown)}.")
    return Right("settings", "All are known and well-formed.")


async def _check_callers(settings: AccessSettings) -> list[Finding]:
    try:
        clients = read_clients(settings.clients_file)
    except StartError as error:
        return [Wrong("callers", error.detail)]
    found = Right("callers", f"{len(clients.callers)} in {settings.clients_file}.")
    return [found, *await asyncio.gather(*map(_check_issuer, clients.issuers))]


async def _check_issuer(issuer: Issuer) -> Finding:
    """Fetch the keys of an issuer of tokens."""
    try:
        keys = await fetch_keys(issuer.source)
    except IssuerUnavailable as error:
        return Wrong("issuer", f"{issuer.name}: {error.detail}")
    if not keys.serves(issuer.algorithms):
        return Wrong("issuer", f"{issuer.name}: none of its keys is for {', '.join(issuer.algorithms)}.")
    return Right("issuer", f"{issuer.name}: {len(keys)} keys.")


async def _check_redis(settings: RedisSettings) -> Finding:
    """Do with Redis what the service does, in keys of our own."""
    if settings.url is None:
        return Right("redis", "None is set: `serve` starts an embedded Valkey for the workers of one machine.")
    try:
        trouble = await diagnose_redis(settings)
    except StartError as error:
        return Wrong("redis", error.detail)
    return Wrong("redis", trouble) if trouble else Right("redis", "It does all that is needed.")


async def _check_history(settings: Settings) -> Finding:
    """Do the same with a store of its own for the history."""
    try:
        trouble = await diagnose_history(settings)
    except StartError as error:
        return Wrong("history", error.detail)
    return Wrong("history", trouble) if trouble else Right("history", "Its Redis does all that is needed.")


async def _check_upstream(settings: Settings) -> list[Finding]:
    """Fetch the aggregate once, and count the merchants. A token is minted where API key and secret are set."""
    async with build_transport(settings.upstream, Runtime()) as transport:
        alone = Coordination(_ignore_pause, lambda *_: _permit, lambda _: _mint_alone)
        upstream = build_upstream(settings.upstream, transport, alone, Runtime())
        async with supervised(token=upstream.tokens.keep_current):
            try:
                await upstream.client.fetch_balances(AGGREGATE, _permit)
            except TokenRefused as error:
                return [
                    Right("upstream", "It answers."),
                    Wrong("token", f"{error.detail} {_advice(settings.upstream)}"),
                ]
            except TallygateError as error:
                return [Wrong("upstream", error.detail), Wrong("token", "Not known: see upstream.")]
            seconds = upstream.tokens.seconds_left
            left = "" if seconds is None else f" It was minted, and is good for {seconds:.0f} s."
            found = [Right("upstream", "It answers."), Right("token", f"The upstream accepts it.{left}")]
            return [*found, await _check_portfolio(settings, upstream)]


async def _check_portfolio(settings: Settings, upstream: Upstream) -> Finding:
    """Say what the number of merchants means for the budget."""
    merchants = settings.directory.known_merchants
    try:
        count = len((await upstream.client.fetch_directory(_permit)).merchants) if merchants is None else len(merchants)
    except TallygateError as error:
        return Wrong("portfolio", f"The list of merchants cannot be read: {error.detail}")
    options = sweep_options(settings)
    rate, seconds = options.per_second, options.round_seconds(count)
    size = f"{count:,} merchants at {rate:g} calls a second: a round takes {seconds:,.0f} s."
    if settings.portfolio.demand_seconds and options.oldest_seconds(count) > options.stale_seconds:
        enough = options.rate_that_would_do(count, 1)
        return Wrong("portfolio", f"{size} TALLYGATE_UPSTREAM_RATE={ceil(enough)} would do.")
    return Right("portfolio", size)


def _advice(settings: UpstreamSettings) -> str:
    if settings.token is None:
        return "Are TALLYGATE_UPSTREAM_API_KEY and TALLYGATE_UPSTREAM_API_SECRET right?"
    return f"Is TALLYGATE_UPSTREAM_TOKEN{'_FILE' if settings.token_file else ''} the current one?"


async def _mint_alone(_: bytes, make: Create) -> tuple[bytes, int]:
    """Mint a token without a fleet to share it with."""
    sealed, left_ms, _rest_ms = await make()
    return sealed, left_ms


async def _ignore_pause(_: float) -> None:
    """Ignore the upstream's pause, without a fleet to share it with."""


@asynccontextmanager
async def _permit(_: float) -> AsyncIterator[None]:
    """Give a permit immediately: one call is within any budget."""
    yield
