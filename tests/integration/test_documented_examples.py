"""The two examples of the upstream's document, asked for and answered over the wire."""

import asyncio
from typing import Any

import pytest

from sandbox import Sandbox
from tests.support.gateway import KEY, Gateway

MERCHANT = {"BTC": ("0.5", "0.3", "0.2"), "USDT": ("1000", "800", "200")}
AGGREGATE = {"BTC": ("2", "1.5", "0.5"), "USDT": ("5000", "4000", "1000")}

EXAMPLES = [
    ("/v1/merchants/12345/balances", 12345, MERCHANT),
    ("/v1/portfolio", 0, AGGREGATE),
]
UPSTREAM_EXAMPLES = [
    ("/v2/assets/account/assets?merchantId=12345", MERCHANT),
    ("/v2/assets/account/assets?merchantId=0", AGGREGATE),
]
PATHS = [path for path, *_ in EXAMPLES + UPSTREAM_EXAMPLES] + ["/v1/merchants/12345/balances/USDT"]


def amounts(rows: list[dict[str, Any]]) -> dict[str, tuple[str, str, str]]:
    return {row["assetId"]: (row["total"], row["free"], row["locked"]) for row in rows}


def names(rows: list[dict[str, Any]]) -> set[tuple[str, str, str]]:
    return {(row["assetId"], row["asset"], row["assetName"]) for row in rows}


@pytest.mark.parametrize(("path", "merchant_id", "expected"), EXAMPLES)
async def test_the_documents_amounts_arrive_to_the_digit(
    gateway: Gateway, path: str, merchant_id: int, expected: dict[str, tuple[str, str, str]]
) -> None:
    answer = await gateway.get(path)
    body = answer.json()
    assert answer.status_code == 200
    assert set(body) == {"merchantId", "canDeposit", "asOf", "balances"}
    assert (body["merchantId"], body["canDeposit"]) == (merchant_id, True)
    assert amounts(body["balances"]) == expected
    assert names(body["balances"]) == {("BTC", "BTC", "BTC"), ("USDT", "USDT", "USDT")}


@pytest.mark.parametrize(("path", "expected"), UPSTREAM_EXAMPLES)
async def test_programs_of_the_upstream_get_its_own_shape_with_their_key_as_its_token(
    gateway: Gateway, path: str, expected: dict[str, tuple[str, str, str]]
) -> None:
    answer = await gateway.client.get(path, headers={"X-BH-TOKEN": KEY})
    body = answer.json()
    assert answer.status_code == 200
    assert (set(body), body["code"], body["msg"]) == ({"code", "msg", "data"}, 200, "SUCCESS")
    assert (set(body["data"]), body["data"]["canDeposit"]) == ({"canDeposit", "balances"}, True)
    assert amounts(body["data"]["balances"]) == expected
    assert all(
        set(row) == {"asset", "assetId", "assetName", "total", "free", "locked"} for row in body["data"]["balances"]
    )


@pytest.mark.parametrize("path", PATHS)
async def test_head_is_get_without_its_body(gateway: Gateway, path: str) -> None:
    whole = await gateway.get(path)
    head = await gateway.client.head(path)
    told = ("etag", "cache-control", "vary", "content-type", "content-length")
    assert head.status_code == whole.status_code == 200
    assert head.content == b""
    assert {name: head.headers[name] for name in told} == {name: whole.headers[name] for name in told}


@pytest.mark.parametrize("path", PATHS)
async def test_what_a_caller_has_already_is_not_sent_again(gateway: Gateway, path: str) -> None:
    etag = (await gateway.get(path)).headers["etag"]
    unchanged = await gateway.get(path, If_None_Match=etag)
    assert (unchanged.status_code, unchanged.content) == (304, b"")
    assert unchanged.headers["etag"] == etag
    assert "age" in unchanged.headers


async def test_a_changed_balance_changes_its_tag(gateway: Gateway, shared_upstream: Sandbox) -> None:
    path = f"/v1/merchants/{shared_upstream.world.merchant_ids[0]}/balances"
    etag = (await gateway.get(path)).headers["etag"]
    shared_upstream.world.move(shared_upstream.world.merchant_ids[0])
    answer = await gateway.get(path, If_None_Match=etag, Cache_Control="no-cache")
    assert answer.status_code == 200
    assert answer.headers["etag"] != etag


async def test_a_merchant_without_balances_has_none_rather_than_zeros(gateway: Gateway) -> None:
    answer = await gateway.get("/v1/merchants/12346/balances")
    assert (answer.status_code, answer.json()["balances"]) == (200, [])


async def test_no_such_merchant_is_a_problem_and_below_v2_an_envelope(gateway: Gateway) -> None:
    problem = await gateway.get("/v1/merchants/999/balances")
    envelope = await gateway.get("/v2/assets/account/assets?merchantId=999")
    assert (problem.status_code, problem.json()["type"]) == (404, "/problems/unknown-merchant")
    assert (envelope.status_code, envelope.json()["code"], envelope.json()["data"]) == (404, -5006, None)


async def test_many_callers_cost_one_upstream_call(gateway: Gateway, shared_upstream: Sandbox) -> None:
    merchant = shared_upstream.world.merchant_ids[1]
    before = shared_upstream.counters.by_merchant[merchant]
    answers = await asyncio.gather(*(gateway.get(f"/v1/merchants/{merchant}/balances") for _ in range(100)))
    assert {answer.status_code for answer in answers} == {200}
    assert shared_upstream.counters.by_merchant[merchant] == before + 1
