"""`tallygate check`: whether all that the service depends on is in order, and what to correct."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from logging import CRITICAL

import structlog
from msgspec import Struct

from app.access.clients_file import read_clients
from app.access.tokens.issuers import Issuer
from app.access.tokens.jwks_source import fetch_keys
from app.balances.snapshots import AGGREGATE
from app.errors import IssuerUnavailable, StartError, TallygateError, TokenRefused
from app.fleet.shared_value import Create
from app.resilience.supervision import supervised
from app.runtime import Runtime
from app.settings.environment import read_settings, unknown_settings
from app.settings.sections import AccessSettings, RedisSettings, Settings, UpstreamSettings
from app.wiring.redis import diagnose_redis
from app.wiring.upstream import Coordination, build_transport, build_upstream


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
    for finding in findings:
        print(f"{type(finding).__name__.lower():<6}{finding.subject:<10}{finding.seen}")  # noqa: T201
    return all(isinstance(finding, Right) for finding in findings)


async def _gather() -> list[Finding]:
    try:
        settings = read_settings(os.environ)
    except StartError as error:
        return [Wrong("settings", error.detail)]
    return [finding async for finding in _look(settings)]


async def _look(settings: Settings) -> AsyncIterator[Finding]:
    yield _check_names()
    for finding in await _check_callers(settings.access):
        yield finding
    yield await _check_redis(settings.redis)
    for finding in await _check_upstream(settings.upstream):
        yield finding


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


async def _check_upstream(settings: UpstreamSettings) -> list[Finding]:
    """Fetch the aggregate once. A token is minted for that where API key and secret are set."""
    async with build_transport(settings) as transport:
        alone = Coordination(_note_nothing, lambda *_: _at_once, lambda _: _keep_to_ourselves)
        upstream = build_upstream(settings, transport, alone, Runtime())
        async with supervised(token=upstream.tokens.keep_current):
            try:
                await upstream.client.fetch_balances(AGGREGATE, _at_once)
            except TokenRefused as error:
                return [Right("upstream", "It answers."), Wrong("token", f"{error.detail} {_mend(settings)}")]
            except TallygateError as error:
                return [Wrong("upstream", error.detail), Wrong("token", "Not known: see upstream.")]
            seconds = upstream.tokens.seconds_left
            left = "" if seconds is None else f" It was minted, and is good for {seconds:.0f} s."
            return [Right("upstream", "It answers."), Right("token", f"The upstream accepts it.{left}")]


def _mend(settings: UpstreamSettings) -> str:
    if settings.token is None:
        return "Are TALLYGATE_UPSTREAM_API_KEY and TALLYGATE_UPSTREAM_API_SECRET right?"
    return f"Is TALLYGATE_UPSTREAM_TOKEN{'_FILE' if settings.token_file else ''} the current one?"


async def _keep_to_ourselves(_: bytes, make: Create) -> tuple[bytes, int]:
    """Mint a token without a fleet to share it with."""
    sealed, left_ms, _rest_ms = await make()
    return sealed, left_ms


async def _note_nothing(_: float) -> None:
    """Ignore the upstream's pause, without a fleet to share it with."""


@asynccontextmanager
async def _at_once(_: float) -> AsyncIterator[None]:
    """Give a permit immediately: one call is within any budget."""
    yield
