"""Views of all merchants together: the breakdown, the holders of an asset, reconciliations."""

from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from app.api.views.accounts import Time, format_time
from app.api.views.parts import (
    Count,
    Coverage,
    DirectoryStale,
    DirectoryTime,
    MerchantName,
    PartView,
    as_of_range,
    format_known,
)
from app.api.views.problems import Merchant
from app.balances.amounts import CanonicalAmount
from app.balances.reconciliation import Finding, Sums, Verdict
from app.balances.shares import DECIMALS, NoShares
from app.balances.totals import Total
from app.portfolio.holders import Holder, Holders
from app.portfolio.parts import Parts
from app.portfolio.reconciler import Reconciliation, State
from app.portfolio.surveys import NAMED
from app.portfolio.sweep_figures import SweepState, SweepStatus

Cursor = Annotated[str, Meta(description="Send it as `after` for the page that follows, of the same version.")]
VersionName = Annotated[str, Meta(description="Pages of one version show one moment.")]


class SweepView(Struct, frozen=True, rename="camel"):
    """How far the fetching of all merchants is: `starved` means that the budget is too small for them."""

    state: SweepState
    seconds_to_whole: Annotated[int, Meta(ge=0, description="Until every merchant is known, about.")]
    seconds_to_round: Annotated[
        int,
        Meta(ge=0, description="What a round over all merchants takes, about, at the whole rate that is reached."),
    ]

    @classmethod
    def of(cls, status: SweepStatus) -> "SweepView":
        """Show how the sweep is."""
        return cls(status.state, status.seconds_to_whole, status.seconds_to_round)

    @property
    def header(self) -> tuple[str, str]:
        """The same as a header (a structured field, RFC 9651: an item with parameters)."""
        return "Sweep", f"{self.state}; whole={self.seconds_to_whole}; round={self.seconds_to_round}"


SweepMember = Annotated[SweepView, Meta(description="For callers who may read all merchants; so in the Sweep header.")]


