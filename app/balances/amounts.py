"""Exact amounts: parsed strictly, added exactly, written canonically.

An amount is kept as its canonical text: plain decimal, no exponent, no trailing zeros, `0` for zero. So equal amounts
are equal text in memory, in Redis and on the wire. Only arithmetic uses `Decimal`.
"""

import re
from collections.abc import Iterable, Sequence
from decimal import Context, Decimal, Inexact, InvalidOperation, Overflow
from typing import Annotated, Any, Final, NewType

from msgspec import Meta

Amount = NewType("Amount", str)

ZERO: Final = Amount("0")

MAX_DIGITS: Final = 60
MAX_EXPONENT: Final = 30

# Digits before the point: those of a row of many equal ones added up, and those of any sum that `EXACT` can add.
_ROW_DIGITS: Final = 98
_SUM_DIGITS: Final = 185


def _form(digits: int) -> str:
    whole = f"[1-9][0-9]{{0,{digits - 1}}}"
    return rf"(?:0|-?(?:{whole}|(?:0|{whole})\.[0-9]{{0,{MAX_EXPONENT - 1}}}[1-9]))"


_THREE: Final = re.compile(" ".join([_form(_ROW_DIGITS)] * 3))
_TINY: Final = r"(?:0E-(?:[1-9]|[12][0-9]|30)|[1-9](?:\.[0-9]{1,11})?E-(?:[1-9]|1[0-9]))"
_PLAIN: Final = rf"(?:(?:0|[1-9][0-9]{{0,29}}+)(?:\.[0-9]{{1,30}}+)?+|{_TINY})"  # no digit is tried twice
_PLAIN_ONE: Final = re.compile(_PLAIN)
_PLAIN_THREE: Final = re.compile(" ".join([_PLAIN] * 3))
_ALONE: Final = f"^{_form(_SUM_DIGITS)}$(?!\\n)"
_EXAMPLES: Final = ["1000", "0.00000001"]

CanonicalAmount = Annotated[Amount, Meta(pattern=_ALONE, examples=_EXAMPLES)]
"""An `Amount` that msgspec checks when it decodes stored text."""

CheckedAmount = Annotated[Amount, Meta(examples=_EXAMPLES, extra_json_schema={"extra": {"pattern": _ALONE}})]
"""An `Amount` that its struct checks by `check_amounts`. Litestar documents it like any other, by `extra`."""

# The number grammar of JSON (RFC 8259, section 6). No text within the limits above is longer, nor is its exponent.
_NUMBER: Final = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]{1,4})?")
_MAX_CHARACTERS: Final = 2 * MAX_DIGITS

# Wide enough for sums of 10^100 amounts of any allowed size. Rounding raises.
EXACT: Final = Context(prec=220, traps=[Inexact, InvalidOperation, Overflow])


def parse_amount(value: str | int) -> Amount:
    """Parse an amount as the upstream may send it, and return its canonical text.

    Takes a number in JSON's grammar as text, or an integer: at most 60 significant digits, the last of them at a power
    of ten within ±30. Raises `ValueError` for anything else: it never trims, guesses or rounds.
    """
    text = str(value)
    if _PLAIN_ONE.fullmatch(text):  # within the limits, whatever its digits
        return _trim_plain(text)
    if len(text) > _MAX_CHARACTERS or not _NUMBER.fullmatch(text):
        raise ValueError("not a plain decimal number")
    number = Decimal(text)
    _, digits, exponent = number.as_tuple()
    if len(digits) > MAX_DIGITS:
        raise ValueError(f"more than {MAX_DIGITS} digits")
    if not isinstance(exponent, int) or abs(exponent) > MAX_EXPONENT:
        raise ValueError(f"a power of ten beyond {MAX_EXPONENT}")
    return format_amount(number)


def parse_plain(total: str | int, free: str | int, locked: str | int) -> Sequence[Amount] | None:
    """Parse a row's amounts if all are plain, as most are; None if one needs `parse_amount`.

    Plain ones are within the limits whatever their digits: up to 30 before the point and 30 after it, or what
    `BigDecimal` writes of a tiny amount of 18 decimals. Checking three together takes a third of the time of parsing them.
    """
    text = f"{total} {free} {locked}"
    if _PLAIN_THREE.fullmatch(text) is None:
        return None
    amounts: list[Any] = text.split(" ")
    if "E" in text:
        return [_trim_plain(amount) for amount in amounts]
    return [amount.rstrip("0").rstrip(".") if "." in amount else amount for amount in amounts]


def check_amounts(total: Amount, free: Amount, locked: Amount) -> None:
    """Raise `ValueError` unless all are canonical. Checking three together takes a third of msgspec's time for them."""
    if _THREE.fullmatch(f"{total} {free} {locked}") is None:
        raise ValueError("not an amount in canonical form")


def format_amount(number: Decimal) -> Amount:
    """Format a finite number as plain decimal text: equal numbers give equal text."""
    return _trim(f"{number:f}")


def _trim_plain(text: str) -> Amount:
    if "E" in text:
        return ZERO if text[0] == "0" else format_amount(Decimal(text))
    return Amount(text.rstrip("0").rstrip(".")) if "." in text else Amount(text)


def _trim(text: str) -> Amount:
    """Remove trailing zeros and the sign of zero from plain decimal text."""
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return ZERO if text == "-0" else Amount(text)


def adds_up(one: Amount, other: Amount, total: Amount) -> bool:
    """Return whether two amounts add up to a total exactly. Raises as `add_amounts`."""
    if other == ZERO:  # as it mostly is: equal amounts are equal text
        return one == total
    return EXACT.add(Decimal(one), Decimal(other)) == Decimal(total)


def add_amounts(amounts: Iterable[Amount]) -> Amount:
    """Add amounts exactly; the sum of none is zero. Raises `decimal.Inexact` instead of rounding."""
    total = Decimal(0)
    for amount in amounts:
        if amount != ZERO:
            total = EXACT.add(total, Decimal(amount))
    return format_amount(total)


def is_negative(amount: Amount) -> bool:
    """Return whether an amount is below zero."""
    return amount.startswith("-")
