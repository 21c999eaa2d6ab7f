"""Wiring of the export: the store of the history, without anything else of the service."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from app.balances.snapshots import AccountId
from app.errors import StartError
from app.history.feed import FeedReader
from app.history.past import Past
from app.redis.shared import Shared
from app.runtime import Runtime
from app.settings.sections import RedisSettings, StoreSettings
from app.wiring.redis import ALL_KEYS, build_redis_client, find_keys, name_keys

_LEAST_TIMEOUT_SECONDS: Final = 5.0
"""Nobody waits for an export as a reader does."""

_HISTORY: Final = re.compile(r"(?P<prefix>.+):\{(?P<account>0|[1-9][0-9]{0,18})\}:history")


class Archive(Struct, frozen=True):
    """What is kept of the past, and of which accounts there is something, by number."""

    past: Past
    accounts: tuple[AccountId, ...]


@asynccontextmanager
async def open_archive(settings: StoreSettings) -> AsyncIterator[Archive]:
    """Open the history of the upstream that is set, or of the only one. Raises `StartError`."""
    redis = replace(settings.redis, timeout_seconds=max(settings.redis.timeout_seconds, _LEAST_TIMEOUT_SECONDS))
    client = build_redis_client(
        redis, Runtime(), plain=False, probe_key=f"{ALL_KEYS}:probe", variable=settings.variable
    )
    try:
        prefix, accounts = await _find_accounts(redis, settings)
        shared = Shared(client, prefix, "export")
        past = Past(shared, FeedReader(shared))
        yield Archive(past, accounts)
        await past.close()
    finally:
        await client.close()


async def _find_accounts(redis: RedisSettings, settings: StoreSettings) -> tuple[str, tuple[AccountId, ...]]:
    wanted = f"{ALL_KEYS}:*" if settings.upstream_url is None else name_keys(settings.upstream_url)
    names = await find_keys(redis, f"{wanted}:{{*}}:history", variable=settings.variable)
    found: dict[str, set[AccountId]] = {}
    for match in filter(None, map(_HISTORY.fullmatch, names)):
        found.setdefault(match["prefix"], set()).add(AccountId(match["account"]))
    if not found:
        raise StartError(f"{settings.variable}: There is no history in this Redis.")
    if len(found) > 1:
        raise StartError(f"{settings.variable}: {len(found)} upstreams have a history: set TALLYGATE_UPSTREAM_URL.")
    ((prefix, accounts),) = found.items()
    return prefix, tuple(sorted(accounts, key=int))
