"""Which rows are shown: filters, anomalies, and promise 3: unknown is never zero."""

from typing import Any

import pytest

from tests.support.errors import assert_envelope, assert_problem
from tests.support.rows import row
from tests.support.service import Service

ROWS = [
    row("3", "2", "1", "USDT"),
    row("0", "0", "0", "BTC"),
    row("0", "-1", "1", "CADC"),
    row("0E-8", "0", "0.000", "MXNB"),
    row("1", "1", "0", "a b&c=ü"),
]


@pytest.fixture
def path(calm: Service, newcomer: int) -> str:
    """The path of a merchant with rows of every kind."""
    calm.upstream.world.set(newcomer, ROWS)
    return f"/v1/merchants/{newcomer}/balances"


async def assets(service: Service, path: str) -> list[str]:
    response = await service.get(path)
    assert response.status_code == 200, response.text
    return [line["assetId"] for line in response.json()["balances"]]


@pytest.mark.parametrize(
    ("query", "shown"),
    [
        ("", ["BTC", "CADC", "MXNB", "USDT", "a b&c=ü"]),
        ("?assets=USDT,BTC", ["BTC", "USDT"]),
        ("?assets=USDT", ["USDT"]),
        ("?assets=USDT,USDT", ["USDT"]),
        ("?assets=USDT,DOGE", ["USDT"]),
        ("?assets=usdt", []),
        ("?assets=a%20b%26c%3D%C3%BC", ["a b&c=ü"]),
        ("?assets=a+b%26c%3D%C3%BC", ["a b&c=ü"]),
        ("?nonzero=true", ["CADC", "USDT", "a b&c=ü"]),
        ("?nonzero=false", ["BTC", "CADC", "MXNB", "USDT", "a b&c=ü"]),
        ("?nonzero=true&assets=USDT,BTC", ["USDT"]),
        ("?assets=BTC&nonzero=true", []),
    ],
)
async def test_a_filter_shows_the_assets_it_names_and_those_that_are_held(
    calm: Service, path: str, query: str, shown: list[str]
) -> None:
    assert await assets(calm, path + query) == shown


async def test_filters_of_one_merchant_share_one_upstream_call(calm: Service, path: str, newcomer: int) -> None:
    for query in ("", "?assets=BTC", "?assets=USDT&nonzero=true", "?nonzero=true", "/BTC"):
        await calm.get(path + query)
    assert calm.upstream.counters.by_merchant[newcomer] == 1


async def test_the_portfolio_takes_the_same_filters(service: Service) -> None:
    service.upstream.world.set(777, [row("0", asset="ZERO")])
    assert await assets(service, "/v1/portfolio?assets=BTC") == ["BTC"]
    assert await assets(service, "/v1/portfolio?nonzero=true") == ["BTC", "USDT"]
    assert await assets(service, "/v1/portfolio") == ["BTC", "USDT", "ZERO"]


async def test_an_asset_held_at_zero_is_a_row_of_zero(calm: Service, path: str) -> None:
    assert (await calm.get(f"{path}/BTC")).json()["total"] == "0"


@pytest.mark.parametrize("asset", ["DOGE", "btc", "BT", "BTC%20", "BTC%00", "0", "null", "B" * 65, "%F0%9F%AA%99"])
async def test_an_asset_that_is_not_listed_is_not_found_and_not_zero(calm: Service, path: str, asset: str) -> None:
    assert_problem(await calm.get(f"{path}/{asset}"), "unknown-asset")
    assert_problem(await calm.get(f"/v1/merchants/12346/balances/{asset}"), "unknown-asset")


@pytest.mark.parametrize("asset", ["a%20b%26c%3D%C3%BC", "a b&c=ü"])
async def test_an_asset_is_found_by_its_percent_encoded_name(calm: Service, path: str, asset: str) -> None:
    assert (await calm.get(f"{path}/{asset}")).json()["assetId"] == "a b&c=ü"


@pytest.mark.parametrize("merchant", ["778", "1", "9007199254740991"])
async def test_a_merchant_that_the_upstream_does_not_know_is_not_found_and_not_empty(
    service: Service, merchant: str
) -> None:
    assert_problem(await service.get(f"/v1/merchants/{merchant}/balances"), "unknown-merchant")
    assert_problem(await service.get(f"/v1/merchants/{merchant}/balances/BTC"), "unknown-merchant")
    assert_envelope(await service.get(f"/v2/assets/account/assets?merchantId={merchant}"), "unknown-merchant")
    assert service.upstream.counters.by_merchant == {int(merchant): 1}


ODD: list[tuple[list[dict[str, object]], list[dict[str, Any]]]] = [
    ([row("9", "1", "1")], [{"assetId": "BTC", "kind": "total-mismatch"}]),
    ([row("-1", "-1")], [{"assetId": "BTC", "kind": "negative-amount"}]),
    ([row("0", "1", "-1")], [{"assetId": "BTC", "kind": "negative-amount"}]),
    ([row("1", "1"), row("1", "1")], [{"assetId": "BTC", "kind": "duplicate-asset", "rows": 2}]),
    (
        # the mismatches cancel out in the sum, and are told all the same
        [row("2", "1"), row("0", "1"), row("-1", "-1", asset="A")],
        [
            {"assetId": "A", "kind": "negative-amount"},
            {"assetId": "BTC", "kind": "duplicate-asset", "rows": 2},
            {"assetId": "BTC", "kind": "total-mismatch"},
        ],
    ),
]


@pytest.mark.parametrize(("rows", "anomalies"), ODD)
async def test_what_is_odd_is_flagged_and_not_corrected(
    calm: Service, newcomer: int, rows: list[dict[str, object]], anomalies: list[dict[str, Any]]
) -> None:
    calm.upstream.world.set(newcomer, rows)
    answer = (await calm.get(f"/v1/merchants/{newcomer}/balances")).json()
    assert list(answer) == ["merchantId", "canDeposit", "asOf", "balances", "anomalies"]
    assert answer["anomalies"] == anomalies
    if len(rows) == 1:
        assert answer["balances"] == rows


async def test_an_odd_portfolio_shows_it_too(service: Service) -> None:
    with service.upstream.fault("total-mismatch", merchants=[0]):
        answer = (await service.get("/v1/portfolio")).json()
    assert answer["anomalies"] == [{"assetId": "USDT", "kind": "total-mismatch"}]
    assert answer["balances"][1]["total"] == "5001"


async def test_anomalies_are_absent_where_nothing_is_odd(calm: Service) -> None:
    assert "anomalies" not in (await calm.get("/v1/merchants/12345/balances")).json()


async def test_only_the_anomalies_of_the_rows_shown_are_shown(calm: Service, newcomer: int) -> None:
    calm.upstream.world.set(newcomer, [row("9", "1"), row("9", "1", asset="A"), row("1", "1", asset="C")])
    answer = (await calm.get(f"/v1/merchants/{newcomer}/balances?assets=A,C")).json()
    assert [anomaly["assetId"] for anomaly in answer["anomalies"]] == ["A"]
    assert "anomalies" not in (await calm.get(f"/v1/merchants/{newcomer}/balances?assets=C")).json()


async def test_fields_that_nobody_knows_are_passed_over(service: Service) -> None:
    with service.upstream.fault("unknown-field"):
        answer = await service.get("/v1/merchants/12345/balances")
    assert answer.status_code == 200
    assert "unheardOf" not in answer.text
