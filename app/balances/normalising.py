"""From the upstream's rows to a snapshot: checked, in canonical form, oddities flagged."""

import sys
from collections.abc import Iterable
from itertools import groupby
from typing import Final

import msgspec

from app.balances.amounts import Amount, add_amounts, adds_up, is_negative, parse_amount
from app.balances.snapshots import Anomaly, AnomalyKind, AssetId, Key, Row, Snapshot


class _WireRow(msgspec.Struct, rename="camel"):
    """A row as the upstream's document has it."""

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


def normalise(key: Key, data: object, as_of: int) -> Snapshot:
    """Make a snapshot of the decoded `data` of a balances answer that arrived at `as_of` (Unix milliseconds).

    Raises `ValueError`, naming the field and never its value, where the data is not as the document says. Fields that
    the document does not know are passed over: `unknown_fields` counts them.
    """
    try:
        account = msgspec.convert(data, _WireAccount)
    except msgspec.ValidationError as error:
        raise ValueError(str(error)) from None
    rows = sorted(map(_read_row, account.balances, range(len(account.balances))), key=_asset_id)
    by_asset = [list(same) for _, same in groupby(rows, key=_asset_id)]
    return Snapshot(
        key=key,
        as_of=as_of,
        can_deposit=account.can_deposit,
        balances=tuple(map(_merge, by_asset)),
        anomalies=tuple(anomaly for same in by_asset for anomaly in _find_anomalies(same)),
    )


def unknown_fields(data: object) -> frozenset[str]:
    """Name the fields of a balances answer that its document does not know."""
    if not isinstance(data, dict):
        return frozenset()
    rows = data.get("balances")
    of_rows = (row.keys() - _ROW_FIELDS for row in (rows if isinstance(rows, list) else ()) if isinstance(row, dict))
    return frozenset(data.keys() - _ACCOUNT_FIELDS).union(*of_rows)


def _asset_id(row: Row) -> str:
    return row.asset_id


def _read_row(wire: _WireRow, index: int) -> Row:
    return Row(
        asset_id=_read_name(wire, "asset_id", index),
        asset=_read_name(wire, "asset", index),
        asset_name=_read_name(wire, "asset_name", index),
        total=_read_amount(wire, "total", index),
        free=_read_amount(wire, "free", index),
        locked=_read_amount(wire, "locked", index),
    )


def _read_name(wire: _WireRow, field: str, index: int) -> str:
    """Take a name that can be written as UTF-8 again; the few names there are share their memory."""
    name: str = getattr(wire, field)
    if not name.isascii():
        try:
            name.encode()
        except UnicodeEncodeError:
            raise ValueError(f"half a surrogate pair in {field} - at `$.balances[{index}]`") from None
    return sys.intern(name)


def _read_amount(wire: _WireRow, field: str, index: int) -> Amount:
    try:
        return parse_amount(getattr(wire, field))
    except ValueError as error:
        raise ValueError(f"{error} - at `$.balances[{index}].{field}`") from None


def _merge(same: list[Row]) -> Row:
    """Add up the rows of one asset."""
    first = same[0]
    if len(same) == 1:
        return first
    sums = {field: add_amounts(getattr(row, field) for row in same) for field in ("total", "free", "locked")}
    return msgspec.structs.replace(first, **sums)


def _find_anomalies(same: list[Row]) -> Iterable[Anomaly]:
    """Look at the rows as they came: in a sum of doubled rows, oddities could cancel out."""
    asset_id = same[0].asset_id
    if len(same) > 1:
        yield Anomaly(asset_id, AnomalyKind.DUPLICATE_ASSET, len(same))
    if any(is_negative(row.total) or is_negative(row.free) or is_negative(row.locked) for row in same):
        yield Anomaly(asset_id, AnomalyKind.NEGATIVE_AMOUNT)
    if not all(adds_up(row.free, row.locked, row.total) for row in same):
        yield Anomaly(asset_id, AnomalyKind.TOTAL_MISMATCH)
