"""Cells that tables of several views share: assets, amounts, anomalies, and parts of notes."""

from collections.abc import Sequence
from typing import Final, Protocol

from msgspec import UnsetType

from app.api.rendering.tables import ColumnKind
from app.balances.snapshots import Anomaly, AnomalyKind, Row
from app.balances.totals import Total

_PLAIN, _NAME, _NUMBER = ColumnKind


class HasAmounts(Protocol):
    """What has the three amounts of an asset."""

    @property
    def total(self) -> str:
        """All of it."""

    @property
    def free(self) -> str:
        """What can be used."""

    @property
    def locked(self) -> str:
        """What cannot."""


def columns(kind: ColumnKind, *names: str) -> dict[str, ColumnKind]:
    """Name columns of one kind."""
    return dict.fromkeys(names, kind)


AMOUNTS: Final = columns(_NUMBER, "total", "free", "locked")
ASSET: Final = {**columns(_NAME, "assetId", "asset", "assetName"), **AMOUNTS}
MERCHANT: Final = {"merchantId": _PLAIN, "merchantName": _NAME}
NO_ASSET: Final = ("",) * len(ASSET)
NO_AMOUNTS: Final = ("",) * len(AMOUNTS)


def balance_rows(balances: Sequence[Row], anomalies: Sequence[Anomaly]) -> list[tuple[str, ...]]:
    """Return the cells of each asset and its anomalies, or one row without an asset."""
    odd: dict[str, str] = {}
    unreadable: list[str] = []
    for anomaly in anomalies:
        asset_id = anomaly.asset_id or ""
        if anomaly.kind is AnomalyKind.UNREADABLE_ASSET:
            unreadable.append(asset_id)
        else:
            odd[asset_id] = f"{odd.get(asset_id, '')} {anomaly.kind}".lstrip()
    assets = [(*asset_cells(row), odd.get(row.asset_id, "")) for row in balances]
    assets += [(asset_id, *NO_ASSET[1:], AnomalyKind.UNREADABLE_ASSET) for asset_id in unreadable]
    return assets or [(*NO_ASSET, "")]


def asset_cells(row: Row | Total) -> tuple[str, ...]:
    """Return the names and the amounts of an asset."""
    return (row.asset_id, row.asset, row.asset_name, *amount_cells(row))


def amount_cells(amounts: HasAmounts | UnsetType) -> tuple[str, ...]:
    """Return three amounts, empty where there are none."""
    return NO_AMOUNTS if isinstance(amounts, UnsetType) else (amounts.total, amounts.free, amounts.locked)


def directory_note(as_of: str | UnsetType, *, is_stale: bool) -> list[str]:
    """State the age of the directory, and whether merchants may be missing from it."""
    if isinstance(as_of, UnsetType):
        return []
    doubt = ", and is stale: merchants may be missing" if is_stale else ""
    return [f"the directory is as of {as_of}{doubt}"]


def next_page_note(after: str | UnsetType) -> list[str]:
    """Name the cursor of the page that follows."""
    return [] if isinstance(after, UnsetType) else [f"more with after={after}"]


def text_of(value: str | bool | UnsetType) -> str:  # noqa: FBT001  # it is a value to show, not a switch
    """Write a value, empty for none."""
    match value:
        case UnsetType():
            return ""
        case bool():
            return str(value).lower()
        case _:
            return value
