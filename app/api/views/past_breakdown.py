"""Views of every merchant at a moment of the past."""

from collections.abc import Sequence
from typing import Annotated, Literal, Self

from msgspec import UNSET, Meta, Struct, UnsetType

from app.accounts import Unavailable
from app.api.views.accounts import Time, format_time
from app.api.views.history import Holds, Number, holds_of
from app.api.views.parts import Count, DirectoryStale, DirectoryTime, MerchantName, format_known
from app.api.views.portfolio import Cursor, VersionName
from app.api.views.problems import Merchant, PartProblem
from app.balances.snapshots import Anomaly, Row
from app.balances.totals import Total
from app.portfolio.past_parts import PastKnown, PastParts, PastResult


class PastCoverage(Struct, frozen=True, omit_defaults=True):
    """How many merchants there are, and how certain their balances at the moment are."""

    expected: Count
    seen: Count
    between: Count
    unavailable: Count
    partial: Annotated[int, Meta(ge=0, description="Of the known ones, how many lack a row: see `anomalies`.")] = 0

    @classmethod
    def of(cls, parts: Sequence[PastResult]) -> Self:
        """Count the parts."""
        known = [part for part in parts if isinstance(part, PastKnown)]
        seen = sum(part.past.is_seen for part in known)
        partial = sum(not part.snapshot.is_whole for part in known)
        return cls(len(parts), seen, len(known) - seen, len(parts) - len(known), partial)


class PastPartView(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """One merchant at a moment: what looks found, as in `?at=` of it alone, or the problem that says why nothing is known."""

    merchant_id: Merchant
    merchant_name: MerchantName | UnsetType = UNSET
    certainty: Literal["seen", "between", "unavailable"]
    as_of: Time | UnsetType = UNSET
    holds: Holds | UnsetType = UNSET
    looks: Annotated[int, Meta(ge=1)] | UnsetType = UNSET
    longest_gap_seconds: Annotated[float, Meta(ge=0)] | UnsetType = UNSET
    sequence: Number | UnsetType = UNSET
    epoch: str | UnsetType = UNSET
    can_deposit: bool | UnsetType = UNSET
    balances: tuple[Row, ...] | UnsetType = UNSET
    anomalies: tuple[Anomaly, ...] | UnsetType = UNSET
    problem: PartProblem | UnsetType = UNSET

    @classmethod
    def of(cls, part: PastResult, name: str | None) -> Self:
        """Show a part."""
        merchant_name = name or UNSET
        if isinstance(part, Unavailable):
            return cls(
                merchant_id=int(part.account_id),
                merchant_name=merchant_name,
                certainty="unavailable",
                problem=PartProblem.of(part.error),
            )
        snapshot, past = part.snapshot, part.past
        return cls(
            merchant_id=int(snapshot.account_id),
            merchant_name=merchant_name,
            certainty="seen" if past.is_seen else "between",
            as_of=format_time(snapshot.as_of),
            holds=holds_of(past),
            looks=past.looks.looks,
            longest_gap_seconds=past.looks.gap_ms / 1000,
            sequence=past.state.sequence,
            epoch=past.epoch,
            can_deposit=snapshot.can_deposit,
            balances=snapshot.balances,
            anomalies=snapshot.anomalies or UNSET,
        )


class PastBreakdownView(Struct, frozen=True, rename="camel", omit_defaults=True):
    """Every merchant of now at a moment of the past. `totals` is there only if all are `seen`, else `partialTotals`."""

    at: Time
    complete: bool
    coverage: PastCoverage
    directory_as_of: DirectoryTime | UnsetType = UNSET
    directory_stale: DirectoryStale = False
    version: VersionName | UnsetType = UNSET
    totals: tuple[Total, ...] | UnsetType = UNSET
    partial_totals: tuple[Total, ...] | UnsetType = UNSET
    merchants: tuple[PastPartView, ...] | UnsetType = UNSET
    next: Cursor | UnsetType = UNSET

    @classmethod
    def of(cls, parts: PastParts, at: int) -> Self:
        """Show what holds for all pages."""
        return cls(
            at=format_time(at),
            complete=parts.is_complete,
            coverage=PastCoverage.of(parts.parts),
            directory_as_of=format_known(parts.directory_as_of),
            directory_stale=parts.is_directory_stale,
            totals=parts.totals if parts.is_complete else UNSET,
            partial_totals=UNSET if parts.is_complete else parts.totals,
        )
