"""Assets with long and odd ids have paths like all others; a row that cannot be read spoils nothing but itself."""

from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote

import msgspec
import pytest

from app.redis.embedded import EmbeddedValkey
from sandbox import Sandbox
from tests.support.errors import assert_problem
from tests.support.reconciling import reconcile
from tests.support.rows import row
from tests.support.service import Service, run_service

IBC = "ibc/27394FB092D2ECCD56123C74F36E4C1F926001CEADA9CA97EA622B25F41E5EB2"
ODD = [
    IBC,
    "a/b/c",
    "/",
    "//",
    "%2F",
    "100%",
    "a b",
    "Ünïcøde ₿",
    "a,b",
    "a,b%2Cc",
    "?x=1#y",
    "..",
    "\n",
    '"',
    "x" * 256,
]
HALF_A_PAIR = msgspec.Raw(b'"\\ud800"')
LEFT_OUT = [{"assetId": "USDC", "kind": "unreadable-asset", "rows": 1}, {"kind": "unreadable-asset", "rows": 2}]


def segment(asset_id: str) -> str:
    return quote(asset_id, safe="").replace(".", "%2E")


@pytest.fixture(scope="module")
async def odd(valkey: EmbeddedValkey, plain: bool) -> AsyncIterator[Service]:
    """A service of a merchant with odd assets, each of another amount, and one that holds the first of them."""
    async with Sandbox(scenario="document", merchants=4, token="canary-token-3d1f") as upstream:
        upstream.world.set(10001, [row(str(n), str(n), asset=one) for n, one in enumerate(ODD, 1)])
        upstream.world.set(10002, [row("0.5", "0.5", asset=IBC)])
        async with run_service(upstream, valkey.url) as running:
            yield running


async def get(service: Service, path: str) -> Any:
    response = await service.get(path)
    assert response.status_code == 200, response.text
    return response.json()


@pytest.mark.parametrize(("amount", "asset_id"), list(enumerate(ODD, 1)), ids=[ascii(one)[:20] for one in ODD])
async def test_each_asset_has_a_path_and_can_be_selected_and_sorted_by(
    odd: Service, amount: int, asset_id: str
) -> None:
    path = "/v1/merchants/10001/balances"
    for _ in range(2):  # the second one comes from the hot path
        found = await get(odd, f"{path}/{segment(asset_id)}")
        assert (found["merchantId"], found["assetId"], found["total"]) == (10001, asset_id, str(amount))
    in_a_list = asset_id.replace("%", "%25").replace(",", "%2C")
    selected = await get(odd, f"{path}?assets=USDT,{segment(in_a_list)}")
    assert [one["assetId"] for one in selected["balances"]] == [asset_id]
    assert (await odd.get(f"{path}/{segment(asset_id)}?format=csv")).text.count("\r\n") == 2
    holders = await get(odd, f"/v1/portfolio/assets/{segment(asset_id)}")
    assert (holders["assetId"], holders["holders"][0]["merchantId"]) == (asset_id, 10001)
    first = (await get(odd, f"/v1/portfolio/merchants?limit=1&sort=-{segment(asset_id)}"))["merchants"]
    assert [one["merchantId"] for one in first] == [10001]


async def test_pages_of_holders_of_an_odd_asset_lead_on(odd: Service) -> None:
    first = await odd.get(f"/v1/portfolio/assets/{segment(IBC)}?limit=1")
    link = first.headers["link"].partition(">")[0].removeprefix("<")
    assert link == f"/v1/portfolio/assets/{segment(IBC)}?limit=1&after={first.json()['next']}"
    second = await get(odd, link)
    assert [one["merchantId"] for one in (*first.json()["holders"], *second["holders"])] == [10001, 10002]


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        ("/v1/merchants/12345%2Fbalances", "unknown-path"),
        ("/v1/merchants/12345%2Fbalances/BTC", "unknown-path"),
        ("/v1/merchants/12345/balances%2FBTC", "unknown-path"),
        ("/v1/merchants%2F12345/balances", "unknown-path"),
        ("/v1/portfolio%2Fassets/BTC", "unknown-path"),
        ("/v1/portfolio/assets%2FBTC", "unknown-path"),
        ("/v1/merchants/12345%2F1/balances", "invalid-request"),
        ("/v1/merchants/12345/balances/BTC%2F", "unknown-asset"),
        ("/v1/merchants/12345/balances/BTC%252F", "unknown-asset"),
        ("/v1/merchants/12345/balances/%FF", "unknown-asset"),
        ("/v1/merchants/12345/balances/%", "unknown-asset"),
        (f"/v1/merchants/12345/balances/{'x' * 257}", "invalid-request"),
        (f"/v1/portfolio/assets/{'x' * 257}", "invalid-request"),
        ("/v1/portfolio/reconciliations/a%2Fb", "unknown-reconciliation"),
    ],
)
async def test_an_encoded_slash_separates_nothing(calm: Service, path: str, problem: str) -> None:
    assert_problem(await calm.get(path), problem)


