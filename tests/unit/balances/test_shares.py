from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.balances.amounts import Amount, parse_amount
from app.balances.shares import DECIMALS, NoShares, divide
from tests.support.amounts import as_units

held = st.builds(
    lambda units, exponent: parse_amount(f"{units}E{exponent}"), st.integers(0, 10**60 - 1), st.integers(-30, 30)
)


@given(st.lists(held, min_size=1, max_size=30))
def test_shares_sum_to_exactly_one_and_none_is_off_by_a_unit(amounts: list[Amount]) -> None:
    units = [as_units(amount) for amount in amounts]
    shares = divide(amounts)
    if not sum(units):
        assert shares is NoShares.ZERO_TOTAL
        return
    assert not isinstance(shares, NoShares)
    assert sum(map(Fraction, shares)) == 1
    for unit, share in zip(units, shares, strict=True):
        assert abs(Fraction(unit, sum(units)) - Fraction(share)) < Fraction(1, 10**DECIMALS)


def test_units_that_are_missing_go_to_the_largest_remainders() -> None:
    assert divide([Amount(amount) for amount in ("1", "1", "1")]) == (
        "0.333333333334",
        "0.333333333333",
        "0.333333333333",
    )
    assert divide([Amount(amount) for amount in ("1", "2")]) == ("0.333333333333", "0.666666666667")


def test_who_holds_nothing_has_no_share_of_it() -> None:
    assert divide([Amount("0"), Amount("7")]) == ("0", "1")


@pytest.mark.parametrize(
    ("amounts", "why"),
    [
        ([], NoShares.ZERO_TOTAL),
        (["0", "0"], NoShares.ZERO_TOTAL),
        (["1", "-1"], NoShares.NEGATIVE_AMOUNT),
        (["5", "-1"], NoShares.NEGATIVE_AMOUNT),
    ],
)
def test_where_there_are_no_shares_it_is_said_why(amounts: list[Amount], why: NoShares) -> None:
    assert divide(amounts) is why
