"""Parts: the balances of many merchants at one moment, whether they are complete, and their order."""

from collections.abc import Iterable, Mapping
from decimal import Decimal

from msgspec import Struct

from app.accounts import AccountResult, Available
from app.balances.snapshots import AccountId, find_row
from app.balances.totals import Total
from app.portfolio.sweep_figures import SweepStatus


class Parts(Struct, frozen=True):
    """Every merchant's part, the exact sum of the available ones, and the names that are known.

    `directory_as_of` is when the upstream listed the merchants (Unix milliseconds), None if they are configured.
    """

    parts: tuple[AccountResult, ...]
    totals: tuple[Total, ...]
    names: Mapping[AccountId, str]
    directory_as_of: int | None = None
    is_directory_stale: bool = False
    sweep: SweepStatus | None = None

    @property
    def known(self) -> list[Available]:
        """The available parts."""
        return [part for part in self.parts if isinstance(part, Available)]

    @property
    def is_complete(self) -> bool:
        """Whether the totals are those of all: no part is missing, and the directory is not stale."""
        known = self.known
        return (
            len(known) == len(self.parts)
            and not self.is_directory_stale
            and all(part.snapshot.is_whole for part in known)
        )

    def lists(self, asset_id: str) -> bool:
        """Return whether any merchant is known to list an asset."""
        return any(total.asset_id == asset_id for total in self.totals)

    def name_of(self, part: AccountResult) -> str | None:
        """Return the name of a part's merchant, if it is known."""
        return self.names.get(key_of(part)) or None


class Sort(Struct, frozen=True):
    """An order: by the total of an asset, or, without one, by merchant."""

    asset_id: str | None = None
    descending: bool = False


def key_of(part: AccountResult) -> AccountId:
    """Return the account of a part."""
    return part.snapshot.account_id if isinstance(part, Available) else part.account_id


def order(parts: Iterable[AccountResult], sort: Sort) -> list[AccountResult]:
    """Sort parts. Equal amounts are sorted by merchant. Those not known to hold the asset are last either way."""
    by_merchant = sorted(parts, key=lambda part: int(key_of(part)))
    if sort.asset_id is None:
        return by_merchant[::-1] if sort.descending else by_merchant
    amounts = {key_of(part): _amount(part, sort.asset_id) for part in by_merchant}
    holding = [part for part in by_merchant if amounts[key_of(part)] is not None]
    others = [part for part in by_merchant if amounts[key_of(part)] is None]
    holding.sort(key=lambda part: amounts[key_of(part)] or Decimal(0), reverse=sort.descending)
    return holding + others


def _amount(part: AccountResult, asset_id: str) -> Decimal | None:
    row = find_row(part.snapshot.balances, asset_id) if isinstance(part, Available) else None
    return None if row is None else Decimal(row.total)
