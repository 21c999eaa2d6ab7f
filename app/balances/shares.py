"""Shares of a total, exact to a fixed number of decimals and in their sum."""

from collections.abc import Sequence
from decimal import Decimal
from enum import StrEnum
from fractions import Fraction
from typing import Final

from app.balances.amounts import Amount, format_amount, is_negative

DECIMALS: Final = 12

_UNITS: Final = 10**DECIMALS


class NoShares(StrEnum):
    """Why there are no shares."""

    INCOMPLETE = "incomplete"
    NEGATIVE_AMOUNT = "negative-amount"
    ZERO_TOTAL = "zero-total"


def divide(amounts: Sequence[Amount]) -> tuple[Amount, ...] | NoShares:
    """Return each amount's share of their sum, rounded so that all add up to exactly 1, or why there are none.

    Largest remainder method: each share is truncated to `DECIMALS` decimals. The missing units go to the largest
    remainders, among equals to the earlier ones. So no share is off by a whole unit.
    """
    if any(map(is_negative, amounts)):
        return NoShares.NEGATIVE_AMOUNT
    exact = [Fraction(Decimal(amount)) for amount in amounts]
    whole = sum(exact, Fraction(0))
    if not whole:
        return NoShares.ZERO_TOTAL
    parts = [divmod(amount * _UNITS, whole) for amount in exact]
    units = [int(unit) for unit, _ in parts]
    by_remainder = sorted(range(len(parts)), key=lambda place: parts[place][1], reverse=True)
    for place in by_remainder[: _UNITS - sum(units)]:
        units[place] += 1
    return tuple(format_amount(Decimal(unit).scaleb(-DECIMALS)) for unit in units)
