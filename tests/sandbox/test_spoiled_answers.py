"""Faults in what is answered, still in whole HTTP."""

import json
from collections.abc import Awaitable, Callable, Mapping
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from sandbox import Sandbox

Ask = Callable[..., Awaitable[tuple[int, dict[str, str], bytes]]]

BALANCES = "/v2/assets/account/assets"
MINE = f"{BALANCES}?merchantId=12345"


async def first_row(ask: Ask, sandbox: Sandbox) -> dict[str, Any]:
    _, _, body = await ask(sandbox.url, MINE)
    row: dict[str, Any] = json.loads(body, parse_float=Decimal)["data"]["balances"][0]
    return row


@pytest.mark.parametrize(
    ("kind", "fields", "status", "expected"),
    [
        ("status", {"status": 503}, 503, {"code": 503, "msg": "Service Unavailable", "data": None}),
        ("status", {"status": 599}, 599, {"code": 599, "msg": "no name", "data": None}),
        ("status", {"status": 500, "body": {"any": ["json"]}}, 500, {"any": ["json"]}),
        ("rate-limited", {}, 429, {"code": 429, "msg": "TOO_MANY_REQUESTS", "data": None}),
        ("token-expired", {}, 401, {"code": 401, "msg": "TOKEN_INVALID", "data": None}),
        ("address-not-listed", {}, 403, {"code": 403, "msg": "ADDRESS_NOT_LISTED", "data": None}),
        ("code", {"code": -5046, "msg": "try again"}, 200, {"code": -5046, "msg": "try again", "data": None}),
        ("code", {"code": -1, "msg": "", "http_status": 500}, 500, {"code": -1, "msg": "", "data": None}),
    ],
)
async def test_errors_come_with_their_status_and_document(
    sandbox: Sandbox, ask: Ask, kind: str, fields: Mapping[str, Any], status: int, expected: object
) -> None:
    with sandbox.fault(kind, **fields):
        answered, headers, body = await ask(sandbox.url, MINE)
    assert (answered, headers["content-type"], json.loads(body)) == (status, "application/json", expected)
    assert headers["content-length"] == str(len(body))
    assert "date" in headers


@pytest.mark.parametrize(
    ("kind", "fields", "status", "content_type", "expected"),
    [
        ("status", {"status": 503, "body": "gone\n"}, 503, "text/plain", b"gone\n"),
        ("status", {"status": 204}, 204, "application/json", b""),
        ("empty", {}, 200, "application/json", b""),
        ("malformed", {}, 200, "application/json", b'{"code":200,"msg":"SUCCESS","data":{"canDeposit":tr'),
    ],
)
async def test_bodies_that_are_no_document_come_as_they_are(
    sandbox: Sandbox,
    ask: Ask,
    kind: str,
    fields: Mapping[str, Any],
    status: int,
    content_type: str,
    expected: bytes,
) -> None:
    with sandbox.fault(kind, **fields):
        answered, headers, body = await ask(sandbox.url, MINE)
    assert (answered, headers["content-type"], body) == (status, content_type, expected)


async def test_html_is_the_error_page_of_a_proxy(sandbox: Sandbox, ask: Ask) -> None:
    with sandbox.fault("html"):
        status, headers, body = await ask(sandbox.url, MINE)
    assert (status, headers["content-type"]) == (502, "text/html")
    assert body.startswith(b"<html>")


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"retry_after_seconds": 30}, "30"),
        ({"retry_after_seconds": 0}, "0"),
        ({"retry_after_date": "Wed, 21 Oct 2026 07:28:00 GMT"}, "Wed, 21 Oct 2026 07:28:00 GMT"),
        ({}, None),
    ],
)
async def test_rate_limited_says_when_to_come_back(
    sandbox: Sandbox, ask: Ask, fields: Mapping[str, Any], expected: str | None
) -> None:
    with sandbox.fault("rate-limited", **fields):
        status, headers, _ = await ask(sandbox.url, MINE)
    assert (status, headers.get("retry-after")) == (429, expected)


@pytest.mark.parametrize("status", [301, 302, 307])
async def test_a_redirect_points_elsewhere(sandbox: Sandbox, ask: Ask, status: int) -> None:
    with sandbox.fault("redirect", location="http://elsewhere.example/", status=status):
        answered, headers, body = await ask(sandbox.url, MINE)
    assert (answered, headers["location"], body) == (status, "http://elsewhere.example/", b"")