class HolderView(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Who holds the asset, how much of it, and its share of the total."""

    merchant_id: Merchant
    merchant_name: MerchantName | UnsetType = UNSET
    status: Literal["fresh", "stale"]
    as_of: Time | UnsetType = UNSET
    total: CanonicalAmount
    free: CanonicalAmount
    locked: CanonicalAmount
    share: Annotated[CanonicalAmount, Meta(description=f"Of 1, to {DECIMALS} decimals.")] | UnsetType = UNSET

    @classmethod
    def of(cls, holder: Holder, *, name: str | None = None) -> "HolderView":
        """Show a holder."""
        row, snapshot = holder.row, holder.part.snapshot
        return cls(
            merchant_id=int(snapshot.account_id),
            merchant_name=UNSET if name is None else name,
            status="stale" if holder.part.served.is_stale else "fresh",
            as_of=format_time(snapshot.as_of),
            total=row.total,
            free=row.free,
            locked=row.locked,
            share=holder.share or UNSET,
        )


class BreakdownView(Struct, frozen=True, rename="camel", omit_defaults=True):
    """Every merchant that the caller may read. `totals` is there only if none is missing, else `partialTotals`."""

    complete: bool
    coverage: Coverage
    directory_as_of: DirectoryTime | UnsetType = UNSET
    directory_stale: DirectoryStale = False
    version: VersionName | UnsetType = UNSET
    oldest_as_of: Time | UnsetType = UNSET
    newest_as_of: Time | UnsetType = UNSET
    sweep: SweepMember | UnsetType = UNSET
    totals: tuple[Total, ...] | UnsetType = UNSET
    partial_totals: tuple[Total, ...] | UnsetType = UNSET
    merchants: tuple[PartView, ...] | UnsetType = UNSET
    next: Cursor | UnsetType = UNSET

    @classmethod
    def of(cls, parts: Parts) -> "BreakdownView":
        """Show what holds for all pages."""
        return cls(**_summarise(parts, "totals", parts.totals))


class HoldersView(Struct, frozen=True, rename="camel", omit_defaults=True):
    """Who holds an asset, the largest first. Shares sum to exactly 1, or `noShares` says why there are none.

    `total` is there only if no merchant is missing, else `partialTotal`.
    """

    asset_id: str
    complete: bool
    coverage: Coverage
    directory_as_of: DirectoryTime | UnsetType = UNSET
    directory_stale: DirectoryStale = False
    version: VersionName | UnsetType = UNSET
    oldest_as_of: Time | UnsetType = UNSET
    newest_as_of: Time | UnsetType = UNSET
    sweep: SweepMember | UnsetType = UNSET
    total: Total | UnsetType = UNSET
    partial_total: Total | UnsetType = UNSET
    no_shares: NoShares | UnsetType = UNSET
    holders: tuple[HolderView, ...] | UnsetType = UNSET
    next: Cursor | UnsetType = UNSET

    @classmethod
    def of(cls, asset_id: str, parts: Parts, holders: Holders) -> "HoldersView":
        """Show what holds for all pages."""
        summary = _summarise(parts, "total", holders.total or UNSET)
        return cls(asset_id=asset_id, no_shares=holders.no_shares or UNSET, **summary)


PagedView = BreakdownView | HoldersView


class ReconciliationView(Struct, frozen=True, rename="camel", omit_defaults=True):
    """A reconciliation: how far it has come, or by asset what was found."""

    id: str
    state: State
    started_at: Time
    look: Annotated[int, Meta(ge=0, description="A difference is looked at again before it is called a mismatch.")]
    expected: Count
    read: Count
    missing: Count
    missing_merchants: Annotated[tuple[Merchant, ...], Meta(description=f"The missing ones: the first {NAMED}.")] = ()
    finished_at: Time | UnsetType = UNSET
    detail: str | UnsetType = UNSET
    verdicts: dict[Verdict, int] | UnsetType = UNSET
    assets: tuple["FindingView", ...] | UnsetType = UNSET

    @classmethod
    def of(cls, job: Reconciliation) -> "ReconciliationView":
        """Show a job as it is."""
        done = job.findings is not UNSET
        return cls(
            id=job.id,
            state=job.state,
            started_at=format_time(job.started_at),
            look=job.look,
            expected=job.expected,
            read=job.read,
            missing=job.missing,
            missing_merchants=tuple(sorted(map(int, job.missing_merchants))),
            finished_at=UNSET if job.finished_at is UNSET else format_time(job.finished_at),
            detail=job.detail,
            verdicts=dict(job.verdicts) if done else UNSET,
            assets=tuple(map(FindingView.of, job.findings or ())) if done else UNSET,
        )


class FindingView(Struct, frozen=True, rename="camel", omit_defaults=True):
    """What was found of an asset: the difference is the aggregate less the sum, which is partial if merchants are missing."""

    asset_id: str
    verdict: Verdict
    difference: Sums | UnsetType = UNSET
    aggregate: Sums | UnsetType = UNSET
    sum: Sums | UnsetType = UNSET
    partial_sum: Sums | UnsetType = UNSET
    merchants: Count = 0

    @classmethod
    def of(cls, finding: Finding) -> "FindingView":
        """Show a finding: a sum that lacks parts is called so, and no difference is made of it."""
        complete = finding.verdict is not Verdict.INCOMPLETE
        return cls(
            asset_id=finding.asset_id,
            verdict=finding.verdict,
            aggregate=finding.aggregate,
            sum=finding.sum if complete else UNSET,
            partial_sum=UNSET if complete else finding.sum,
            difference=finding.difference if complete else UNSET,
            merchants=finding.merchants,
        )


def _summarise(parts: Parts, name: str, totals: Any) -> dict[str, Any]:
    """Return the fields that all pages share. Totals without a missing part have this name, others a partial one."""
    of_oldest, of_newest = as_of_range(parts.parts)
    return {
        "complete": parts.is_complete,
        "coverage": Coverage.of(parts.parts),
        "directory_as_of": format_known(parts.directory_as_of),
        "directory_stale": parts.is_directory_stale,
        "oldest_as_of": of_oldest,
        "newest_as_of": of_newest,
        name if parts.is_complete else f"partial_{name}": totals,
    }
