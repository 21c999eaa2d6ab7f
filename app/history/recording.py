"""Recording of looks: the arguments of the script that stores an entry, and what follows from its result."""

import asyncio
import zlib
from collections.abc import Sequence
from hashlib import blake2b
from typing import Any, Final

from msgspec import UNSET, Struct

from app.balances.snapshots import Absence, AccountId, Entry
from app.history.results import Recorded, read_drops, read_recorded
from app.redis import lua_feed, lua_history
from app.redis.batching import ScriptBatcher
from app.redis.client import RedisFailure
from app.redis.commands import is_one_server
from app.redis.results import read_flag, read_integer
from app.redis.scripts import make_script
from app.redis.shared import Shared
from app.telemetry.metrics import Metrics

OF_ENTRY: Final = "="
"""In place of a content: the script takes that of the entry, should it be a new one after all.

Compression takes as long as all else in storing an entry. So what a replica looks at for the first time is not
compressed: mostly the store has the content, or it begins a history, once for each account.
"""

NO_MERCHANT: Final = b"-"
_DIGEST_BYTES: Final = 12
_LEVEL, _WINDOW_BITS, _MEMORY_LEVEL = 1, 12, 5
"""Small tables: zlib's usual 256 KiB are cleared for each content, which took ten times as long as compressing it."""


class HistoryOptions(Struct, frozen=True, kw_only=True):
    """For how long changes are kept, and how many bytes of them, whichever comes first."""

    keep_ms: int
    max_bytes: int


class Look(Struct, frozen=True, gc=False):
    """When a look was asked for (Unix milliseconds), and which entry the replica knew before: what it has need not be sent."""

    asked_at: int
    known: Entry | None = None


class Recorder:
    """Record looks for one replica, in the store of the entries or, as `own`, in another one.

    No method raises errors of Redis: a look that cannot be recorded is none.
    """

    def __init__(self, shared: Shared, options: HistoryOptions, metrics: Metrics, *, own: bool = False) -> None:
        self.is_own: Final = own
        self._shared: Final = shared
        self._feed_names: Final = feed_names(shared)
        self._options: Final = options
        self._metrics: Final = metrics
        self._batcher: Final = ScriptBatcher(shared.client)
        self._follow_ups: Final[set[asyncio.Task[None]]] = set()
        self._record: Final = make_script(lua_history.RECORD_ALONE, read_recorded, writes=True)
        self._append: Final = make_script(lua_feed.APPEND, read_drops, writes=True)
        self._drop: Final = make_script(lua_history.DROP, read_flag)
        self._mark_fed: Final = make_script(lua_history.MARK_FED, read_flag)

    def names(self, account_id: AccountId) -> list[str]:
        """Return the keys of `RECORD`: the feed's only where one server holds all keys."""
        mine = history_name(self._shared, account_id)
        return [mine, *self._feed_names] if is_one_server(self._shared.client.client) else [mine]

    def arguments(self, entry: Entry, encoded: bytes, look: Look) -> list[Any]:
        """Return the arguments of `RECORD` from `asked` on, for an entry without `sequence` and its encoding without a move."""
        content = content_of(encoded)
        return [
            look.asked_at,
            blake2b(content, digest_size=_DIGEST_BYTES).hexdigest(),
            pack(entry, content, look.known),
            entry.account_id,
            self._options.keep_ms,
            self._options.max_bytes,
            *_number_of(look.known),
        ]

    async def record(self, entry: Entry, encoded: bytes, look: Look, latest_as_of: int) -> None:
        """Record a look in a store of its own, and number the entry."""
        arguments = [self._shared.replica_id, encoded[:-1], entry.as_of, latest_as_of]
        found = await self._batcher.run(
            self._record, self.names(entry.account_id), [*arguments, *self.arguments(entry, encoded, look)]
        )
        self.settle(entry, found)

    def settle(self, entry: Entry, found: Recorded | RedisFailure | None) -> None:
        """Number an entry as its look was recorded, count a change, and bring the feed up to date in a Cluster."""
        if not isinstance(found, Recorded):
            self._metrics.history_unrecorded.add()
            return
        entry.number(found.epoch, found.sequence)
        if found.change_bytes:
            self._metrics.history_changes.add()
        if found.fed < found.sequence:
            task = asyncio.create_task(self._feed(entry, found))
            self._follow_ups.add(task)
            task.add_done_callback(self._follow_ups.discard)

    async def forget(self, account_id: AccountId) -> None:
        """Remove the history of an account that is in doubt: its next look begins another epoch."""
        client, name = self._shared.client, history_name(self._shared, account_id)
        await client.execute(lambda: client.client.delete(name), read_integer)

    async def close(self) -> None:
        """Wait until all commands that were sent are answered, at most a few commands' time-outs."""
        await asyncio.gather(*self._follow_ups)
        await self._batcher.close()

    async def _feed(self, entry: Entry, found: Recorded) -> None:
        """Append the changes that the feed lacks, the last of which may be repeated by another replica."""
        options = [self._shared.replica_id, self._options.keep_ms, self._options.max_bytes]
        for sequence in range(found.fed + 1, found.sequence + 1):
            change = [entry.account_id, found.epoch, sequence, entry.as_of, found.change_bytes or 200]
            dropped = await self._batcher.run(self._append, self._feed_names, [*options, *change])
            if isinstance(dropped, RedisFailure):
                return
            drops = [self._submit_drop(*one) for one in dropped]
            await asyncio.gather(*drops)
        name = history_name(self._shared, entry.account_id)
        await self._batcher.run(self._mark_fed, [name], [found.epoch, found.sequence])

    def _submit_drop(self, account_id: AccountId, epoch: str, sequence: int) -> asyncio.Future[Any]:
        return self._batcher.run(self._drop, [history_name(self._shared, account_id)], [epoch, sequence])