async def test_encoded_letters_of_a_path_are_letters(calm: Service) -> None:
    assert (await get(calm, "/v1/%6Derchants/1%32345/balances/%42TC"))["assetId"] == "BTC"


async def test_a_too_long_id_spoils_its_row_alone(calm: Service, newcomer: int) -> None:
    calm.upstream.world.set(newcomer, [row("1", "1", asset="BTC"), row("2", "2", asset="x" * 257)])
    path = f"/v1/merchants/{newcomer}/balances"
    found = await get(calm, path)
    assert [one["assetId"] for one in found["balances"]] == ["BTC"]
    assert found["anomalies"] == [{"kind": "unreadable-asset", "rows": 1}]
    assert (await get(calm, f"{path}?assets=BTC"))["anomalies"] == found["anomalies"]
    assert_problem(await calm.get(f"{path}/ETH"), "unknown-asset")


@pytest.fixture
async def spoilt(valkey: EmbeddedValkey, plain: bool) -> AsyncIterator[Service]:
    """A service of four merchants, one of which has rows that cannot be read."""
    async with Sandbox(scenario="document", merchants=4, token="canary-token-3d1f") as upstream:
        upstream.world.set(
            10001,
            [
                row("1", "1", asset="BTC"),
                {**row("2", "2", asset="USDC"), "assetName": HALF_A_PAIR},
                {**row("3", "3"), "assetId": HALF_A_PAIR},
                {**row("4", "4"), "assetId": None},
            ],
        )
        async with run_service(upstream, valkey.url) as running:
            yield running


async def test_what_lacks_a_row_says_so(spoilt: Service) -> None:
    account = await get(spoilt, "/v1/merchants/10001/balances")
    assert ([one["assetId"] for one in account["balances"]], account["anomalies"]) == (["BTC"], LEFT_OUT)
    envelope = await get(spoilt, "/v2/assets/account/assets?merchantId=10001")
    assert (envelope["code"], envelope["data"]["anomalies"]) == (200, LEFT_OUT)
    assert_problem(await spoilt.get("/v1/merchants/10001/balances/USDC"), "malformed-answer")
    assert_problem(await spoilt.get("/v1/merchants/10001/balances/ETH"), "unknown-asset")
    assert (await get(spoilt, "/v1/merchants/10001/balances/BTC"))["total"] == "1"


async def test_a_whole_that_lacks_a_row_is_not_complete(spoilt: Service) -> None:
    batch = await get(spoilt, "/v1/balances?merchantId=12345,10001")
    assert (batch["complete"], batch["coverage"]) == (
        False,
        {"expected": 2, "fresh": 2, "stale": 0, "unavailable": 0, "partial": 1},
    )
    assert "partial" not in (await get(spoilt, "/v1/balances?merchantId=12345"))["coverage"]
    refused = await spoilt.get("/v1/balances?merchantId=12345,10001&require=complete")
    assert (refused.status_code, [one["merchantId"] for one in refused.json()["failed"]]) == (502, [10001])
    breakdown = await get(spoilt, "/v1/portfolio/merchants")
    assert (breakdown["complete"], "totals" in breakdown, breakdown["coverage"]["partial"]) == (False, False, 1)
    holders = await get(spoilt, "/v1/portfolio/assets/BTC")
    assert (holders["complete"], "total" in holders, holders["noShares"]) == (False, False, "incomplete")
    assert (await get(spoilt, "/v1/portfolio/assets/USDC"))["holders"] == []


async def test_a_reconciliation_that_lacks_a_row_is_incomplete(spoilt: Service) -> None:
    job = await reconcile(spoilt)
    assert (job["state"], set(job["verdicts"]), job["missingMerchants"]) == ("done", {"incomplete"}, [10001])


async def test_a_table_has_a_row_for_what_was_left_out(spoilt: Service) -> None:
    lines = (await spoilt.get("/v1/merchants/10001/balances?format=csv")).text.splitlines()
    assert [line.split(",")[4:11] for line in lines[2:]] == [
        ["USDC", "", "", "", "", "", "unreadable-asset"],
        ["", "", "", "", "", "", "unreadable-asset"],
    ]


async def test_labels_of_metrics_are_bounded(spoilt: Service) -> None:
    spoilt.upstream.world.set(10002, [row("-1", "-1", asset=one) for one in ODD])
    await spoilt.get("/v1/merchants/10002/balances")
    await spoilt.get("/v1/merchants/10001/balances")
    lines = [line for line in (await spoilt.get("/metrics")).text.splitlines() if "anomalies_total{" in line]
    assert any('kind="unreadable-asset"' in line and 'asset="USDC"' in line for line in lines)
    assert any('kind="unreadable-asset"' in line and 'asset="other"' in line for line in lines)
    assert not any("\\n" in line or IBC in line or "xxx" in line for line in lines)
