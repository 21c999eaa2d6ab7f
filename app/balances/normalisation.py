"""Normalisation of the upstream's rows to a snapshot: checked, canonical, anomalies flagged."""

from collections import Counter
from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import groupby
from operator import attrgetter
from sys import intern
from typing import Any, Final

import msgspec
from msgspec import UNSET, UnsetType

from app.balances.amounts import Amount, add_amounts, adds_up, is_negative, parse_amount, parse_plain
from app.balances.snapshots import (
    MAX_NAME_CHARACTERS,
    AccountId,
    Anomaly,
    AnomalyKind,
    AssetId,
    AssetName,
    Row,
    Snapshot,
)
from app.decoding import Undecodable, convert


class PlainRow(msgspec.Struct, frozen=True, rename="camel", gc=False):
    """A row as the upstream documents it, each amount as text."""

    asset: AssetName
    asset_id: AssetId
    asset_name: AssetName
    total: str
    free: str
    locked: str


class PlainAccount(msgspec.Struct, rename="camel", gc=False):
    """The `data` of a balances answer, as documented."""

    can_deposit: bool
    balances: list[PlainRow]


class _WireRow(msgspec.Struct, rename="camel"):
    """A row as the upstream documents it, or with amounts as integers."""

    asset: AssetName
    asset_id: AssetId
    asset_name: AssetName
    total: str | int
    free: str | int
    locked: str | int


class _WireAccount(msgspec.Struct, rename="camel"):
    """The `data` of a balances answer."""

    can_deposit: bool
    balances: list[_WireRow]


class _OddRow(msgspec.Struct, rename="camel"):
    """A row whose names may be anything."""

    asset: Any
    asset_id: Any
    asset_name: Any
    total: str | int
    free: str | int
    locked: str | int


class _OddAccount(msgspec.Struct, rename="camel"):
    """The `data` of a balances answer that has such rows."""

    can_deposit: bool
    balances: list[_OddRow]


class _UnreadableName(Exception):
    """A name is no text."""


class _NotPlain(Exception):
    """A row has an anomaly, or an amount that `parse_plain` does not take."""


_ACCOUNT_FIELDS: Final = frozenset(_WireAccount.__struct_encode_fields__)
_ROW_FIELDS: Final = frozenset(_WireRow.__struct_encode_fields__)
_AMOUNTS: Final = ("total", "free", "locked")
_asset_id: Final = attrgetter("asset_id")

_KNOWN_ROWS: Final = 8192
"""How many rows are not read again while they come as they were. They take some 6 MB."""


def normalise(key: AccountId, data: object, as_of: int) -> Snapshot:
    """Make a snapshot of the decoded `data` of a balances answer that arrived at `as_of` (Unix milliseconds).

    A row with an unreadable name is left out, and an anomaly reports it. Raises `ValueError`, naming the field and never
    its value, if anything else is not as documented. Undocumented fields are ignored: `unknown_fields` names them.
    """
    account: _WireAccount | _OddAccount
    unreadable: list[Anomaly] = []
    try:
        account = convert(data, _WireAccount)
        rows = list(map(_read_row, account.balances, range(len(account.balances))))
    except (Undecodable, _UnreadableName):
        account = convert(data, _OddAccount)
        rows, unreadable = _read_odd_rows(account.balances)
    return _make_snapshot(key, as_of, rows, unreadable, can_deposit=account.can_deposit)


def normalise_plain(key: AccountId, account: PlainAccount, as_of: int) -> Snapshot:
    """Make the snapshot that `normalise` makes of the same `data`. Raises as it does."""
    try:
        rows, are_sound = list(map(_read_plain_row, account.balances)), True
    except _NotPlain:
        rows, are_sound = list(map(_read_row, account.balances, range(len(account.balances)))), False
    return _make_snapshot(key, as_of, rows, (), can_deposit=account.can_deposit, are_sound=are_sound)


def _make_snapshot(
    key: AccountId,
    as_of: int,
    rows: list[Row],
    unreadable: Iterable[Anomaly],
    *,
    can_deposit: bool,
    are_sound: bool = False,
) -> Snapshot:
    """Merge, sort and flag rows. `are_sound` says that none has an anomaly by itself, as far as is known."""
    rows.sort(key=_asset_id)
    is_each_once = len({row.asset_id for row in rows}) == len(rows)  # as it mostly is
    if is_each_once and not unreadable and (are_sound or all(map(_is_sound, rows))):
        return Snapshot(key, as_of, can_deposit, tuple(rows))
    by_asset = [list(same) for _, same in groupby(rows, key=_asset_id)]
    return Snapshot(
        account_id=key,
        as_of=as_of,
        can_deposit=can_deposit,
        balances=tuple(same[0] if len(same) == 1 else _merge(same) for same in by_asset),
        anomalies=(*_find_anomalies(by_asset), *unreadable),
    )


