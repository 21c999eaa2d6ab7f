"""Redis tier: the entries that all replicas share, and the lease by which one of them fetches."""

import asyncio
from collections.abc import Sequence
from typing import Any, Final

import msgspec
import structlog
from msgspec.structs import replace

from app.balances.snapshots import AccountId, Entry
from app.cache.freshness import FreshnessPolicy, retention_ms
from app.decoding import JsonDecoder, Undecodable
from app.fleet.bus import Failure, Move, encode_failure, encode_released, encode_withdrawn
from app.fleet.lease import LEASE_MS, RENEW_SECONDS, HeldLease
from app.history.recording import Look, Recorder, is_unnumbered
from app.history.results import read_recorded
from app.redis import lua, lua_budget, lua_history, lua_shared
from app.redis.batching import ScriptBatcher
from app.redis.client import RedisFailure
from app.redis.commands import get_values
from app.redis.results import Permits, read_flag, read_integer, read_lease, values_reader
from app.redis.scripts import ExtraArguments, make_script
from app.redis.shared import Shared
from app.telemetry.log_throttle import LogThrottle
from app.telemetry.metrics import Metrics

SCHEMA: Final = 2
ANY_TIME: Final = 2**53
"""Later than any `asOf`, and still an exact number in Lua."""

log = structlog.get_logger()


class Found(msgspec.Struct, frozen=True):
    """A stored entry that looks new enough: no fetch is needed."""

    entry: Entry


class LeaseAcquired(msgspec.Struct, frozen=True):
    """The lease is ours, so we fetch. `entry` is a stored one that is too old but newer than ours.

    `permit` is the result of `TAKE_PERMITS`, if a permit was requested with the lease.
    """

    entry: Entry | None
    permit: Permits | None = None


class LeaseHeldElsewhere(msgspec.Struct, frozen=True):
    """Another replica has the lease, for `lease_ms` unless it renews it."""

    entry: Entry | None
    lease_ms: int


LeaseResult = Found | LeaseAcquired | LeaseHeldElsewhere


