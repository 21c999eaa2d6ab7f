"""Snapshots: the content of one upstream answer, and when it arrived."""

from collections.abc import Iterable
from enum import StrEnum
from typing import Annotated, Final, NewType

from msgspec import UNSET, Meta, Struct, UnsetType, field

from app.balances.amounts import ZERO, CheckedAmount, check_amounts
from app.errors import UnknownAsset

AccountId = NewType("AccountId", str)
"""Whose balances: a merchant id in digits, or `AGGREGATE`."""

AGGREGATE: Final = AccountId("0")
"""The upstream's own name for all merchants together (`merchantId=0`)."""

AssetId = Annotated[str, Meta(min_length=1, max_length=64)]


class AnomalyKind(StrEnum):
    """What is odd about a row. It is reported, never corrected."""

    TOTAL_MISMATCH = "total-mismatch"
    NEGATIVE_AMOUNT = "negative-amount"
    DUPLICATE_ASSET = "duplicate-asset"


class Anomaly(Struct, frozen=True, gc=False, rename="camel", omit_defaults=True):
    """An anomaly of one asset's row. `rows` is how many rows of a duplicate asset were added."""

    asset_id: AssetId
    kind: AnomalyKind
    rows: int | UnsetType = UNSET


class Row(Struct, frozen=True, gc=False, rename="camel"):
    """The balance of one asset. Raises `ValueError` for amounts that are not canonical, also when decoded."""

    asset_id: AssetId
    asset: str
    asset_name: str
    total: CheckedAmount
    free: CheckedAmount
    locked: CheckedAmount

    def __post_init__(self) -> None:
        check_amounts(self.total, self.free, self.locked)

    @property
    def is_zero(self) -> bool:
        """Whether total, free and locked are all zero."""
        return self.total == self.free == self.locked == ZERO


class Snapshot(Struct, frozen=True, gc=False, rename="camel", tag="balances"):
    """An account's balances by the upstream. `as_of` is when its answer had arrived, in Unix milliseconds.

    Rows are sorted by `asset_id`, one for each asset.
    """

    account_id: AccountId = field(name="key")  # the name that entries in Redis have
    as_of: int
    can_deposit: bool
    balances: tuple[Row, ...]
    anomalies: tuple[Anomaly, ...] = ()

    def row(self, asset_id: str) -> Row:
        """Return the row of an asset. Raises `UnknownAsset` if none is listed, which does not mean zero."""
        row = find_row(self.balances, asset_id)
        if row is None:
            raise UnknownAsset("The account lists no such asset.")
        return row


class Absence(Struct, frozen=True, gc=False, rename="camel", tag="absent"):
    """The upstream's answer that there is no such merchant, and when it arrived (Unix milliseconds)."""

    account_id: AccountId = field(name="key")  # the name that entries in Redis have
    as_of: int


Entry = Snapshot | Absence
"""What can be known about an account."""


def find_row(rows: Iterable[Row], asset_id: str) -> Row | None:
    """Return the row of an asset, or None. An unlisted asset does not mean a balance of zero."""
    return next((row for row in rows if row.asset_id == asset_id), None)
