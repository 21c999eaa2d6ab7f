"""The Redis tier: the same entries, shared by all replicas, and the lease by which one of them fetches."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import msgspec
import structlog

from app.balances.snapshots import AccountId, Entry
from app.cache.freshness import FreshnessPolicy, retention_ms
from app.fleet.bus import Failure, encode_failure, encode_released
from app.fleet.lease import LEASE_MS, RENEW_SECONDS
from app.redis import lua as scripts
from app.redis.batching import ScriptBatcher
from app.redis.client import RedisFailure
from app.redis.connections import get_values
from app.redis.scripts import ExtraArguments, make_script
from app.redis.shared import Shared
from app.telemetry.metrics import Metrics

SCHEMA: Final = 2
ANY_TIME: Final = 2**53
"""Later than any `asOf`, and still a whole number to Redis."""


log = structlog.get_logger()


class Found(msgspec.Struct, frozen=True):
    """An entry that looks new enough: no fetch is needed."""

    entry: Entry


class LeaseAcquired(msgspec.Struct, frozen=True):
    """The lease is ours: we are to fetch. What is stored is too old, or nothing, or no news.

    `turn` is what `TAKE_TURNS` told, where it was asked for with the lease.
    """

    entry: Entry | None
    permit: tuple[int, ...] = ()


class LeaseHeldElsewhere(msgspec.Struct, frozen=True):
    """Another replica has the lease for so long, if it does not renew it."""

    entry: Entry | None
    lease_ms: int


LeaseResult = Found | LeaseAcquired | LeaseHeldElsewhere


class RedisTier:
    """Read and write entries for one replica. Nothing here raises what Redis may raise."""

    def __init__(self, shared: Shared, *, policy: FreshnessPolicy, metrics: Metrics) -> None:
        self._metrics: Final = metrics
        self._redis_client: Final = shared.client
        self._batcher: Final = ScriptBatcher(shared.client)
        self._prefix: Final = shared.key_prefix
        self._replica_id: Final = shared.replica_id
        self._channel: Final = shared.channel
        self._policy: Final = policy
        self._decoder: Final = msgspec.json.Decoder(Entry)
        self._held: Final[set[AccountId]] = set()
        self._begin: Final = make_script(scripts.READ_OR_LEASE)
        self._begin_and_take: Final = make_script(scripts.READ_OR_LEASE_WITH_PERMIT)
        self._settle: Final = make_script(scripts.STORE_AND_RELEASE, writes=True)
        self._abandon: Final = make_script(scripts.RELEASE_AND_NOTIFY)
        self._renew: Final = make_script(scripts.RENEW_LEASE)

    async def get_many(self, keys: Sequence[AccountId]) -> dict[AccountId, Entry] | RedisFailure:
        """Look keys up in one round trip. What cannot be read, or names another key, is a miss, and logged."""
        names = [self._name(key) for key in keys]
        found = await self._redis_client.execute(lambda: get_values(self._redis_client.client, names))
        if isinstance(found, RedisFailure):
            return found
        entries = (self._decode(key, value) for key, value in zip(keys, found, strict=True))
        return {entry.account_id: entry for entry in entries if entry is not None}

    async def read_or_lease(
        self,
        key: AccountId,
        oldest_as_of: int,
        known_as_of: int = -1,
        turn: ExtraArguments | None = None,
        *,
        latest_as_of: int = ANY_TIME,
    ) -> LeaseResult | RedisFailure:
        """Look a key up and, unless an entry from `oldest_as_of` on is there, try to take its lease, and a turn with it.

        An entry that is too old is given all the same if it is newer than `known_as_of`. One from after `latest_as_of` is none.
        """
        keys, arguments = self._names(key), [self._replica_id, LEASE_MS, oldest_as_of, known_as_of, latest_as_of]
        if turn is None:
            found = await self._batcher.run(self._begin, keys, arguments)
        else:
            found = await self._batcher.run(self._begin_and_take, [*keys, *turn.keys], [*arguments, *turn.arguments])
        if isinstance(found, RedisFailure):
            return found
        value, lease_ms, *taken = found
        entry = self._decode(key, value)
        match lease_ms:
            case 0:
                return LeaseAcquired(entry, tuple(taken))
            case -1:
                return Found(entry) if entry else await self._read_or_lease_again(key)
            case _:
                return LeaseHeldElsewhere(entry, lease_ms)

    async def store_and_release(self, entry: Entry, *, latest_as_of: int = ANY_TIME) -> None:
        """Store and publish an entry, unless a newer one is there that is from no later than `latest_as_of`; give the lease back."""
        ttl_ms = retention_ms(entry, self._policy)
        arguments = [
            self._replica_id,
            msgspec.json.encode(entry),
            entry.as_of,
            max(ttl_ms, 1),
            self._channel,
            latest_as_of,
        ]
        await self._batcher.run(self._settle, self._names(entry.account_id), arguments)

    async def release_with_failure(self, key: AccountId, failure: Failure) -> None:
        """Give the lease back, and tell the replicas that wait why there is no entry."""
        arguments = [self._replica_id, encode_failure(self._replica_id, failure), self._channel]
        await self._batcher.run(self._abandon, self._names(key)[1:], arguments)

    async def release(self, key: AccountId) -> None:
        """Give the lease back without a word about the key: another replica may fetch it."""
        arguments = [self._replica_id, encode_released(self._replica_id, key), self._channel]
        await self._batcher.run(self._abandon, self._names(key)[1:], arguments)

    @contextmanager
    def holding(self, key: AccountId) -> Iterator[None]:
        """Have a lease renewed while the context lasts: should we die, it ends by itself within `LEASE_MS`."""
        self._held.add(key)
        try:
            yield
        finally:
            self._held.discard(key)

    async def renew_leases(self) -> None:
        """Renew the leases that are held until cancelled, each for the first time when it was held at the last look too."""
        before: set[AccountId] = set()
        while True:
            await asyncio.sleep(RENEW_SECONDS)
            renewals = [
                self._batcher.submit(self._renew, self._names(key)[1:], [self._replica_id, LEASE_MS])
                for key in before & self._held
            ]
            before = set(self._held)
            await asyncio.gather(*renewals)

    async def close(self) -> None:
        """Wait until what was sent is answered, which takes no longer than a command may."""
        await self._batcher.close()

    async def _read_or_lease_again(self, key: AccountId) -> LeaseResult | RedisFailure:
        """Remove what looked new enough but cannot be read."""
        removed = await self._redis_client.execute(lambda: self._redis_client.client.delete(self._name(key)))
        return removed if isinstance(removed, RedisFailure) else await self.read_or_lease(key, ANY_TIME)

    def _name(self, key: AccountId) -> str:
        return f"{self._prefix}:{{{key}}}"

    def _names(self, key: AccountId) -> list[str]:
        return [self._name(key), f"{self._name(key)}:lease"]

    def _decode(self, key: AccountId, value: Any) -> Entry | None:
        if value is None:
            return None
        try:
            entry: Entry = self._decoder.decode(value)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            self._metrics.redis_unreadable.add()
            log.warning("redis.unreadable", key=self._name(key))
            return None
        if entry.account_id != key:
            self._metrics.redis_unreadable.add()
            log.warning("redis.foreign", key=self._name(key))
            return None
        return entry
