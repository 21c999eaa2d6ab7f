"""Views of one account: JSON in camelCase, amounts as strings, times in RFC 3339."""

from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache
from typing import Annotated, Self

from msgspec import UNSET, Meta, Struct, UnsetType

from app.balances.amounts import CanonicalAmount
from app.balances.snapshots import Anomaly, AnomalyKind, Row, Snapshot

MerchantId = Annotated[int, Meta(ge=0, description="The merchant, as the upstream numbers it; 0 for all together.")]
Time = Annotated[str, Meta(description="RFC 3339, UTC, milliseconds.", examples=["2026-11-23T10:00:00.123Z"])]

RowFilter = Callable[[Row], bool]
"""Whether a row is shown."""


class AccountView(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """The balances of a merchant, or of all together, at one point in time."""

    merchant_id: MerchantId
    can_deposit: bool
    as_of: Time | UnsetType = UNSET
    balances: tuple[Row, ...]
    anomalies: tuple[Anomaly, ...] | UnsetType = UNSET

    @classmethod
    def of(cls, snapshot: Snapshot, keep: RowFilter | None) -> Self:
        """Show a snapshot with the rows to keep, None for all, and their anomalies."""
        rows, anomalies = select_rows(snapshot, keep)
        return cls(
            merchant_id=int(snapshot.account_id),
            can_deposit=snapshot.can_deposit,
            as_of=format_time(snapshot.as_of),
            balances=rows,
            anomalies=anomalies or UNSET,
        )


class AssetView(Struct, frozen=True, kw_only=True, rename="camel"):
    """One asset of an account at one point in time."""

    merchant_id: MerchantId
    as_of: Time | UnsetType = UNSET
    asset_id: str
    asset: str
    asset_name: str
    total: CanonicalAmount
    free: CanonicalAmount
    locked: CanonicalAmount

    @classmethod
    def of(cls, snapshot: Snapshot, row: Row) -> Self:
        """Show one row of a snapshot."""
        return cls(
            merchant_id=int(snapshot.account_id),
            as_of=format_time(snapshot.as_of),
            asset_id=row.asset_id,
            asset=row.asset,
            asset_name=row.asset_name,
            total=row.total,
            free=row.free,
            locked=row.locked,
        )


class UpstreamRow(Struct, frozen=True, rename="camel"):
    """A row in the upstream's own shape."""

    asset: str
    asset_id: str
    asset_name: str
    total: CanonicalAmount
    free: CanonicalAmount
    locked: CanonicalAmount


class UpstreamAccount(Struct, frozen=True, rename="camel", omit_defaults=True):
    """The `data` of the upstream's own shape. `anomalies` is ours: it reports rows that were left out."""

    can_deposit: bool
    balances: tuple[UpstreamRow, ...]
    anomalies: tuple[Anomaly, ...] | UnsetType = UNSET


class UpstreamEnvelope(Struct, frozen=True):
    """The upstream's own answer shape, for programs written for it; `code` is 200 for success, anything else an error."""

    code: int
    msg: str
    data: UpstreamAccount | None

    @classmethod
    def of(cls, snapshot: Snapshot) -> Self:
        """Show a snapshot as the upstream would."""
        rows = tuple(
            UpstreamRow(row.asset, row.asset_id, row.asset_name, row.total, row.free, row.locked)
            for row in snapshot.balances
        )
        _, anomalies = select_rows(snapshot, lambda _: False)
        return cls(200, "SUCCESS", UpstreamAccount(snapshot.can_deposit, rows, anomalies or UNSET))


View = AccountView | AssetView | UpstreamEnvelope


def select_rows(snapshot: Snapshot, keep: RowFilter | None) -> tuple[tuple[Row, ...], tuple[Anomaly, ...]]:
    """Return the rows to keep, None for all, their anomalies, and those of rows left out: any could be wanted."""
    if keep is None:
        return snapshot.balances, snapshot.anomalies
    rows = tuple(filter(keep, snapshot.balances))
    if not snapshot.anomalies:
        return rows, ()
    shown = {row.asset_id for row in rows}
    return rows, tuple(
        anomaly
        for anomaly in snapshot.anomalies
        if anomaly.asset_id in shown or anomaly.kind is AnomalyKind.UNREADABLE_ASSET
    )


def format_time(unix_ms: int) -> str:
    """Format Unix milliseconds as RFC 3339 in UTC."""
    seconds, milliseconds = divmod(unix_ms, 1000)
    return f"{_format_seconds(seconds)}.{milliseconds:03d}Z"


@lru_cache(maxsize=64)
def _format_seconds(seconds: int) -> str:
    """Format whole seconds, cached: snapshots shown together are from the same few seconds."""
    return datetime.fromtimestamp(seconds, UTC).replace(tzinfo=None).isoformat()
