"""Amounts: exact arithmetic, and texts as awkward as a Java upstream can write them."""

import decimal
from decimal import Decimal
from random import Random

_LONGEST = 400
"""Digits on either side of the point beyond which a text takes part in no sum."""

EXACT = decimal.Context(
    prec=2 * _LONGEST + 100,
    Emax=decimal.MAX_EMAX,
    Emin=decimal.MIN_EMIN,
    traps=[decimal.Inexact, decimal.InvalidOperation],
)
"""Raises where it would have to round: a sum made in it is the sum."""

_FORMS = (
    # (decimals, digits): a BigDecimal keeps its decimals, so zero with eight of them is "0E-8"
    (18, 30),
    (18, 20),
    (18, 3),
    (18, 0),
    (8, 16),
    (8, 1),
    (8, 0),
    (6, 12),
    (2, 9),
    (0, 30),
    (0, 7),
    (0, 0),
)


def exact(text: object) -> Decimal | None:
    """Read an amount that sums can take; None for whatever is no finite decimal text of a bearable length."""
    if not isinstance(text, str):
        return None
    try:
        value = Decimal(text)
    except decimal.InvalidOperation:
        return None
    _, digits, exponent = value.as_tuple()
    if not isinstance(exponent, int) or exponent < -_LONGEST or len(digits) + exponent > _LONGEST:
        return None
    return value


def plain(value: Decimal) -> str:
    """Write without exponent and trailing zeros, as the document's examples are."""
    return format(value.normalize(EXACT), "f")


def awkward(random: Random) -> Decimal:
    """Draw an amount of 0 to 30 digits; `str` of it shows the exponent and the trailing zeros it came with."""
    decimals, digits = random.choice(_FORMS)
    units = random.randrange(10**digits)
    if random.random() < 0.25:  # noqa: PLR2004  one in four is round, so that it ends in zeros
        units -= units % 10 ** (digits // 2)
    return Decimal(units).scaleb(-decimals, EXACT)