async def test_wrong_types_are_json_floats_and_a_word_for_a_truth(sandbox: Sandbox, ask: Ask) -> None:
    with sandbox.fault("wrong-types"):
        _, _, body = await ask(sandbox.url, f"{BALANCES}?merchantId=0")
    data = json.loads(body)["data"]
    assert data["canDeposit"] == "yes"
    assert [[row[name] for name in ("total", "free", "locked")] for row in data["balances"]] == [
        [5000.0, 4000.0, 1000.0],
        [2.0, 1.5, 0.5],
    ]
    assert b'"total":2.0' in body


@pytest.mark.parametrize("value", ["NaN", "", "1E999999", "-1", 12, 0.5, None, True, [], {"a": 1}, "１２"])  # noqa: RUF001  the wide digits are the point
@pytest.mark.parametrize("field", ["total", "free", "locked"])
async def test_amount_puts_any_json_value_in_the_place_of_one_amount(
    sandbox: Sandbox, ask: Ask, field: str, value: object
) -> None:
    before = await first_row(ask, sandbox)
    with sandbox.fault("amount", value=value, field=field):
        assert await first_row(ask, sandbox) == {**before, field: value}


async def test_an_amount_can_be_given_to_the_letter(sandbox: Sandbox, ask: Ask) -> None:
    with sandbox.fault("amount", value=msgspec.Raw(b"0.10000000000000000000001e+2")):
        _, _, body = await ask(sandbox.url, MINE)
    assert b'"total":0.10000000000000000000001e+2,' in body


async def test_duplicate_row_sends_the_first_row_twice(sandbox: Sandbox, ask: Ask) -> None:
    with sandbox.fault("duplicate-row"):
        _, _, body = await ask(sandbox.url, MINE)
    rows = json.loads(body)["data"]["balances"]
    assert [row["asset"] for row in rows] == ["USDT", "BTC", "USDT"]
    assert rows[0] == rows[2]


async def test_duplicate_name_names_the_total_twice_with_two_amounts(sandbox: Sandbox, ask: Ask) -> None:
    with sandbox.fault("duplicate-name"):
        _, _, body = await ask(sandbox.url, MINE)
    pairs = json.loads(body, object_pairs_hook=list)
    row = dict(dict(pairs)["data"])["balances"][0]
    assert [value for name, value in row if name == "total"] == ["1000", "1001"]


async def test_total_mismatch_makes_the_total_one_too_much(sandbox: Sandbox, ask: Ask) -> None:
    with sandbox.fault("total-mismatch"):
        row = await first_row(ask, sandbox)
    assert (row["total"], row["free"], row["locked"]) == ("1001", "800", "200")


async def test_unknown_field_shows_on_every_level(sandbox: Sandbox, ask: Ask) -> None:
    with sandbox.fault("unknown-field"):
        _, _, body = await ask(sandbox.url, MINE)
    document = json.loads(body)
    levels = [document, document["data"], *document["data"]["balances"]]
    assert all("unheardOf" in level for level in levels)


ALTERATIONS = ["wrong-types", "duplicate-row", "duplicate-name", "total-mismatch", "unknown-field"]


@pytest.mark.parametrize("kind", ALTERATIONS)
async def test_what_has_no_rows_cannot_have_its_rows_altered(sandbox: Sandbox, ask: Ask, kind: str) -> None:
    targets = ["/v2/base/cryptos", f"{BALANCES}?merchantId=7", "/nothing"]
    before = [(await ask(sandbox.url, target))[2] for target in targets]
    with sandbox.fault(kind):
        assert [(await ask(sandbox.url, target))[2] for target in targets] == before
        status, _, _ = await ask(sandbox.url, f"{BALANCES}?merchantId=12346")
    assert status == 200


@pytest.mark.parametrize("kind", ALTERATIONS)
async def test_an_altered_answer_leaves_the_account_as_it_was(sandbox: Sandbox, ask: Ask, kind: str) -> None:
    _, _, before = await ask(sandbox.url, MINE)
    with sandbox.fault(kind):
        assert (await ask(sandbox.url, MINE))[2] != before
    assert (await ask(sandbox.url, MINE))[2] == before
