from decimal import Decimal, localcontext
from fractions import Fraction

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from msgspec import ValidationError, convert

from app.balances.amounts import (
    MAX_DIGITS,
    ZERO,
    Amount,
    CanonicalAmount,
    add_amounts,
    adds_up,
    check_amounts,
    format_amount,
    parse_amount,
    parse_plain,
)


def _decimal(sign: int, digits: int, exponent: int) -> Decimal:
    return Decimal((sign, tuple(map(int, str(digits))), exponent))


numbers = st.builds(_decimal, st.integers(0, 1), st.integers(0, 10**60 - 1), st.integers(-30, 30))
amounts = numbers.map(format_amount)


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("12", "12"),
        ("0.5", "0.5"),
        ("-1", "-1"),
        ("1E-8", "0.00000001"),
        ("0E-8", "0"),
        ("-0", "0"),
        ("-0.00", "0"),
        ("1000.000", "1000"),
        ("1.5e+3", "1500"),
        ("1E3", "1000"),
        ("0.000000000000000001", "0.000000000000000001"),
        ("9" * 60, "9" * 60),
        (12, "12"),
        (-(10**59), "-1" + "0" * 59),
        ("1E30", "1" + "0" * 30),
        ("1E-30", "0." + "0" * 29 + "1"),
    ],
)
def test_an_amount_is_read_and_written_in_one_way(written: str | int, read: str) -> None:
    assert parse_amount(written) == read


@pytest.mark.parametrize(
    "text",
    [
        *("", " 1", "1 ", "1\n", "+1", ".5", "5.", "007", "1_000", "1,000", "0x10", "--1", "1e", "e1", "1e1.5"),
        *("NaN", "sNaN", "Infinity", "-inf", "\u0663", "\uff11\uff12", "1\u0000", "½"),
        *("9" * 61, "1E31", "1E-31", "1.5E-30", "1e999999", "1E99999999999999999999", "0." + "0" * 200 + "1"),
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"not a plain|more than|beyond"):
        parse_amount(text)


@given(st.one_of(st.text(), st.text(alphabet="0123456789.-+eE_ "), st.integers()))
def test_no_text_gives_a_wrong_amount(value: str | int) -> None:
    try:
        amount = parse_amount(value)
    except ValueError:
        return
    assert Fraction(amount) == Fraction(str(value))
    assert str(value).isascii()


@given(numbers)
def test_what_is_written_reads_back_equal(number: Decimal) -> None:
    amount = format_amount(number)
    assert Fraction(amount) == Fraction(number)
    assert "e" not in amount.lower()
    assert convert(amount, CanonicalAmount) == amount
    assert format_amount(Decimal(amount)) == amount


@given(numbers, numbers)
def test_equal_amounts_are_equal_text(one: Decimal, other: Decimal) -> None:
    assert (format_amount(one) == format_amount(other)) == (one == other)


@given(st.lists(amounts, max_size=50))
def test_sums_are_exact_whatever_the_context(parts: list[Amount]) -> None:
    with localcontext(prec=3):
        total = add_amounts(parts)
    assert Fraction(total) == sum(map(Fraction, parts), Fraction(0))
    assert add_amounts(reversed(parts)) == total


@given(amounts, amounts | st.just(ZERO), amounts)
def test_two_add_up_to_their_sum_and_to_nothing_else(one: Amount, other: Amount, another: Amount) -> None:
    total = add_amounts((one, other))
    assert adds_up(one, other, total)
    assert adds_up(other, one, total)
    assert adds_up(one, other, another) == (another == total)
    assert adds_up(one, other, one) == (other == ZERO)


texts = st.one_of(
    amounts,
    st.from_regex(r"-?[0-9]{0,3}\.?[0-9]{0,3}", fullmatch=True),
    st.text(alphabet="0123456789.-+eE \n", max_size=6),
    st.tuples(amounts, st.sampled_from((" ", "\n")), amounts).map("".join),
)


def _is_canonical(text: str) -> bool:
    try:
        return bool(convert(text, CanonicalAmount) == text)
    except ValidationError:
        return False


@given(texts, texts, texts)
def test_three_are_checked_at_once_as_each_would_be_alone(total: str, free: str, locked: str) -> None:
    three = [Amount(text) for text in (total, free, locked)]
    if all(map(_is_canonical, three)):
        check_amounts(*three)
    else:
        with pytest.raises(ValueError, match="canonical"):
            check_amounts(*three)


@pytest.mark.parametrize("text", ["", "01", "1.", "1.50", "-0", "1E-8", "1\n", "1 2", "1 2 3", " 1", "1 ", "NaN", "½"])
@pytest.mark.parametrize("place", range(3))
def test_one_that_is_not_canonical_spoils_three(text: str, place: int) -> None:
    three = [ZERO] * 3
    check_amounts(*three)
    three[place] = Amount(text)
    with pytest.raises(ValueError, match="canonical"):
        check_amounts(*three)


@given(numbers)
def test_a_number_reads_the_same_however_it_is_written(number: Decimal) -> None:
    plain = f"{number:f}"
    assert parse_amount(f"{number:e}") == format_amount(number)
    if len(plain) < MAX_DIGITS:  # with a zero more it still fits
        assert parse_amount(plain) == parse_amount(plain if "." in plain else f"{plain}.0") == format_amount(number)


@pytest.mark.parametrize("text", ["01", "1.0", "1.50", "-0", "1E3", "0.0", "1\n", "", "1.", ".1", "--1", "+1"])
def test_only_canonical_text_comes_back_from_a_store(text: str) -> None:
    with pytest.raises(ValidationError):
        convert(text, CanonicalAmount)


@given(texts | st.integers(), texts, texts | st.integers())
@example(0, "1.5", "-1" + "0" * 29)
@example("1 2", "3", "4")
@example("0E-8", "1.50", "0.00")
@example("1" * 30 + "." + "0" * 30, "10", "100.0")
@example("1" * 31, "1." + "0" * 31, "00")
@example("0E-31", "10E-8", "-0")
@example("8E-8", "1.50E-7", "1.23456789012E-19")
@example("1.234567890123E-7", "1E-20", "1E+3")
def test_three_that_are_parsed_together_are_what_parsing_makes_of_each(
    total: str | int, free: str, locked: str | int
) -> None:
    taken = parse_plain(total, free, locked)
    if taken is None:
        assert not all(len(s) <= 30 and s[:1] != "-" and _is_canonical(s) for s in map(str, (total, free, locked)))
    else:
        assert list(taken) == [parse_amount(one) for one in (total, free, locked)]


def test_a_zero_of_any_allowed_number_of_decimals_is_plain() -> None:
    for decimals in range(1, 31):
        assert parse_plain("1", f"0E-{decimals}", "0.50") == ["1", "0", "0.5"]
    with pytest.raises(ValueError, match="power of ten"):
        parse_amount("0E-31")


def test_what_java_writes_of_a_tiny_amount_of_18_decimals_is_plain() -> None:
    for units in (1, 9, 10, 120, 123456789012, 999999999999):
        amount = Decimal(units).scaleb(-18)
        assert "E-" in str(amount)
        assert parse_plain("1", str(amount), "0") == ["1", f"{amount.normalize():f}", "0"]
