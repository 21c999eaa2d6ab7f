"""Seeded Redis: past snapshots written into the Redis of a service, as another replica would have left them."""

import hashlib
import time
import zlib
from collections.abc import Iterable

import msgspec

from app.balances.amounts import Amount
from app.balances.merchants import Directory, Merchant
from app.balances.snapshots import AccountId, Row, Snapshot
from app.cache.redis_tier import SCHEMA
from tests.support.service import Service

OLD_TOTAL = "41.5"
"""What a stored answer says: no account of the simulated upstream holds it."""


async def store(service: Service, merchant: int, *, age_seconds: float) -> Snapshot:
    """Store an answer of so long ago."""
    row = Row("BTC", "BTC", "BTC", Amount(OLD_TOTAL), Amount("40"), Amount("1.5"))
    as_of = time.time_ns() // 1_000_000 - round(age_seconds * 1000)
    snapshot = Snapshot(AccountId(str(merchant)), as_of, can_deposit=True, balances=(row,))
    await service.redis.set(redis_name(service, merchant), msgspec.json.encode(snapshot))
    return snapshot


async def publish(service: Service, merchant: int, *, age_seconds: float) -> None:
    """Store an answer, and publish it on the bus as another replica would."""
    entry = msgspec.json.encode(await store(service, merchant, age_seconds=age_seconds))
    channel = redis_name(service, merchant).replace(f"{{{merchant}}}", "bus")
    assert await service.redis.publish(channel, b'{"sender":"another","entry":%b}' % entry) == 1


async def store_directory(service: Service, merchants: Iterable[int], *, age_seconds: float) -> Directory:
    """Store a list of merchants of so long ago."""
    as_of = time.time_ns() // 1_000_000 - round(age_seconds * 1000)
    directory = Directory(as_of, tuple(Merchant(merchant, f"m{merchant}") for merchant in sorted(merchants)))
    name = redis_name(service, 0).removesuffix("{0}") + "{directory}"
    await service.redis.set(name, zlib.compress(msgspec.json.encode(directory)), px=3_600_000)
    return directory


def redis_name(service: Service, merchant: int) -> str:
    """Return the key under which the service keeps a merchant in Redis."""
    upstream = hashlib.sha256(service.upstream.url.encode()).hexdigest()[:12]
    return f"tallygate:{SCHEMA}:{upstream}:{{{merchant}}}"


def seconds_since(as_of: int) -> int:
    """Return how many whole seconds ago a time in Unix milliseconds was."""
    return (time.time_ns() // 1_000_000 - as_of) // 1000
