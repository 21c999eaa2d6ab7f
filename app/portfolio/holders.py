"""Holders: who holds an asset, how much of it, and which share of the whole."""

from msgspec import Struct

from app.accounts import Available
from app.balances.amounts import Amount
from app.balances.shares import NoShares, divide
from app.balances.snapshots import Row, find_row
from app.balances.totals import Total
from app.portfolio.parts import Parts, Sort, order


class Holder(Struct, frozen=True):
    """A merchant's row of the asset, and its share if there are shares."""

    part: Available
    row: Row
    share: Amount | None


class Holders(Struct, frozen=True):
    """All merchants that list the asset, the largest first, their sum, and why there are no shares, if so."""

    holders: tuple[Holder, ...]
    total: Total | None
    no_shares: NoShares | None


def find_holders(parts: Parts, asset_id: str) -> Holders:
    """Find the holders of an asset. An incomplete total has no shares."""
    found = [
        (part, row)
        for part in order(parts.known, Sort(asset_id, descending=True))
        if isinstance(part, Available) and (row := find_row(part.snapshot.balances, asset_id)) is not None
    ]
    shares = divide([row.total for _, row in found]) if parts.is_complete else NoShares.INCOMPLETE
    total = next((total for total in parts.totals if total.asset_id == asset_id), None)
    if isinstance(shares, NoShares):
        return Holders(tuple(Holder(part, row, None) for part, row in found), total, shares)
    holders = (Holder(part, row, share) for (part, row), share in zip(found, shares, strict=True))
    return Holders(tuple(holders), total, None)