def unknown_fields(data: object) -> frozenset[str]:
    """Return the undocumented fields of a balances answer."""
    if not isinstance(data, dict):
        return frozenset()
    rows = data.get("balances")
    of_rows = (row.keys() - _ROW_FIELDS for row in (rows if isinstance(rows, list) else ()) if isinstance(row, dict))
    return frozenset(data.keys() - _ACCOUNT_FIELDS).union(*of_rows)


@lru_cache(_KNOWN_ROWS)
def _read_plain_row(wire: PlainRow) -> Row:
    """Read a row, or return it as it was read before: most have not changed since, and empty ones are alike everywhere.

    Raises `_NotPlain` for a row that is not kept. So what is kept has short texts only.
    """
    amounts = parse_plain(wire.total, wire.free, wire.locked)
    if amounts is None or not _is_sound(row := _make_row(wire, amounts)):
        raise _NotPlain
    return row


def _read_row(wire: PlainRow | _WireRow | _OddRow, index: int) -> Row:
    return _make_row(wire, parse_plain(wire.total, wire.free, wire.locked) or _read_amounts(wire, index))


def _make_row(wire: PlainRow | _WireRow | _OddRow, amounts: Sequence[Amount]) -> Row:
    if not f"{wire.asset_id}{wire.asset}{wire.asset_name}".isascii() and not _has_names(wire):
        raise _UnreadableName
    return Row(
        intern(wire.asset_id),  # the few names there are share their memory
        intern(wire.asset),
        intern(wire.asset_name),
        *amounts,
    )


def _read_amounts(wire: PlainRow | _WireRow | _OddRow, index: int) -> Sequence[Amount]:
    return [_read_amount(wire, field, index) for field in _AMOUNTS]


def _read_amount(wire: PlainRow | _WireRow | _OddRow, field: str, index: int) -> Amount:
    try:
        return parse_amount(getattr(wire, field))
    except ValueError as error:
        raise ValueError(f"{error} - at `$.balances[{index}].{field}`") from None


def _read_odd_rows(wires: Iterable[_OddRow]) -> tuple[list[Row], list[Anomaly]]:
    """Read the rows that have names, and count the others by asset, as far as the id of that can be read."""
    rows: list[Row] = []
    unreadable: Counter[str | UnsetType] = Counter()
    for index, wire in enumerate(wires):
        if _has_names(wire):
            rows.append(_read_row(wire, index))
        else:
            _read_amounts(wire, index)
            unreadable[wire.asset_id if _is_name(wire.asset_id, 1) else UNSET] += 1
    kind = AnomalyKind.UNREADABLE_ASSET
    return rows, [Anomaly(asset_id=asset_id, kind=kind, rows=count) for asset_id, count in unreadable.items()]


def _has_names(wire: PlainRow | _WireRow | _OddRow) -> bool:
    return _is_name(wire.asset_id, 1) and _is_name(wire.asset, 0) and _is_name(wire.asset_name, 0)


def _is_name(value: object, least: int) -> bool:
    """Return whether a value is text of a bearable length that can be encoded as UTF-8."""
    if not isinstance(value, str) or not least <= len(value) <= MAX_NAME_CHARACTERS:
        return False
    try:
        value.encode()
    except UnicodeEncodeError:  # half a surrogate pair
        return False
    return True


def _is_sound(row: Row) -> bool:
    """Return whether a row that stands for its asset alone has no anomaly."""
    total, free, locked = row.total, row.free, row.locked
    return not ("-" in total or "-" in free or "-" in locked) and adds_up(free, locked, total)


def _merge(same: list[Row]) -> Row:
    """Merge the rows of one asset by addition."""
    sums = {field: add_amounts(getattr(row, field) for row in same) for field in _AMOUNTS}
    return msgspec.structs.replace(same[0], **sums)


def _find_anomalies(by_asset: Iterable[list[Row]]) -> Iterable[Anomaly]:
    """Find the anomalies of the original rows: in the sum of duplicates they could cancel out."""
    for same in by_asset:
        first = same[0]
        if len(same) > 1:
            yield Anomaly(asset_id=first.asset_id, kind=AnomalyKind.DUPLICATE_ASSET, rows=len(same))
        if any(is_negative(row.total) or is_negative(row.free) or is_negative(row.locked) for row in same):
            yield Anomaly(asset_id=first.asset_id, kind=AnomalyKind.NEGATIVE_AMOUNT)
        if not all(adds_up(row.free, row.locked, row.total) for row in same):
            yield Anomaly(asset_id=first.asset_id, kind=AnomalyKind.TOTAL_MISMATCH)
