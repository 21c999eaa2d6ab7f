"""The user's document, through the whole service: what its examples say is what callers get, exactly."""

import asyncio
import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from app.clock import unix_ms
from tests.support.expired_answers import grow_older
from tests.support.service import Service

EXAMPLES = Path(__file__).parents[1] / "sandbox" / "examples"
BALANCES = [("/v1/merchants/12345/balances", "merchant-12345"), ("/v1/portfolio", "aggregate")]


def example(name: str) -> Any:
    return json.loads((EXAMPLES / f"{name}.json").read_text())


async def test_the_documents_merchant_is_answered_to_the_byte(calm: Service) -> None:
    response = await calm.get("/v1/merchants/12345/balances")
    as_of = response.json()["asOf"]
    assert response.status_code == 200
    assert response.text == (
        f'{{"merchantId":12345,"canDeposit":true,"asOf":"{as_of}","balances":['
        '{"assetId":"BTC","asset":"BTC","assetName":"BTC","total":"0.5","free":"0.3","locked":"0.2"},'
        '{"assetId":"USDT","asset":"USDT","assetName":"USDT","total":"1000","free":"800","locked":"200"}]}'
    )


async def test_the_documents_aggregate_is_answered_to_the_byte(calm: Service) -> None:
    response = await calm.get("/v1/portfolio")
    as_of = response.json()["asOf"]
    assert response.text == (
        f'{{"merchantId":0,"canDeposit":true,"asOf":"{as_of}","balances":['
        '{"assetId":"BTC","asset":"BTC","assetName":"BTC","total":"2","free":"1.5","locked":"0.5"},'
        '{"assetId":"USDT","asset":"USDT","assetName":"USDT","total":"5000","free":"4000","locked":"1000"}]}'
    )


async def test_one_asset_of_the_documents_merchant_is_answered_to_the_byte(calm: Service) -> None:
    response = await calm.get("/v1/merchants/12345/balances/USDT")
    as_of = response.json()["asOf"]
    assert response.text == (
        f'{{"merchantId":12345,"asOf":"{as_of}","assetId":"USDT","asset":"USDT","assetName":"USDT",'
        '"total":"1000","free":"800","locked":"200"}'
    )


@pytest.mark.parametrize(("path", "name"), BALANCES)
async def test_v1_has_the_rows_of_the_example_sorted_by_asset(calm: Service, path: str, name: str) -> None:
    data = example(name)["data"]
    answer = (await calm.get(path)).json()
    assert answer["canDeposit"] == data["canDeposit"]
    assert answer["balances"] == sorted(data["balances"], key=lambda row: row["assetId"])


@pytest.mark.parametrize(("merchant_id", "name"), [(12345, "merchant-12345"), (0, "aggregate")])
async def test_v2_is_the_example_itself_with_its_rows_sorted_by_asset(
    calm: Service, merchant_id: int, name: str
) -> None:
    expected = example(name)
    expected["data"]["balances"].sort(key=lambda row: row["assetId"])
    response = await calm.get(f"/v2/assets/account/assets?merchantId={merchant_id}")
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    # as text: the order of names counts too, a program may have been written for it
    assert response.text == json.dumps(expected, separators=(",", ":"))


async def test_v2_takes_the_callers_key_where_the_upstream_takes_its_token(calm: Service) -> None:
    response = await calm.anonymous.get(
        "/v2/assets/account/assets", params={"merchantId": 12345}, headers={"X-BH-TOKEN": "tg_all"}
    )
    assert response.json()["data"]["balances"][1]["total"] == "1000"


@pytest.mark.parametrize("path", ["/v1/merchants/12345/balances", "/v1/merchants/12345/balances/BTC", "/v1/portfolio"])
async def test_as_of_is_when_the_upstreams_answer_arrived(service: Service, path: str) -> None:
    with service.upstream.fault("hang"):
        exchange = asyncio.create_task(service.get(path))
        await service.upstream.calls(1)
        await grow_older()
        before = unix_ms()
    text = (await exchange).json()["asOf"]
    after = unix_ms()
    assert before <= round(datetime.fromisoformat(text).timestamp() * 1000) <= after
    assert datetime.fromisoformat(text).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z" == text


@pytest.mark.parametrize("path", ["/v1/merchants/12346/balances", "/v1/merchants/12346/balances?nonzero=true"])
async def test_a_merchant_without_balances_has_an_empty_list(calm: Service, path: str) -> None:
    answer = (await calm.get(path)).json()
    assert (answer["merchantId"], answer["balances"]) == (12346, [])


@pytest.mark.parametrize("can_deposit", [True, False])
async def test_can_deposit_is_what_the_upstream_says(calm: Service, newcomer: int, *, can_deposit: bool) -> None:
    calm.upstream.world.set(newcomer, [], can_deposit=can_deposit)
    v1 = (await calm.get(f"/v1/merchants/{newcomer}/balances")).json()
    v2 = (await calm.get(f"/v2/assets/account/assets?merchantId={newcomer}")).json()
    assert v1["canDeposit"] is v2["data"]["canDeposit"] is can_deposit
