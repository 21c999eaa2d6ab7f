import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import (
    AccessRefused,
    MalformedAnswer,
    MerchantInactive,
    RequestRefused,
    TokenRefused,
    UnknownCode,
    UnknownMerchant,
    UpstreamBusy,
    UpstreamError,
    UpstreamFaulty,
)
from app.upstream.envelope import UpstreamResponse, parse_envelope, read_retry_after

NOW = 1_700_000_000.0


def _open(body: bytes, status: int = 200, **headers: str) -> object:
    return parse_envelope(
        UpstreamResponse(status, {name.replace("_", "-"): value for name, value in headers.items()}, body), NOW
    )


def _envelope(code: object, data: object = None, **more: Any) -> bytes:
    return json.dumps({"code": code, "msg": "upstream's words", "data": data} | more).encode()


def test_success_gives_the_data() -> None:
    assert _open(_envelope(200, {"canDeposit": True})) == {"canDeposit": True}


def test_zero_is_no_success_for_balances() -> None:
    with pytest.raises(UnknownCode):
        _open(_envelope(0, {}))


CODES: dict[type[Exception], list[int]] = {
    UnknownMerchant: [-5006, -5007],
    RequestRefused: list(range(-4026, -4009)),
    AccessRefused: [-5033, -5032],
    MerchantInactive: [-5043, -5062, -5066],
    UpstreamFaulty: [-5046, -4040, -4041],
    UnknownCode: [-4009, -4027, -1, 0, 201, 500, -99999],
}


@pytest.mark.parametrize(("error", "code"), [(error, code) for error, codes in CODES.items() for code in codes])
def test_a_code_with_http_200_is_the_error_that_the_document_says(error: type[Exception], code: int) -> None:
    with pytest.raises(error) as caught:
        _open(_envelope(code))
    assert "upstream's words" not in str(caught.value)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 500])
def test_a_documented_code_counts_more_than_its_status(status: int) -> None:
    with pytest.raises(UnknownMerchant):
        _open(_envelope(-5006), status)


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (401, TokenRefused),
        (403, AccessRefused),
        (429, UpstreamBusy),
        (500, UpstreamFaulty),
        (503, UpstreamFaulty),
        (201, MalformedAnswer),
        (302, MalformedAnswer),
        (404, MalformedAnswer),
    ],
)
@pytest.mark.parametrize(
    "body", [b"", b"<html>", _envelope(-1), _envelope(200, {})], ids=["empty", "html", "code", "ok"]
)
def test_a_status_is_the_error_where_the_code_says_nothing(status: int, error: type[Exception], body: bytes) -> None:
    with pytest.raises(error):
        _open(body, status)


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"{", b"[]", b"null", b"<html>", b"\xff\xfe{}", b'{"code":200,"data":NaN}', b"[" * 100_000),
        *(b'{"code":"200","data":{}}', b'{"code":200.5,"data":{}}', b'{"code":true}', b'{"data":{}}'),
        b'{"code":' + b"9" * 5000 + b"}",
        *(b'{"code":' + b"9" * 400 + b"}", b'{"code":-9223372036854775809}'),
        b'{"code":200,"code":200,"data":{}}',
        b'{"code":200,"data":{"total":"1","total":"2"}}',
        '{"code":200}'.encode("utf-16"),
    ],
)
def test_what_is_no_envelope_is_malformed(body: bytes) -> None:
    with pytest.raises(MalformedAnswer):
        _open(body)


def test_a_compressed_answer_is_not_opened() -> None:
    with pytest.raises(MalformedAnswer):
        _open(_envelope(200, {}), content_encoding="gzip")


@given(st.binary() | st.builds(_envelope, st.integers() | st.text(), st.none()), st.integers(100, 599))
def test_no_answer_gives_anything_but_data_or_a_classified_error(body: bytes, status: int) -> None:
    try:
        _open(body, status)
    except (UpstreamError, UnknownMerchant):
        return


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("7", 7),
        ("0", 0),
        ("999999", 3600),
        ("", 1),
        ("soon", 1),
        ("-5", 1),
        ("\u0663", 1),
        (format_datetime(datetime.fromtimestamp(NOW, UTC) + timedelta(seconds=30), usegmt=True), 30),
        (format_datetime(datetime.fromtimestamp(NOW, UTC) - timedelta(days=3), usegmt=True), 0),
        ("Wed, 31 Dec 9999 23:59:59 -0000", 3600),
        ("Wed, 21 Oct 99999999999 07:28:00 GMT", 1),
        ("Mon, 01 Jan 0001 00:00:00 +2359", 0),
        ("Wed, 21 Oct 2026 07:28:00 +999999", 1),
        ("9" * 5000, 3600),
        ("-", 1),
        ("00:00", 1),
    ],
)
def test_retry_after_is_read_within_an_hour(value: str, seconds: float) -> None:
    assert read_retry_after(value, NOW) == seconds


DATES = st.from_regex(
    r"[A-Z][a-z]{2}, [0-9]{1,3} [A-Z][a-z]{2} [0-9]{1,12} [0-9:]{1,9} [A-Z+\-0-9]{1,7}", fullmatch=True
)


@given(st.text() | DATES)
def test_no_retry_after_is_an_exception(value: str) -> None:
    assert 0 <= read_retry_after(value, NOW) <= 3600


def test_a_busy_upstream_says_when() -> None:
    with pytest.raises(UpstreamBusy) as caught:
        _open(b"", 429, retry_after="12")
    assert caught.value.retry_after_seconds == 12
