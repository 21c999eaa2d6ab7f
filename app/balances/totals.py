"""Totals: the exact sum of snapshots by asset, updated as snapshots are added and removed."""

from collections import Counter
from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Final, Self

from msgspec import Struct, field

from app.balances.amounts import EXACT, CanonicalAmount, format_amount
from app.balances.snapshots import Row, Snapshot

_ZERO: Final = Decimal(0)


class Total(Struct, frozen=True, rename="camel"):
    """The sum of one asset, and how many merchants list it."""

    asset_id: str
    asset: str
    asset_name: str
    total: CanonicalAmount
    free: CanonicalAmount
    locked: CanonicalAmount
    merchants: int


class Totals:
    """Add and remove snapshots in any order.

    Raises `decimal.Inexact` instead of rounding. The time of a change is proportional to the rows of its snapshot.
    """

    def __init__(self, snapshots: Iterable[Snapshot] = ()) -> None:
        self._sums: dict[str, _Sum] = {}
        for snapshot in snapshots:
            self.add(snapshot)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Totals) and self._sums == other._sums

    __hash__ = None  # type: ignore[assignment]  # it changes

    def add(self, snapshot: Snapshot) -> None:
        """Add a snapshot."""
        for row in snapshot.balances:
            self._change(row, EXACT.add, 1)

    def remove(self, snapshot: Snapshot) -> None:
        """Remove a snapshot that was added."""
        for row in snapshot.balances:
            self._change(row, EXACT.subtract, -1)

    def copy(self) -> Self:
        """Return independent totals with the same sums."""
        twin = type(self)()
        twin._sums = {asset_id: each.copy() for asset_id, each in self._sums.items()}  # noqa: SLF001
        return twin

    def list(self) -> tuple[Total, ...]:
        """Return the sums, sorted by asset."""
        return tuple(self._sums[asset_id].tell(asset_id) for asset_id in sorted(self._sums))

    def _change(self, row: Row, operate: Callable[[Decimal, Decimal], Decimal], count: int) -> None:
        each = self._sums.get(row.asset_id)
        if each is None:
            each = self._sums[row.asset_id] = _Sum()
        each.change(row, operate, count)
        if each.is_empty:
            del self._sums[row.asset_id]


class _Sum(Struct):
    """One asset's sum, under the first of the names in its rows, which seldom differ."""

    total: Decimal = _ZERO
    free: Decimal = _ZERO
    locked: Decimal = _ZERO
    names: Counter[tuple[str, str]] = field(default_factory=Counter)

    def change(self, row: Row, operate: Callable[[Decimal, Decimal], Decimal], count: int) -> None:
        self.total = operate(self.total, Decimal(row.total))
        self.free = operate(self.free, Decimal(row.free))
        self.locked = operate(self.locked, Decimal(row.locked))
        name = (row.asset, row.asset_name)
        self.names[name] += count
        if not self.names[name]:
            del self.names[name]

    @property
    def is_empty(self) -> bool:
        return not self.names and not (self.total or self.free or self.locked)

    def copy(self) -> "_Sum":
        return _Sum(self.total, self.free, self.locked, self.names.copy())

    def tell(self, asset_id: str) -> Total:
        asset, asset_name = min(self.names, default=(asset_id, asset_id))
        total, free, locked = map(format_amount, (self.total, self.free, self.locked))
        return Total(asset_id, asset, asset_name, total, free, locked, self.names.total())
