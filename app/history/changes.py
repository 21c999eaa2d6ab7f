"""Changes: what differs between two neighbouring states of an account. Pure."""

from collections.abc import Iterator

from msgspec import Struct

from app.balances.amounts import ZERO, Amount, add_amounts, is_negative
from app.balances.snapshots import Row
from app.history.states import Content, State


class RowChange(Struct, frozen=True):
    """A row before and after a change: one of them is None where it came or went, which is no change from or to zero."""

    before: Row | None
    after: Row | None

    @property
    def row(self) -> Row:
        """The row that names the asset."""
        row = self.after or self.before
        if row is None:
            raise ValueError("a change of no row")
        return row

    def differences(self) -> tuple[Amount, Amount, Amount] | None:
        """Return what was added to total, free and locked, exactly; None where the row came or went."""
        if self.before is None or self.after is None:
            return None
        return (
            subtract(self.after.total, self.before.total),
            subtract(self.after.free, self.before.free),
            subtract(self.after.locked, self.before.locked),
        )


class Change(Struct, frozen=True):
    """A state, and the one before it; None for the first one of an epoch, which is no change."""

    before: State | None
    after: State

    def rows(self) -> Iterator[RowChange]:
        """Return the rows that differ, by asset."""
        if self.before is None:
            return
        before, after = _by_asset(self.before.content), _by_asset(self.after.content)
        for asset_id in sorted(before.keys() | after.keys()):
            if before.get(asset_id) != after.get(asset_id):
                yield RowChange(before.get(asset_id), after.get(asset_id))

    def can_deposit(self) -> tuple[bool | None, bool | None] | None:
        """Return whether deposits were possible before and after, None for an absent merchant, if that differs."""
        if self.before is None:
            return None
        before, after = _can_deposit(self.before.content), _can_deposit(self.after.content)
        return None if before == after else (before, after)


def subtract(one: Amount, other: Amount) -> Amount:
    """Subtract exactly."""
    return add_amounts((one, _negate(other)))


def _can_deposit(content: Content | None) -> bool | None:
    return None if content is None else content.can_deposit


def _negate(amount: Amount) -> Amount:
    if amount == ZERO:
        return amount
    return Amount(amount[1:] if is_negative(amount) else f"-{amount}")


def _by_asset(content: Content | None) -> dict[str, Row]:
    return {} if content is None else {row.asset_id: row for row in content.balances}
