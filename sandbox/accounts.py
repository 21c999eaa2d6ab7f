"""Accounts: what one merchant, or all of them together, hold."""

from collections.abc import Mapping
from decimal import Decimal

import msgspec

from sandbox.amounts import EXACT, exact, plain

Row = Mapping[str, object]
"""One row of `balances`, as it will be sent. Any JSON object: the sandbox must be able to lie."""

AMOUNTS = ("total", "free", "locked")


class Account(msgspec.Struct, frozen=True):
    """Hold one account; never changed, only replaced, so what was rendered of it can be kept."""

    can_deposit: bool
    balances: tuple[Row, ...]


def row(asset: str, name: str, free: Decimal, locked: Decimal) -> Row:
    """Write a row whose total is exactly free + locked; every amount keeps the decimals it has."""
    return {"asset": asset, "assetId": asset, "assetName": name} | texts(free, locked)


def texts(free: Decimal, locked: Decimal) -> dict[str, object]:
    """Write the three amounts of a row."""
    return {"total": str(EXACT.add(free, locked)), "free": str(free), "locked": str(locked)}


class Aggregate:
    """Keep the sum of all accounts, by `assetId`, as they come and go.

    Rows stand in the order in which their assets were first seen. A row without `assetId`, or of which one amount is
    no decimal, takes part in no sum.
    """

    def __init__(self) -> None:
        self._sums: dict[str, _Sum] = {}

    def add(self, account: Account) -> None:
        """Count an account in."""
        for balance in account.balances:
            if (amounts := _summable(balance)) is not None:
                self._sum_of(balance).add(amounts, holders=1)

    def remove(self, account: Account) -> None:
        """Count an account out, exactly as it was counted in."""
        for balance in account.balances:
            if (amounts := _summable(balance)) is not None:
                self._sum_of(balance).add(tuple(map(EXACT.minus, amounts)), holders=-1)

    def disturb(self, asset: str, amount: Decimal) -> None:
        """Let an asset's total and free differ from the true sum by `amount`, until this is called again."""
        self._sum_of({"asset": asset, "assetId": asset, "assetName": asset}).discrepancy = amount

    def rows(self) -> tuple[Row, ...]:
        """Write the sums, without the assets that nobody holds."""
        return tuple(entry.row() for entry in self._sums.values() if entry.holders or entry.discrepancy)

    def _sum_of(self, balance: Row) -> "_Sum":
        return self._sums.setdefault(str(balance["assetId"]), _Sum(balance))


class _Sum:
    def __init__(self, first: Row) -> None:
        self._names = {name: first.get(name) for name in ("asset", "assetId", "assetName")}
        self._amounts = [Decimal(0)] * len(AMOUNTS)
        self.holders = 0
        self.discrepancy = Decimal(0)

    def add(self, amounts: tuple[Decimal, ...], *, holders: int) -> None:
        self._amounts = [EXACT.add(mine, more) for mine, more in zip(self._amounts, amounts, strict=True)]
        self.holders += holders

    def row(self) -> Row:
        total, free, locked = self._amounts
        disturbed = (EXACT.add(total, self.discrepancy), EXACT.add(free, self.discrepancy), locked)
        return self._names | dict(zip(AMOUNTS, map(plain, disturbed), strict=True))


def _summable(balance: Row) -> tuple[Decimal, ...] | None:
    amounts = tuple(amount for name in AMOUNTS if (amount := exact(balance.get(name))) is not None)
    return amounts if "assetId" in balance and len(amounts) == len(AMOUNTS) else None
