"""The past, and what changed in it: as looks of the gateway found it."""

from datetime import datetime
from typing import Literal

from msgspec import Struct, field

from tallygate_client.models import Anomaly, Balance, PartProblem, Sums, Total


class Held(Struct, frozen=True, rename="camel"):
    """How long a content held: from the arrival of its first look to the question of its last one."""

    from_: datetime = field(name="from")
    confirmed_until: datetime
    changed_by: datetime | None = None


class Between(Struct, frozen=True):
    """Two looks: a change happened after the first and before or at the second."""

    until: datetime
    after: datetime | None = None


class RowChange(Struct, frozen=True, rename="camel"):
    """What changed of an asset. Not listed is unknown, not zero: such a row has no `change`."""

    asset_id: str
    asset: str
    asset_name: str
    before: Sums | None = None
    after: Sums | None = None
    change: Sums | None = None


class Change(Struct, frozen=True, rename="camel"):
    """Two neighbouring looks with different content. `epoch` and `sequence` identify it within its merchant."""

    sequence: int
    observed_between: Between
    rows: tuple[RowChange, ...]
    merchant_id: int | None = None
    epoch: str | None = None
    first: bool = False
    absent: bool = False
    can_deposit_before: bool | None = None
    can_deposit_after: bool | None = None


class Changes(Struct, frozen=True, rename="camel"):
    """A page of the changes of one account, the oldest first."""

    merchant_id: int
    epoch: str
    kept_from: str
    changes: tuple[Change, ...]
    next: str | None = None


class Feed(Struct, frozen=True, rename="camel"):
    """A page of the feed. Without `complete`, changes before it are lost."""

    epoch: str
    kept_from: str
    complete: bool
    changes: tuple[Change, ...]
    next: str


class Known(Struct, frozen=True, rename="camel", kw_only=True):
    """A content of the past. `as_of` is the first of the `looks` that found it."""

    merchant_id: int
    as_of: datetime
    holds: Held
    looks: int
    longest_gap_seconds: float
    sequence: int
    epoch: str
    can_deposit: bool
    balances: tuple[Balance, ...]
    anomalies: tuple[Anomaly, ...] = ()


class Past(Known, frozen=True, rename="camel", kw_only=True):
    """An account at a moment. `seen`: looks before and after found this. `between`: only looks before."""

    at: datetime
    certainty: Literal["seen", "between"]


class SeenPart(Known, frozen=True, rename="camel", kw_only=True, tag="seen", tag_field="certainty"):
    """A merchant at a moment: looks before and after found this."""

    merchant_name: str | None = None


class BetweenPart(Known, frozen=True, rename="camel", kw_only=True, tag="between", tag_field="certainty"):
    """A merchant at a moment: only looks before found this, and it may have changed."""

    merchant_name: str | None = None


class UnknownPart(Struct, frozen=True, rename="camel", tag="unavailable", tag_field="certainty"):
    """A merchant of which nothing is known at that moment."""

    merchant_id: int
    problem: PartProblem
    merchant_name: str | None = None


PastPart = SeenPart | BetweenPart | UnknownPart


class PastCoverage(Struct, frozen=True):
    """How many merchants a past view should have, and how certain they are."""

    expected: int
    seen: int
    between: int
    unavailable: int
    partial: int = 0


class PastBreakdown(Struct, frozen=True, rename="camel"):
    """A page of every merchant at a moment. `totals` is there only if all is seen, else `partial_totals`."""

    at: datetime
    complete: bool
    coverage: PastCoverage
    version: str | None = None
    directory_as_of: datetime | None = None
    directory_stale: bool = False
    merchants: tuple[PastPart, ...] = ()
    totals: tuple[Total, ...] | None = None
    partial_totals: tuple[Total, ...] | None = None
    next: str | None = None
