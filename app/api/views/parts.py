"""Views of one merchant among many, and of the coverage of the whole."""

from collections.abc import Iterable, Sequence
from typing import Annotated, Literal, Self, TypeVar

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from app.accounts import AccountResult, Available, Unavailable
from app.api.views.accounts import RowFilter, Time, format_time, select_rows
from app.api.views.problems import Merchant, PartProblem
from app.balances.snapshots import Anomaly, Row

MerchantName = Annotated[
    str, Meta(description="In the breakdown and for holders, where the upstream's directory has one.")
]
DirectoryTime = Annotated[
    str,
    Meta(description="When the upstream listed the merchants, RFC 3339 in UTC; missing where they are configured."),
]
DirectoryStale = Annotated[
    bool, Meta(description="That list could not be read again in time: merchants that came since are not in it.")
]
Count = Annotated[int, Meta(ge=0)]
T = TypeVar("T", bound=Struct)


class Coverage(Struct, frozen=True, omit_defaults=True):
    """How many merchants there are, and of how many the balances are known."""

    expected: Count
    fresh: Count
    stale: Count
    unavailable: Count
    partial: Annotated[int, Meta(ge=0, description="Of the known ones, how many lack a row: see `anomalies`.")] = 0

    @classmethod
    def of(cls, parts: Sequence[AccountResult]) -> Self:
        """Count the parts."""
        missing = sum(isinstance(part, Unavailable) for part in parts)
        stale = sum(isinstance(part, Available) and part.served.is_stale for part in parts)
        partial = sum(isinstance(part, Available) and not part.snapshot.is_whole for part in parts)
        return cls(len(parts), len(parts) - missing - stale, stale, missing, partial)


class PartView(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """One merchant: its balances if they are known, or the problem that says why they are not."""

    merchant_id: Merchant
    merchant_name: MerchantName | UnsetType = UNSET
    status: Literal["fresh", "stale", "unavailable"]
    can_deposit: bool | UnsetType = UNSET
    as_of: Time | UnsetType = UNSET
    balances: tuple[Row, ...] | UnsetType = UNSET
    anomalies: tuple[Anomaly, ...] | UnsetType = UNSET
    problem: PartProblem | UnsetType = UNSET

    @classmethod
    def of(cls, part: AccountResult, keep: RowFilter | None = None, *, name: str | None = None) -> Self:
        """Show a part with the rows to keep and their anomalies; all of them without `keep`."""
        merchant_name = UNSET if name is None else name
        if isinstance(part, Unavailable):
            return cls(
                merchant_id=int(part.account_id),
                merchant_name=merchant_name,
                status="unavailable",
                problem=PartProblem.of(part.error),
            )
        snapshot = part.snapshot
        rows, anomalies = snapshot.balances, snapshot.anomalies
        if keep is not None:
            rows, anomalies = select_rows(snapshot, keep)
        return cls(
            merchant_id=int(snapshot.account_id),
            merchant_name=merchant_name,
            status="stale" if part.served.is_stale else "fresh",
            can_deposit=snapshot.can_deposit,
            as_of=format_time(snapshot.as_of),
            balances=rows,
            anomalies=anomalies or UNSET,
        )


def oldest(parts: Iterable[AccountResult]) -> int | None:
    """Return the time of the oldest available part (Unix milliseconds), if there is one."""
    return min((part.snapshot.as_of for part in parts if isinstance(part, Available)), default=None)


def as_of_range(parts: Iterable[AccountResult]) -> tuple[Time | UnsetType, Time | UnsetType]:
    """Return the times of the oldest and the newest available part, if there are any."""
    times = [part.snapshot.as_of for part in parts if isinstance(part, Available)]
    return (format_time(min(times)), format_time(max(times))) if times else (UNSET, UNSET)


def format_known(unix_ms: int | None) -> Time | UnsetType:
    """Format a time, if it is known."""
    return UNSET if unix_ms is None else format_time(unix_ms)


def without_times(items: Iterable[T]) -> tuple[T, ...]:
    """Return items without their `as_of`, for an entity tag that an unchanged balance keeps."""
    return tuple(msgspec.structs.replace(item, as_of=UNSET) for item in items)
