"""Snapshots: the content of one upstream answer, and when it arrived."""

from collections.abc import Iterable
from enum import StrEnum
from typing import Annotated, Final, NewType

from msgspec import UNSET, Meta, Struct, UnsetType, field
from msgspec.structs import force_setattr

from app.balances.amounts import ZERO, CheckedAmount, check_amounts
from app.errors import MalformedAnswer, UnknownAsset

AccountId = NewType("AccountId", str)
"""Whose balances: a merchant id in digits, or `AGGREGATE`."""

AGGREGATE: Final = AccountId("0")
"""The upstream's own name for all merchants together (`merchantId=0`)."""

StoredAccountId = Annotated[AccountId, Meta(pattern=r"\A(?:0|[1-9][0-9]{0,18})\Z")]
"""An `AccountId` that msgspec checks when it decodes what another replica wrote."""

UnixMs = Annotated[int, Meta(ge=0, le=253_402_300_799_999)]
"""A time in Unix milliseconds, at most the last one of the year 9999: later ones cannot be written as a date."""

MAX_NAME_CHARACTERS: Final = 256

Epoch = Annotated[str, Meta(pattern=r"\A[0-9]{1,20}-[0-9a-zA-Z_-]{1,8}\Z")]
Sequence = Annotated[int, Meta(ge=0, le=2**53)]

AssetId = Annotated[str, Meta(min_length=1, max_length=MAX_NAME_CHARACTERS)]
AssetName = Annotated[str, Meta(max_length=MAX_NAME_CHARACTERS)]


class AnomalyKind(StrEnum):
    """What is odd about a row. It is reported, never corrected."""

    TOTAL_MISMATCH = "total-mismatch"
    NEGATIVE_AMOUNT = "negative-amount"
    DUPLICATE_ASSET = "duplicate-asset"
    UNREADABLE_ASSET = "unreadable-asset"


class Anomaly(Struct, frozen=True, kw_only=True, gc=False, rename="camel", omit_defaults=True):
    """An anomaly of one asset's row.

    `rows` is how many rows of a duplicate asset were added, or left out because a name of theirs is unreadable. If that
    is the id, `asset_id` is unset.
    """

    asset_id: AssetId | UnsetType = UNSET
    kind: AnomalyKind
    rows: Annotated[int, Meta(ge=1)] | UnsetType = UNSET


class Row(Struct, frozen=True, gc=False, rename="camel"):
    """The balance of one asset. Raises `ValueError` for amounts that are not canonical, also when decoded."""

    asset_id: AssetId
    asset: AssetName
    asset_name: AssetName
    total: CheckedAmount
    free: CheckedAmount
    locked: CheckedAmount

    def __post_init__(self) -> None:
        check_amounts(self.total, self.free, self.locked)

    @property
    def is_zero(self) -> bool:
        """Whether total, free and locked are all zero."""
        return self.total == self.free == self.locked == ZERO


class _Numbered(Struct, frozen=True, gc=False, kw_only=True, rename="camel"):
    """What the history numbers: content number `sequence` of an account within an `epoch`, unset until it is recorded."""

    sequence: Sequence | UnsetType = UNSET
    epoch: Epoch | UnsetType = UNSET

    def number(self, epoch: str, sequence: int) -> None:
        """Number an entry once its look is recorded. It stays the object that memory and views know."""
        force_setattr(self, "sequence", sequence)
        force_setattr(self, "epoch", epoch)


class _Marked(_Numbered, frozen=True, gc=False, kw_only=True, rename="camel"):
    """What is known to be from before a move: `moved_at` (Unix ms) is never earlier than `as_of`, unset without a move."""

    moved_at: UnixMs | UnsetType = UNSET

    @property
    def is_moved(self) -> bool:
        """Whether the account has moved since this was read."""
        return self.moved_at is not UNSET


class Snapshot(_Marked, frozen=True, gc=False, rename="camel", tag="balances"):
    """An account's balances by the upstream. `as_of` is when its answer had arrived, in Unix milliseconds.

    Rows are sorted by `asset_id`, one for each asset.
    """

    account_id: StoredAccountId = field(name="key")  # the name that entries in Redis have
    as_of: UnixMs
    can_deposit: bool
    balances: tuple[Row, ...]
    anomalies: tuple[Anomaly, ...] = ()

    def row(self, asset_id: str) -> Row:
        """Return the row of an asset. Raises `UnknownAsset` if none is listed, which does not mean zero.

        Raises `MalformedAnswer` if one was left out.
        """
        row = find_row(self.balances, asset_id)
        if self.lacks(asset_id):
            raise MalformedAnswer("The upstream's row of this asset cannot be read.")
        if row is None:
            raise UnknownAsset("The account lists no such asset.")
        return row

    @property
    def is_whole(self) -> bool:
        """Whether no row was left out."""
        return not self.anomalies or all(one.kind is not AnomalyKind.UNREADABLE_ASSET for one in self.anomalies)

    def lacks(self, asset_id: str) -> bool:
        """Return whether a row of this asset was left out."""
        return any(one.kind is AnomalyKind.UNREADABLE_ASSET and one.asset_id == asset_id for one in self.anomalies)


class Absence(_Marked, frozen=True, gc=False, rename="camel", tag="absent"):
    """The upstream's answer that there is no such merchant, and when it arrived (Unix milliseconds)."""

    account_id: StoredAccountId = field(name="key")  # the name that entries in Redis have
    as_of: UnixMs


Entry = Snapshot | Absence
"""What can be known about an account."""


def find_row(rows: Iterable[Row], asset_id: str) -> Row | None:
    """Return the row of an asset, or None. An unlisted asset does not mean a balance of zero."""
    return next((row for row in rows if row.asset_id == asset_id), None)
