"""Memory tier: the newest entry of each account, a least-recently-used cache bounded in number and bytes."""

from collections import OrderedDict
from typing import Final, Protocol

from msgspec import UNSET, Struct
from msgspec.structs import replace

from app.balances.snapshots import Absence, AccountId, Entry

# CPython's memory for an entry and for each of its rows, as `bench/memory.py` measures it.
_ENTRY_BYTES: Final = 520
_ROW_BYTES: Final = 310


class _Held(Struct, gc=False):
    entry: Entry
    size_bytes: int
    epoch: int


class Listener(Protocol):
    """A listener to what memory keeps."""

    def on_put(self, entry: Entry, /) -> None:
        """Handle an entry that is kept from now on, instead of any other of its account."""

    def on_drop(self, account_id: AccountId, /) -> None:
        """Handle an account of which nothing is kept any more."""


class Listeners(Struct, frozen=True):
    """Several listeners, each of which hears all."""

    listeners: tuple[Listener, ...]

    def on_put(self, entry: Entry, /) -> None:
        """Pass on an entry that is kept from now on."""
        for listener in self.listeners:
            listener.on_put(entry)

    def on_drop(self, account_id: AccountId, /) -> None:
        """Pass on that nothing is kept of an account any more."""
        for listener in self.listeners:
            listener.on_drop(account_id)


class MemoryTier:
    """Keep up to `capacity` entries of about `capacity_bytes` together. Each operation takes constant time.

    After `distrust`, `get` finds an entry only when it was put again, since newer ones may have been missed.
    `listener` is called at each change.
    """

    def __init__(self, capacity: int, capacity_bytes: int, listener: Listener | None = None) -> None:
        self._capacity: Final = capacity
        self._capacity_bytes: Final = capacity_bytes
        self._listener: Final = listener
        self._held: Final[OrderedDict[AccountId, _Held]] = OrderedDict()
        self._epoch = 0
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._held)

    def get(self, account_id: AccountId) -> Entry | None:
        """Return the entry of an account if it is trusted, and mark it as used."""
        held = self._held.get(account_id)
        if held is None or held.epoch != self._epoch:
            return None
        self._held.move_to_end(account_id)
        return held.entry

    def is_current(self, entry: Entry) -> bool:
        """Return whether `get` would return this very entry."""
        held = self._held.get(entry.account_id)
        return held is not None and held.entry is entry and held.epoch == self._epoch

    def use(self, entry: Entry) -> bool:
        """Return the same as `is_current`, and mark the entry as used."""
        return self.get(entry.account_id) is entry

    def peek(self, account_id: AccountId) -> Entry | None:
        """Return the entry of an account, trusted or not. Does not count as use."""
        held = self._held.get(account_id)
        return None if held is None else held.entry

    def put(self, entry: Entry) -> Entry:
        """Keep an entry unless a newer one is here. Return the one that is kept, trusted from now on."""
        held = self._held.get(entry.account_id)
        if held is None:
            held = self._held[entry.account_id] = _Held(entry, size_bytes(entry), self._epoch)
            self.bytes += held.size_bytes
            self._notify(entry)
        elif held.entry.as_of < entry.as_of:
            self.bytes += (size := size_bytes(entry)) - held.size_bytes
            held.entry, held.size_bytes = entry, size
            self._notify(entry)
        elif entry.moved_at is not UNSET:
            self.mark_moved(entry.account_id, entry.moved_at)
        held.epoch = self._epoch
        self._held.move_to_end(entry.account_id)
        self._shrink()
        return held.entry

    def mark_moved(self, account_id: AccountId, moved_at: int) -> None:
        """Mark an entry that is from no later than a move (Unix milliseconds). What was made of it is outdated, too."""
        held = self._held.get(account_id)
        if held is not None and held.entry.as_of <= moved_at and not held.entry.is_moved:
            held.entry = replace(held.entry, moved_at=moved_at)
            self._notify(held.entry)

    def forget(self, account_id: AccountId) -> None:
        """Drop the entry of an account."""
        held = self._held.pop(account_id, None)
        if held is not None:
            self._on_dropped(held)

    def distrust(self) -> None:
        """Trust no entry until it is put again."""
        self._epoch += 1

    def _shrink(self) -> None:
        while len(self._held) > 1 and (len(self._held) > self._capacity or self.bytes > self._capacity_bytes):
            _, dropped = self._held.popitem(last=False)
            self._on_dropped(dropped)

    def _on_dropped(self, dropped: _Held) -> None:
        self.bytes -= dropped.size_bytes
        if self._listener is not None:
            self._listener.on_drop(dropped.entry.account_id)

    def _notify(self, entry: Entry) -> None:
        if self._listener is not None:
            self._listener.on_put(entry)


def size_bytes(entry: Entry) -> int:
    """Estimate the bytes that an entry takes."""
    rows = 0 if isinstance(entry, Absence) else len(entry.balances)
    return _ENTRY_BYTES + rows * _ROW_BYTES
