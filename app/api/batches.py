"""What callers see of many merchants at once: each with its own status, and how much of the whole there is."""

from collections.abc import Iterable, Mapping
from enum import StrEnum, auto
from math import ceil
from typing import Annotated, Self

from msgspec import UNSET, Meta, Struct, UnsetType

from app.api.problems import kind_of
from app.api.views import Keep, MerchantId, Time, format_time
from app.balances.snapshots import Anomaly, Key, Row
from app.cache.freshness import Policy, age_ms
from app.desk import Told
from app.errors import TallygateError


class Status(StrEnum):
    """How a part was come by: within the freshness lifetime, older, or not at all."""

    FRESH = auto()
    STALE = auto()
    UNAVAILABLE = auto()


class PartProblem(Struct, frozen=True, rename="camel", omit_defaults=True):
    """Why a part is not there (RFC 9457, as a member)."""

    type: Annotated[str, Meta(description="A path of this service that explains this kind of problem.")]
    title: str
    status: int
    detail: str
    retry_after: Annotated[int, Meta(ge=0, description="Seconds.")] | UnsetType = UNSET

    @classmethod
    def of(cls, error: TallygateError) -> Self:
        """Say what a single read of the part would have said."""
        kind = kind_of(error)
        retry_after = error.retry_after_seconds
        return cls(
            type=f"/problems/{kind.name}",
            title=kind.title,
            status=kind.status,
            detail=error.detail,
            retry_after=UNSET if retry_after is None else max(1, ceil(retry_after)),
        )


class PartView(Struct, frozen=True, rename="camel", omit_defaults=True):
    """One merchant's balances among those of many, or the problem that stands in their place."""

    merchant_id: MerchantId
    status: Status
    can_deposit: bool | UnsetType = UNSET
    as_of: Time | UnsetType = UNSET
    balances: tuple[Row, ...] | UnsetType = UNSET
    anomalies: tuple[Anomaly, ...] | UnsetType = UNSET
    problem: PartProblem | UnsetType = UNSET


class Coverage(Struct, frozen=True):
    """How many parts there should be, and how they were come by."""

    expected: int
    fresh: int
    stale: int
    unavailable: int

    @classmethod
    def of(cls, statuses: Iterable[Status]) -> Self:
        """Count."""
        listed = list(statuses)
        counts = {status.value: listed.count(status) for status in Status}
        return cls(expected=len(listed), **counts)


class BatchView(Struct, frozen=True, rename="camel", omit_defaults=True):
    """The balances of many merchants, in the order asked for; only if `complete` is every one of them there."""

    complete: bool
    coverage: Coverage
    merchants: tuple[PartView, ...]
    oldest_as_of: Time | UnsetType = UNSET
    newest_as_of: Time | UnsetType = UNSET

    @classmethod
    def of(cls, told: Mapping[Key, Told | TallygateError], keep: Keep, policy: Policy, now: int) -> Self:
        """Show what was told at `now` (Unix milliseconds), and of each part the rows to keep."""
        parts = tuple(_part(key, part, keep, policy, now) for key, part in told.items())
        times = [part.snapshot.as_of for part in told.values() if isinstance(part, Told)]
        return cls(
            complete=len(times) == len(parts),
            coverage=Coverage.of(part.status for part in parts),
            oldest_as_of=format_time(min(times)) if times else UNSET,
            newest_as_of=format_time(max(times)) if times else UNSET,
            merchants=parts,
        )

    def timeless(self) -> "BatchView":
        """Give what it says, whenever it was said."""
        return BatchView(
            complete=self.complete,
            coverage=self.coverage,
            merchants=tuple(_timeless(part) for part in self.merchants),
        )


def _part(key: Key, part: Told | TallygateError, keep: Keep, policy: Policy, now: int) -> PartView:
    if isinstance(part, TallygateError):
        return PartView(int(key), Status.UNAVAILABLE, problem=PartProblem.of(part))
    snapshot = part.snapshot
    is_fresh = part.served.instead_of is None and age_ms(snapshot, now) <= policy.fresh_ms
    rows = tuple(filter(keep, snapshot.balances))
    shown = {row.asset_id for row in rows} if snapshot.anomalies else ()
    anomalies = tuple(anomaly for anomaly in snapshot.anomalies if anomaly.asset_id in shown)
    return PartView(
        int(key),
        Status.FRESH if is_fresh else Status.STALE,
        snapshot.can_deposit,
        format_time(snapshot.as_of),
        rows,
        anomalies or UNSET,
    )


def _timeless(part: PartView) -> PartView:
    return PartView(part.merchant_id, part.status, part.can_deposit, UNSET, part.balances, part.anomalies, part.problem)
