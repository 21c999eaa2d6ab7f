"""Normalisation of the upstream's rows to a snapshot: checked, canonical, anomalies flagged."""

from collections.abc import Iterable
from itertools import groupby
from operator import attrgetter
from sys import intern
from typing import Final

import msgspec

from app.balances.amounts import ZERO, Amount, add_amounts, adds_up, as_written, is_negative, parse_amount
from app.balances.snapshots import AccountId, Anomaly, AnomalyKind, AssetId, Row, Snapshot


class _WireRow(msgspec.Struct, rename="camel"):
    """A row as the upstream documents it."""

    asset: str
    asset_id: AssetId
    asset_name: str
    total: str | int
    free: str | int
    locked: str | int


class _WireAccount(msgspec.Struct, rename="camel"):
    """The `data` of a balances answer."""

    can_deposit: bool
    balances: list[_WireRow]


_ACCOUNT_FIELDS: Final = frozenset(_WireAccount.__struct_encode_fields__)
_ROW_FIELDS: Final = frozenset(_WireRow.__struct_encode_fields__)
_AMOUNTS: Final = ("total", "free", "locked")
_asset_id: Final = attrgetter("asset_id")


def normalise(key: AccountId, data: object, as_of: int) -> Snapshot:
    """Make a snapshot of the decoded `data` of a balances answer that arrived at `as_of` (Unix milliseconds).

    Raises `ValueError`, naming the field and never its value, if the data is not as documented. Undocumented fields are
    ignored: `unknown_fields` names them.
    """
    try:
        account = msgspec.convert(data, _WireAccount)
    except msgspec.ValidationError as error:
        raise ValueError(str(error)) from None
    rows = sorted(map(_read_row, account.balances, range(len(account.balances))), key=_asset_id)
    by_asset = [list(same) for _, same in groupby(rows, key=_asset_id)]
    return Snapshot(
        account_id=key,
        as_of=as_of,
        can_deposit=account.can_deposit,
        balances=tuple(same[0] if len(same) == 1 else _merge(same) for same in by_asset),
        anomalies=tuple(_find_anomalies(by_asset)),
    )


def unknown_fields(data: object) -> frozenset[str]:
    """Return the undocumented fields of a balances answer."""
    if not isinstance(data, dict):
        return frozenset()
    rows = data.get("balances")
    of_rows = (row.keys() - _ROW_FIELDS for row in (rows if isinstance(rows, list) else ()) if isinstance(row, dict))
    return frozenset(data.keys() - _ACCOUNT_FIELDS).union(*of_rows)


def _read_row(wire: _WireRow, index: int) -> Row:
    if not (wire.asset_id.isascii() and wire.asset.isascii() and wire.asset_name.isascii()):
        _check_names(wire, index)
    amounts = as_written(wire.total, wire.free, wire.locked)
    return Row(
        intern(wire.asset_id),  # the few names there are share their memory
        intern(wire.asset),
        intern(wire.asset_name),
        *(amounts or [_read_amount(wire, field, index) for field in _AMOUNTS]),
    )


def _check_names(wire: _WireRow, index: int) -> None:
    """Check that all names can be encoded as UTF-8."""
    for field in ("asset_id", "asset", "asset_name"):
        try:
            getattr(wire, field).encode()
        except UnicodeEncodeError:
            raise ValueError(f"half a surrogate pair in {field} - at `$.balances[{index}]`") from None


def _read_amount(wire: _WireRow, field: str, index: int) -> Amount:
    try:
        return parse_amount(getattr(wire, field))
    except ValueError as error:
        raise ValueError(f"{error} - at `$.balances[{index}].{field}`") from None


def _merge(same: list[Row]) -> Row:
    """Merge the rows of one asset by addition."""
    sums = {field: add_amounts(getattr(row, field) for row in same) for field in _AMOUNTS}
    return msgspec.structs.replace(same[0], **sums)


def _find_anomalies(by_asset: Iterable[list[Row]]) -> Iterable[Anomaly]:
    """Find the anomalies of the original rows: in the sum of duplicates they could cancel out."""
    for same in by_asset:
        first = same[0]
        if len(same) > 1:
            yield Anomaly(first.asset_id, AnomalyKind.DUPLICATE_ASSET, len(same))
        elif first.locked == ZERO and first.free == first.total and not is_negative(first.total):
            continue  # as it mostly is
        if any(is_negative(row.total) or is_negative(row.free) or is_negative(row.locked) for row in same):
            yield Anomaly(first.asset_id, AnomalyKind.NEGATIVE_AMOUNT)
        if not all(adds_up(row.free, row.locked, row.total) for row in same):
            yield Anomaly(first.asset_id, AnomalyKind.TOTAL_MISMATCH)
