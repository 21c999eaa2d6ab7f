"""Merchant ids are ASCII digits up to 2^53 - 1, without sign, space or leading zero: anything else is refused, never guessed at."""

import pytest

from tests.support.errors import assert_envelope, assert_problem
from tests.support.raw_asgi import ask_raw
from tests.support.service import Service

WRONG = [
    "-1",
    "+1",
    "%2B1",
    "00",
    "007",
    "012345",
    "9007199254740992",  # 2^53: JavaScript reads the next number as this one
    "9999999999999999999",
    "1" * 20,
    "9" * 400,
    "1.0",
    "12345.",
    "1e3",
    "1_000",
    "0x10",
    "abc",
    "NaN",
    "null",
    "true",
    "12345,12346",
    "%2012345",
    "12345%20",
    "12345%09",
    "12345%0A",
    "12345%0D%0A",
    "%0A12345",
    "12345%00",
    "12345%3B",
    "%D9%A1%D9%A2",  # Arabic-Indic digits
    "%EF%BC%91",  # a fullwidth digit
    "%E0%A5%A7",  # a Devanagari digit
    "%C2%B2",  # a superscript
    "%F0%9D%9F%8F",  # a mathematical bold digit
    "%E2%80%8B12345",  # a zero-width space
    "%EF%BB%BF12345",  # a byte order mark
]

GARBAGE = ["%", "%Z", "%ZZ", "12345%", "%1", "%u0031", "%%31", "%ff", "%C3%28", "%ED%A0%80"]
"""Percent signs that encode nothing, and bytes that are no UTF-8."""


@pytest.mark.parametrize("merchant_id", ["0", *WRONG, *GARBAGE])
async def test_a_wrong_merchant_id_in_the_path_is_refused(calm: Service, merchant_id: str) -> None:
    asked_for = set(calm.upstream.counters.by_merchant)  # others may be refreshed behind meanwhile
    for rest in ("balances", "balances/BTC"):
        assert_problem(await ask_raw(calm, f"/v1/merchants/{merchant_id}/{rest}"), "invalid-request")
    assert set(calm.upstream.counters.by_merchant) == asked_for


@pytest.mark.parametrize("merchant_id", ["", "+", "+12345", "12345+", *WRONG, *GARBAGE])
async def test_a_wrong_merchant_id_in_the_query_is_refused(calm: Service, merchant_id: str) -> None:
    asked_for = set(calm.upstream.counters.by_merchant)  # others may be refreshed behind meanwhile
    response = await ask_raw(calm, f"/v2/assets/account/assets?merchantId={merchant_id}")
    assert_envelope(response, "invalid-request")
    assert set(calm.upstream.counters.by_merchant) == asked_for


@pytest.mark.parametrize("merchant_id", [b"\xb9", b"\xd9\xa1", b"12345\xff", b"\xed\xa0\x80"])
async def test_bytes_beyond_ascii_are_refused_in_path_and_query(calm: Service, merchant_id: bytes) -> None:
    assert_problem(await ask_raw(calm, b"/v1/merchants/" + merchant_id + b"/balances"), "invalid-request")
    response = await ask_raw(calm, b"/v2/assets/account/assets?merchantId=" + merchant_id)
    assert_envelope(response, "invalid-request")


@pytest.mark.parametrize("merchant_id", ["1", "9007199254740991"])
async def test_the_smallest_and_the_largest_merchant_id_are_asked_for(calm: Service, merchant_id: str) -> None:
    assert_problem(await calm.get(f"/v1/merchants/{merchant_id}/balances"), "unknown-merchant")
    assert calm.upstream.counters.by_merchant[int(merchant_id)] >= 1


@pytest.mark.parametrize("merchant_id", ["%31%32%33%34%35", "1%32345"])
async def test_a_digit_may_come_percent_encoded(calm: Service, merchant_id: str) -> None:
    assert (await ask_raw(calm, f"/v1/merchants/{merchant_id}/balances")).json()["merchantId"] == 12345
    assert (await ask_raw(calm, f"/v2/assets/account/assets?merchantId={merchant_id}")).status_code == 200


async def test_zero_means_all_merchants_only_where_the_upstream_says_so(calm: Service) -> None:
    assert_problem(await calm.get("/v1/merchants/0/balances"), "invalid-request")
    portfolio = (await calm.get("/v1/portfolio")).json()["balances"]
    assert (await calm.get("/v2/assets/account/assets?merchantId=0")).json()["data"]["balances"] == portfolio
