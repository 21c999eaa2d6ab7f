"""Reconciliation: whether the upstream's aggregate equals the sum of its merchants. Pure."""

from collections.abc import Iterable, Sequence
from decimal import Decimal
from enum import StrEnum
from typing import Final

from msgspec import UNSET, Struct, UnsetType

from app.balances.amounts import EXACT, ZERO, CanonicalAmount, format_amount
from app.balances.snapshots import Row, Snapshot, find_row
from app.balances.totals import Total


class Verdict(StrEnum):
    """What is found of an asset."""

    MATCH = "match"
    MOVING = "moving"
    MISMATCH = "mismatch"
    INCOMPLETE = "incomplete"


class Survey(Struct, frozen=True):
    """One survey: the aggregate before and after its merchants were read, their totals, and how many were missing."""

    before: Snapshot
    after: Snapshot
    totals: tuple[Total, ...]
    missing: int

    @property
    def is_whole(self) -> bool:
        """Whether every merchant and every row was read."""
        return not self.missing and self.before.is_whole and self.after.is_whole


class Sums(Struct, frozen=True, rename="camel"):
    """The three amounts of an asset."""

    total: CanonicalAmount
    free: CanonicalAmount
    locked: CanonicalAmount


class Finding(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """The comparison of an asset: `difference` is the aggregate less the sum.

    A side that does not list the asset has no amounts, which count as zero in the difference.
    """

    asset_id: str
    verdict: Verdict
    aggregate: Sums | UnsetType = UNSET
    sum: Sums | UnsetType = UNSET
    difference: Sums
    merchants: int = 0


_NOTHING: Final = Sums(ZERO, ZERO, ZERO)


def reconcile(looks: Sequence[Survey]) -> tuple[Finding, ...]:
    """Compare each asset, sorted by asset, by the last survey. Takes at least one survey, the earliest first.

    1. A merchant or a row is missing: `incomplete`, whatever the sums say.
    2. The aggregate changed while its merchants were read: `moving`.
    3. The sum is the aggregate: `match`.
    4. The survey before, complete and with a stable aggregate, found the same difference: `mismatch`.
    5. Otherwise the difference is not confirmed yet: `moving`.
    """
    last = looks[-1]
    return tuple(_find(looks, asset_id) for asset_id in _assets(last))


def needs_another_look(looks: Sequence[Survey]) -> bool:
    """Return whether a difference was found with a stable aggregate, and is not confirmed yet."""
    return any(
        _is_at_rest(looks[-1], asset_id)
        and _difference(looks[-1], asset_id) != _NOTHING
        and not _stands(looks, asset_id)
        for asset_id in _assets(looks[-1])
    )


def _find(looks: Sequence[Survey], asset_id: str) -> Finding:
    last = looks[-1]
    listed, summed = find_row(last.after.balances, asset_id), _find_total(last.totals, asset_id)
    return Finding(
        asset_id=asset_id,
        verdict=_judge(looks, asset_id),
        aggregate=_sums(listed) or UNSET,
        sum=_sums(summed) or UNSET,
        difference=_difference(last, asset_id),
        merchants=summed.merchants if summed else 0,
    )


def _judge(looks: Sequence[Survey], asset_id: str) -> Verdict:
    last = looks[-1]
    if not last.is_whole:
        return Verdict.INCOMPLETE
    if not _is_at_rest(last, asset_id):
        return Verdict.MOVING
    if _difference(last, asset_id) == _NOTHING:
        return Verdict.MATCH
    return Verdict.MISMATCH if _stands(looks, asset_id) else Verdict.MOVING


def _stands(looks: Sequence[Survey], asset_id: str) -> bool:
    """Return whether the last two surveys, both complete and stable, found the same difference."""
    if len(looks) < 2:  # noqa: PLR2004
        return False
    one, other = looks[-2:]
    at_rest = _is_at_rest(one, asset_id) and _is_at_rest(other, asset_id)
    return at_rest and _difference(one, asset_id) == _difference(other, asset_id)


def _is_at_rest(look: Survey, asset_id: str) -> bool:
    """Return whether a survey was complete, with the same aggregate before and after."""
    before, after = (_sums(find_row(read.balances, asset_id)) for read in (look.before, look.after))
    return look.is_whole and before == after


def _difference(look: Survey, asset_id: str) -> Sums:
    listed = _sums(find_row(look.after.balances, asset_id)) or _NOTHING
    summed = _sums(_find_total(look.totals, asset_id)) or _NOTHING
    return Sums(
        _subtract(listed.total, summed.total),
        _subtract(listed.free, summed.free),
        _subtract(listed.locked, summed.locked),
    )


def _subtract(one: CanonicalAmount, other: CanonicalAmount) -> CanonicalAmount:
    return format_amount(EXACT.subtract(Decimal(one), Decimal(other)))


def _assets(look: Survey) -> list[str]:
    """Return every asset that either side lists."""
    listed = {row.asset_id for read in (look.before, look.after) for row in read.balances}
    return sorted(listed | {total.asset_id for total in look.totals})


def _find_total(totals: Iterable[Total], asset_id: str) -> Total | None:
    return next((total for total in totals if total.asset_id == asset_id), None)


def _sums(of: Row | Total | None) -> Sums | None:
    return None if of is None else Sums(of.total, of.free, of.locked)