class RedisTier:
    """Read and write entries for one replica, and have their looks recorded. No method raises errors of Redis."""

    def __init__(
        self, shared: Shared, *, policy: FreshnessPolicy, metrics: Metrics, recorder: Recorder | None = None
    ) -> None:
        self._metrics: Final = metrics
        self._recorder: Final = recorder
        self.stores: Final = shared.stores
        self._redis_client: Final = shared.client
        self._batcher: Final = ScriptBatcher(shared.client)
        self._key_prefix: Final = shared.key_prefix
        self._replica_id: Final = shared.replica_id
        self._channel: Final = shared.channel
        self._policy: Final = policy
        self._decoder: Final[JsonDecoder[Entry]] = JsonDecoder(Entry)
        self._unreadable: Final = LogThrottle()
        self._foreign: Final = LogThrottle()
        self._leases: Final[set[AccountId]] = set()
        self._read_or_lease: Final = make_script(lua.READ_OR_LEASE, read_lease)
        self._read_or_lease_with_permit: Final = make_script(lua_budget.READ_OR_LEASE_WITH_PERMIT, read_lease)
        self._store_and_release: Final = make_script(lua.STORE_AND_RELEASE, read_flag, writes=True)
        self._store_and_record: Final = make_script(lua_history.STORE_AND_RECORD, read_recorded, writes=True)
        self._release_and_notify: Final = make_script(lua.RELEASE_AND_NOTIFY, read_flag)
        self._mark_moved: Final = make_script(lua_shared.MARK_MOVED, read_integer, writes=True)
        self._renew_lease: Final = make_script(lua.RENEW_LEASE, read_flag)

    @property
    def sends_at_once(self) -> bool:
        """Whether a store is on its way to Redis before an answer can be on its own: not after a record elsewhere."""
        is_first = self._recorder is None or not self._recorder.is_own
        return is_first and self._batcher.sends_at_once

    async def get_many(self, account_ids: Sequence[AccountId]) -> dict[AccountId, Entry] | RedisFailure:
        """Look up accounts in one round trip. An unreadable entry, or another account's, is logged and a miss."""
        names = [self._name(account_id) for account_id in account_ids]
        found = await self._redis_client.execute(
            lambda: get_values(self._redis_client.client, names), values_reader(len(names))
        )
        if isinstance(found, RedisFailure):
            return found
        entries = (self._decode(account_id, value) for account_id, value in zip(account_ids, found, strict=True))
        return {entry.account_id: entry for entry in entries if entry is not None}

    async def read_or_lease(
        self,
        account_id: AccountId,
        oldest_as_of: int,
        known_as_of: int = -1,
        permit_arguments: ExtraArguments | None = None,
        *,
        latest_as_of: int = ANY_TIME,
    ) -> LeaseResult | RedisFailure:
        """Look up an account. Unless an entry from `oldest_as_of` on is there, try to take its lease and a permit.

        An older entry is returned too if it is newer than `known_as_of`. One from after `latest_as_of` is ignored.
        """
        keys, arguments = self._names(account_id), [self._replica_id, LEASE_MS, oldest_as_of, known_as_of, latest_as_of]
        if permit_arguments is None:
            found = await self._batcher.run(self._read_or_lease, keys, arguments)
        else:
            found = await self._batcher.run(
                self._read_or_lease_with_permit,
                [*keys, *permit_arguments.keys],
                [*arguments, *permit_arguments.arguments],
            )
        if isinstance(found, RedisFailure):
            return found
        value, lease_ms, permit = found
        entry = self._decode(account_id, value)
        match lease_ms:
            case 0:
                return LeaseAcquired(entry, permit)
            case -1:
                return Found(entry) if entry else await self._read_or_lease_again(account_id)
            case _:
                return LeaseHeldElsewhere(entry, min(lease_ms, LEASE_MS))

    async def store_and_release(self, entry: Entry, *, latest_as_of: int = ANY_TIME, look: Look | None = None) -> None:
        """Store and publish an entry, and release the lease. A newer entry from no later than `latest_as_of` stays.

        With `look`, the entry is what a look has just found: it is recorded, and the entry numbered.
        """
        recorder = self._recorder if look is not None and is_unnumbered(entry) else None
        encoded = msgspec.json.encode(entry)
        content = msgspec.json.encode(replace(entry, moved_at=msgspec.UNSET)) if entry.is_moved else encoded
        if recorder is not None and look is not None and recorder.is_own:
            await recorder.record(entry, content, look, latest_as_of)
            encoded, recorder = msgspec.json.encode(entry), None
        names = self._names(entry.account_id)
        ttl_ms = max(retention_ms(entry, self._policy), 1)
        arguments = [self._replica_id, encoded, entry.as_of, ttl_ms, self._channel, latest_as_of]
        if recorder is None or look is None:
            await self._batcher.run(self._store_and_release, names, arguments)
            return
        arguments[1] = encoded[:-1]
        arguments += recorder.arguments(entry, content, look)
        names += recorder.names(entry.account_id)
        recorder.settle(entry, await self._batcher.run(self._store_and_record, names, arguments))

    async def release_with_failure(self, account_id: AccountId, failure: Failure) -> None:
        """Release the lease, and publish why there is no entry."""
        arguments = [self._replica_id, encode_failure(self._replica_id, failure), self._channel]
        await self._batcher.run(self._release_and_notify, self._names(account_id)[1:], arguments)

    async def release(self, account_id: AccountId) -> None:
        """Release the lease without a result, so that another replica may fetch."""
        arguments = [self._replica_id, encode_released(self._replica_id, account_id), self._channel]
        await self._batcher.run(self._release_and_notify, self._names(account_id)[1:], arguments)

    def holding_lease(self, account_id: AccountId) -> HeldLease:
        """Have `renew_leases` renew a lease while the context lasts. If we die, it expires within `LEASE_MS`."""
        return HeldLease(self._leases, account_id)

    async def renew_leases(self) -> None:
        """Renew the leases that we hold, until cancelled. A lease is renewed once it has lasted a whole period."""
        before: set[AccountId] = set()
        while True:
            await asyncio.sleep(RENEW_SECONDS)
            renewals = [
                self._batcher.run(self._renew_lease, self._names(account_id)[1:], [self._replica_id, LEASE_MS])
                for account_id in before & self._leases
            ]
            before = set(self._leases)
            await asyncio.gather(*renewals)

    async def withdraw(self, account_id: AccountId) -> None:
        """Remove an entry that is in doubt, here and, by the bus, from the memory of every replica."""
        client, message = self._redis_client.client, encode_withdrawn(self._replica_id, account_id)
        await self._redis_client.execute(lambda: client.delete(self._name(account_id)), read_integer)
        await self._redis_client.execute(lambda: client.publish(self._channel, message), read_integer)
        if self._recorder is not None:
            await self._recorder.forget(account_id)

    async def mark_moved(self, move: Move, *, latest_as_of: int) -> int | RedisFailure:
        """Mark an entry as from before a move, and publish that. Return when it moved: no earlier than the entry."""
        arguments = [self._replica_id, move.account_id, move.at, latest_as_of, self._channel]
        return await self._batcher.run(self._mark_moved, [self._name(move.account_id)], arguments)

    async def close(self) -> None:
        """Wait until all is stored, and all commands that were sent are answered: at most a few commands' time-outs."""
        await self.stores.wait_for_all()
        await self._batcher.close()
        if self._recorder is not None:
            await self._recorder.close()

    async def _read_or_lease_again(self, account_id: AccountId) -> LeaseResult | RedisFailure:
        """Remove an entry that looked new enough but cannot be read."""
        removed = await self._redis_client.execute(
            lambda: self._redis_client.client.delete(self._name(account_id)), read_integer
        )
        return removed if isinstance(removed, RedisFailure) else await self.read_or_lease(account_id, ANY_TIME)

    def _name(self, account_id: AccountId) -> str:
        return f"{self._key_prefix}:{{{account_id}}}"

    def _names(self, account_id: AccountId) -> list[str]:
        name = self._name(account_id)
        return [name, f"{name}:lease"]

    def _decode(self, account_id: AccountId, value: Any) -> Entry | None:
        if value is None:
            return None
        try:
            entry = self._decoder.decode(value)
        except Undecodable as error:
            self._metrics.redis_unreadable.add()
            if self._unreadable.admits():
                unwritten = self._unreadable.unwritten
                log.warning("redis.unreadable", key=self._name(account_id), reason=str(error), unwritten=unwritten)
            return None
        if entry.account_id != account_id:
            self._metrics.redis_unreadable.add()
            if self._foreign.admits():
                log.warning("redis.foreign", key=self._name(account_id), unwritten=self._foreign.unwritten)
            return None
        return entry
