"""The memory tier: the newest entry of each account_id, bounded in number and bytes, least recently used out first."""

from collections import OrderedDict
from typing import Final, Protocol

from msgspec import Struct

from app.balances.snapshots import Absence, AccountId, Entry

# What CPython takes for an entry and for each of its rows (`bench/memory.py` measures it).
_ENTRY_BYTES: Final = 520
_ROW_BYTES: Final = 310


class _Held(Struct, gc=False):
    entry: Entry
    size_bytes: int
    epoch: int


class Listener(Protocol):
    """Whoever wants to hear what memory holds."""

    def on_put(self, entry: Entry, /) -> None:
        """Hear of an entry that is kept from now on, instead of any other of its account_id."""

    def on_drop(self, account_id: AccountId, /) -> None:
        """Hear of a account_id of which nothing is kept any more."""


class MemoryTier:
    """Keep up to `capacity` entries of about `capacity_bytes` together. Each operation takes constant time.

    After `distrust`, entries stand aside until they are put again: something newer may have been missed. `listener`
    hears of each change.
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
        """Give the entry of a account_id if it is trusted, and note that it was used."""
        held = self._held.get(account_id)
        if held is None or held.epoch != self._epoch:
            return None
        self._held.move_to_end(account_id)
        return held.entry

    def is_current(self, entry: Entry) -> bool:
        """Tell whether this very entry is what `get` would give."""
        held = self._held.get(entry.account_id)
        return held is not None and held.entry is entry and held.epoch == self._epoch

    def peek(self, account_id: AccountId) -> Entry | None:
        """Give the entry of a account_id, trusted or not."""
        held = self._held.get(account_id)
        return None if held is None else held.entry

    def put(self, entry: Entry) -> Entry:
        """Take an entry unless a newer one is here; give the one that is kept, trusted from now on."""
        held = self._held.get(entry.account_id)
        if held is None:
            held = self._held[entry.account_id] = _Held(entry, size_bytes(entry), self._epoch)
            self.bytes += held.size_bytes
            self._notify(entry)
        elif held.entry.as_of < entry.as_of:
            self.bytes += (weight := size_bytes(entry)) - held.size_bytes
            held.entry, held.size_bytes = entry, weight
            self._notify(entry)
        held.epoch = self._epoch
        self._held.move_to_end(entry.account_id)
        self._shrink()
        return held.entry

    def forget(self, account_id: AccountId) -> None:
        """Keep nothing of a account_id."""
        held = self._held.pop(account_id, None)
        if held is not None:
            self._on_dropped(held)

    def distrust(self) -> None:
        """Trust no entry until it has been put again."""
        self._epoch += 1

    def _shrink(self) -> None:
        while len(self._held) > 1 and (len(self._held) > self._capacity or self.bytes > self._capacity_bytes):
            _, out = self._held.popitem(last=False)
            self._on_dropped(out)

    def _on_dropped(self, out: _Held) -> None:
        self.bytes -= out.size_bytes
        if self._listener is not None:
            self._listener.on_drop(out.entry.account_id)

    def _notify(self, entry: Entry) -> None:
        if self._listener is not None:
            self._listener.on_put(entry)


def size_bytes(entry: Entry) -> int:
    """Tell about how many bytes an entry takes."""
    rows = 0 if isinstance(entry, Absence) else len(entry.balances)
    return _ENTRY_BYTES + rows * _ROW_BYTES