def pack(entry: Entry, content: bytes, known: Entry | None) -> bytes | str:
    """Pack the content of an entry for the history, given which entry the replica knew before."""
    if isinstance(entry, Absence):
        return NO_MERCHANT
    return OF_ENTRY if known is None or has_same_content(entry, known) else compress(content)


def compress(content: bytes) -> bytes:
    """Compress a content as zlib data."""
    stream = zlib.compressobj(_LEVEL, zlib.DEFLATED, _WINDOW_BITS, _MEMORY_LEVEL)
    return stream.compress(content) + stream.flush()


def content_of(encoded: bytes) -> bytes:
    """Return the content of an encoded entry, which is what follows its `asOf`: what the `ETag` covers.

    It is empty for an absent merchant, else JSON without its opening brace.
    """
    return encoded.partition(b'"asOf":')[2].partition(b",")[2]


def has_same_content(entry: Entry, other: Entry | None) -> bool:
    """Compare two entries as the `ETag` does, without encoding them."""
    if other is None or isinstance(entry, Absence) or isinstance(other, Absence):
        return isinstance(entry, Absence) and isinstance(other, Absence)
    return (
        entry.can_deposit == other.can_deposit
        and entry.balances == other.balances
        and entry.anomalies == other.anomalies
    )


def _number_of(known: Entry | None) -> tuple[str, int]:
    if known is None or known.epoch is UNSET or known.sequence is UNSET:
        return "", 0
    return known.epoch, known.sequence


def is_unnumbered(entry: Entry) -> bool:
    """Say whether no look was recorded for an entry yet."""
    return entry.sequence is UNSET


def history_name(shared: Shared, account_id: AccountId) -> str:
    """Name the history of an account: its slot is that of the entry."""
    return f"{shared.key_prefix}:{{{account_id}}}:history"


def feed_names(shared: Shared) -> Sequence[str]:
    """Name the feed, and the data about it."""
    return f"{shared.key_prefix}:{{feed}}", f"{shared.key_prefix}:{{feed}}:meta"
