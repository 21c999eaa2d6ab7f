"""Views of the past: how an account was at a moment, what changed in it, and what changed in all of them."""

from typing import Annotated, Literal, Self

from msgspec import UNSET, Meta, Struct, UnsetType

from app.api.views.accounts import MerchantId, RowFilter, Time, format_time, select_rows
from app.balances.amounts import CanonicalAmount
from app.balances.snapshots import AccountId, Anomaly, Row, Snapshot
from app.history.changes import Change, RowChange
from app.history.following import FeedChange, Followed
from app.history.past import ChangesPage, PastState

KeptFrom = Annotated[str, Meta(description="Since when every change that looks found is kept.")]
Number = Annotated[int, Meta(ge=0, description="Of this content, counted within the account's epoch.")]
Next = Annotated[str, Meta(description="The `after` of what follows.")]
Holds = Annotated[dict[Literal["from", "confirmedUntil", "changedBy"], str], Meta(description="What looks found.")]


class PastView(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """The balances at a moment of the past, and how certain that is. `asOf` is the first look that found them."""

    merchant_id: MerchantId
    at: Time
    certainty: Annotated[
        Literal["seen", "between"],
        Meta(description="`seen`: looks before and after said so. `between`: the last look before said so."),
    ]
    as_of: Time
    holds: Holds
    looks: Annotated[int, Meta(ge=1, description="How many looks found this content.")]
    longest_gap_seconds: Annotated[float, Meta(ge=0, description="Between two of them.")]
    sequence: Number
    epoch: str
    can_deposit: bool
    balances: tuple[Row, ...]
    anomalies: tuple[Anomaly, ...] | UnsetType = UNSET

    @classmethod
    def of(cls, snapshot: Snapshot, past: PastState, at: int, keep: RowFilter | None) -> Self:
        """Show what is known of a moment (Unix ms)."""
        rows, anomalies = select_rows(snapshot, keep)
        return cls(
            merchant_id=int(snapshot.account_id),
            at=format_time(at),
            certainty="seen" if past.is_seen else "between",
            as_of=format_time(past.state.since),
            holds=holds_of(past),
            looks=past.looks.looks,
            longest_gap_seconds=past.looks.gap_ms / 1000,
            sequence=past.state.sequence,
            epoch=past.epoch,
            can_deposit=snapshot.can_deposit,
            balances=rows,
            anomalies=anomalies or UNSET,
        )


class Amounts(Struct, frozen=True):
    """Total, free and locked of an asset, or what was added to them."""

    total: CanonicalAmount
    free: CanonicalAmount
    locked: CanonicalAmount


class RowChangeView(Struct, frozen=True, rename="camel", omit_defaults=True):
    """A row that changed. One that came or went lacks `before` or `after`: not listed is unknown, not zero."""

    asset_id: str
    asset: str
    asset_name: str
    before: Amounts | UnsetType = UNSET
    after: Amounts | UnsetType = UNSET
    change: Amounts | UnsetType = UNSET

    @classmethod
    def of(cls, found: RowChange) -> Self:
        """Show a row."""
        row, differences = found.row, found.differences()
        return cls(
            row.asset_id,
            row.asset,
            row.asset_name,
            _amounts(found.before),
            _amounts(found.after),
            UNSET if differences is None else Amounts(*differences),
        )


class Between(Struct, frozen=True, omit_defaults=True):
    """When something changed: after the last look that found it unchanged was asked for, until the first that did not."""

    until: Time
    after: Time | UnsetType = UNSET


class ChangeView(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A change of one account, or the first look of its epoch. In the feed, `merchantId` names the account."""

    merchant_id: MerchantId | UnsetType = UNSET
    epoch: str | UnsetType = UNSET
    sequence: Number
    first: Annotated[bool, Meta(description="The first look of an epoch, which is no change.")] | UnsetType = UNSET
    observed_between: Between
    can_deposit_before: bool | UnsetType = UNSET
    can_deposit_after: bool | UnsetType = UNSET
    absent: Annotated[bool, Meta(description="The upstream knew no such merchant then.")] | UnsetType = UNSET
    rows: tuple[RowChangeView, ...]

    @classmethod
    def of(cls, change: Change, assets: frozenset[str] | None = None) -> Self:
        """Show a change, with the rows of some assets."""
        before, after = change.can_deposit() or (None, None)
        looks = change.after.before
        return cls(
            sequence=change.after.sequence,
            first=True if change.before is None else UNSET,
            observed_between=Between(
                format_time(change.after.since), UNSET if looks is None else format_time(looks.until)
            ),
            can_deposit_before=UNSET if before is None else before,
            can_deposit_after=UNSET if after is None else after,
            absent=True if change.after.content is None else UNSET,
            rows=tuple(RowChangeView.of(row) for row in change.rows() if assets is None or row.row.asset_id in assets),
        )

    @classmethod
    def of_feed(cls, found: FeedChange) -> Self:
        """Show a change in the feed."""
        shown = cls.of(found.change)
        names = {name: getattr(shown, name) for name in shown.__struct_fields__}
        return cls(**{**names, "merchant_id": int(found.account_id), "epoch": found.epoch})


class ChangesView(Struct, frozen=True, rename="camel", omit_defaults=True):
    """Changes of one account, oldest first."""

    merchant_id: MerchantId
    epoch: str
    kept_from: KeptFrom
    changes: tuple[ChangeView, ...]
    next: Next | UnsetType = UNSET

    @classmethod
    def of(cls, account_id: AccountId, page: ChangesPage, assets: frozenset[str] | None) -> Self:
        """Show a page of them."""
        shown = tuple(ChangeView.of(change, assets) for change in page.changes)
        return cls(int(account_id), page.epoch, format_time(page.kept_from), shown, page.next or UNSET)


class FeedView(Struct, frozen=True, rename="camel"):
    """The changes of all merchants that a caller reads, in the order recorded, each at least once."""

    epoch: str
    kept_from: KeptFrom
    complete: Annotated[bool, Meta(description="False if changes after the cursor before are not kept any more.")]
    changes: tuple[ChangeView, ...]
    next: Next

    @classmethod
    def of(cls, followed: Followed) -> Self:
        """Show a part of the feed."""
        shown = tuple(map(ChangeView.of_feed, followed.changes))
        return cls(followed.epoch, format_time(followed.kept_from), followed.is_complete, shown, followed.next)


def holds_of(past: PastState) -> Holds:
    """Show from when to when looks found a state, and when the first one found another."""
    holds: Holds = {"from": format_time(past.state.since), "confirmedUntil": format_time(past.looks.until)}
    if past.changed_by is not None:
        holds["changedBy"] = format_time(past.changed_by)
    return holds


def _amounts(row: Row | None) -> Amounts | UnsetType:
    return UNSET if row is None else Amounts(row.total, row.free, row.locked)
