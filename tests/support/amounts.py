"""Amounts and snapshots drawn at random, as awkward as the upstream may send them, and sums that do not use our own code."""

from collections import defaultdict
from collections.abc import Iterable
from random import Random

from hypothesis import strategies as st

from app.balances.amounts import Amount, parse_amount
from app.balances.snapshots import AccountId, Row, Snapshot

ASSETS = ("BTC", "USDT", "USDC", "CADC", "COPM")
SCALE = 30
"""No amount has more decimals."""

amounts = st.builds(
    lambda units, exponent: parse_amount(f"{units}E{exponent}"),
    st.integers(-(10**60) + 1, 10**60 - 1),
    st.integers(-SCALE, SCALE),
)


def as_units(amount: str) -> int:
    """Read an amount as a whole number of its smallest unit, by moving digits and without arithmetic on fractions."""
    whole, _, decimals = amount.partition(".")
    return int(whole + decimals.ljust(SCALE, "0"))


def make_row(asset: str, free: Amount, locked: Amount = Amount("0"), total: Amount | None = None) -> Row:  # noqa: B008
    """Make a row; its total is what is free, unless told otherwise: sums do not care."""
    return Row(asset, asset, asset, total or free, free, locked)


def make_snapshot(key: str, rows: Iterable[Row], as_of: int = 1) -> Snapshot:
    """Make a snapshot of rows, sorted as ours are."""
    by_asset = sorted(rows, key=lambda row: row.asset_id)
    return Snapshot(AccountId(key), as_of, can_deposit=True, balances=tuple(by_asset))


def draw_snapshot(random: Random, key: str, as_of: int = 1) -> Snapshot:
    """Draw a snapshot."""
    assets = random.sample(ASSETS, random.randrange(len(ASSETS)))
    rows = (Row(asset, asset, asset, *(draw_amount(random) for _ in range(3))) for asset in assets)
    return make_snapshot(key, rows, as_of)


def draw_amount(random: Random) -> Amount:
    """Draw an amount of up to 60 digits with an exponent within ±30, mostly of a bearable length."""
    digits = random.choice((0, 1, 5, 18, 60))
    return parse_amount(f"{random.randrange(-(10**digits) + 1, 10**digits)}E{random.choice((-30, -18, -8, 0, 30))}")


def sum_units(snapshots: Iterable[Snapshot]) -> dict[str, tuple[int, int, int, int]]:
    """Add up total, free and locked by asset, in whole units, and count the rows."""
    sums: defaultdict[str, tuple[int, int, int, int]] = defaultdict(lambda: (0, 0, 0, 0))
    for snapshot in snapshots:
        for row in snapshot.balances:
            more = (as_units(row.total), as_units(row.free), as_units(row.locked), 1)
            one, two, three, four = (mine + its for mine, its in zip(sums[row.asset_id], more, strict=True))
            sums[row.asset_id] = (one, two, three, four)
    return dict(sums)
