"""Shares: who holds how much of the whole, exact to a stated number of decimals and never off in sum."""

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
    """Give each amount's part of their sum, rounded so that all together are exactly 1, or say why not.

    By largest remainder: each is cut off after `DECIMALS` decimals, and the units that are then missing go to those
    from whom most was cut off, among equals to the earlier ones. So none is off by a unit.
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
