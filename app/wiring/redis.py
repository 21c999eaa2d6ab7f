"""Wiring of Redis: the client, and the keys of one upstream in it."""

import asyncio
import hashlib
from collections.abc import Callable
from functools import partial
from uuid import uuid4

import structlog

from app.cache.redis_tier import SCHEMA
from app.errors import StartError
from app.redis.client import RedisClient
from app.redis.connections import connect
from app.redis.diagnosis import find_trouble
from app.redis.names import find_names
from app.redis.replacement import Connect
from app.redis.shared import Shared
from app.redis.url_watcher import RedisUrlWatcher
from app.resilience.circuit_breaker import CircuitBreaker
from app.runtime import Runtime
from app.secret import Secret
from app.settings.environment import read_redis_url_file
from app.settings.sections import RedisSettings

ALL_KEYS = f"tallygate:{SCHEMA}"
"""All our keys and channels begin so."""


def build_redis(settings: RedisSettings, upstream_url: str, runtime: Runtime, *, plain: bool) -> Shared:
    """Build what the replicas of one upstream share. Raises `StartError`."""
    key_prefix = name_keys(upstream_url)
    client = build_redis_client(settings, runtime, plain=plain, probe_key=f"{key_prefix}:probe")
    tasks = {"link": client.probe_while_lost, "renewal": client.renew_while_refused}
    if (watcher := build_url_watcher(settings, client, plain=plain)) is not None:
        tasks["redis_url"] = watcher.keep_watching
    return Shared(client, key_prefix, uuid4().hex, tasks=tasks, close=client.close)


def name_keys(upstream_url: str) -> str:
    """Name the prefix of all keys of an upstream: its fingerprint keeps different ones apart in one Redis."""
    return f"{ALL_KEYS}:{hashlib.sha256(upstream_url.rstrip('/').encode()).hexdigest()[:12]}"


def build_redis_client(
    settings: RedisSettings,
    runtime: Runtime,
    *,
    plain: bool,
    probe_key: str,
    variable: str | None = None,
    **fields: str,
) -> RedisClient:
    """Build a client that connects when it is first used; `fields` are those of its log lines.

    Raises `StartError`, which names the variable of the URL.
    """
    if settings.url is None:
        raise StartError(
            "There is no Redis: `tallygate serve` starts one of its own where TALLYGATE_REDIS_URL is unset."
        )
    try:
        return RedisClient(
            _connecting(settings, plain=plain)(settings.url),
            breaker=CircuitBreaker(runtime, threshold=3, first_pause_seconds=0.25, longest_pause_seconds=2),
            timeout_seconds=settings.timeout_seconds,
            runtime=runtime,
            probe_key=probe_key,
            log=structlog.get_logger(**fields),
        )
    except ValueError as error:
        raise StartError(f"{variable or _variable(settings)} is wrong: {error}.") from None


def check_redis_url(settings: RedisSettings, *, plain: bool, variable: str | None = None) -> None:
    """Raise `StartError` if the URL, or a file that it names, cannot be used."""
    build_redis_client(settings, Runtime(), plain=plain, probe_key="", variable=variable)


async def diagnose_redis(settings: RedisSettings, *, variable: str | None = None) -> str | None:
    """Use Redis as the service would, and return what is wrong with it, None if nothing is.

    Raises `StartError`. Both name the variable of the URL.
    """
    if settings.url is None:
        return None
    key_prefix = f"{ALL_KEYS}:check:{uuid4().hex}"
    try:
        trouble = await find_trouble(settings.url.reveal(), key_prefix, settings.timeout_seconds)
    except ValueError as error:
        raise StartError(f"{variable or _variable(settings)} is wrong: {error}.") from None
    return trouble and f"{variable or _variable(settings)}: {trouble}"


async def find_keys(settings: RedisSettings, pattern: str, *, variable: str) -> set[str]:
    """Return the keys that match a pattern. Raises `StartError`, which names the variable of the URL."""
    found = await find_names("" if settings.url is None else settings.url.reveal(), pattern, settings.timeout_seconds)
    if isinstance(found, str):
        raise StartError(f"{variable}: {found}")
    return found


def _variable(settings: RedisSettings) -> str:
    return "TALLYGATE_REDIS_URL_FILE" if settings.url_file else "TALLYGATE_REDIS_URL"


def _connecting(settings: RedisSettings, *, plain: bool) -> Callable[[Secret], Connect]:
    return lambda url: lambda: connect(url.reveal(), settings.timeout_seconds, plain=plain)


def build_url_watcher(
    settings: RedisSettings, client: RedisClient, *, plain: bool, variable: str = "TALLYGATE_REDIS_URL_FILE"
) -> RedisUrlWatcher | None:
    """Build what watches the file of the URL, None if there is no such file."""
    if settings.url is None or settings.url_file is None:
        return None
    read = partial(asyncio.to_thread, read_redis_url_file, settings.url_file, variable)
    return RedisUrlWatcher(settings.url, read, _connecting(settings, plain=plain), client)
