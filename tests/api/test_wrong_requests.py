"""Requests that are wrong in other ways than their ids: each is refused with a problem that says why, none crashes."""

import pytest

from tests.support.errors import assert_envelope, assert_problem
from tests.support.raw_asgi import ask_raw
from tests.support.service import Service

MERCHANT = "/v1/merchants/12345/balances"
V2 = "/v2/assets/account/assets"

UNKNOWN_PATHS = [
    "/",
    "/v1",
    "/v1/",
    "/v1/merchants/12345",
    "/v1/merchants//balances",
    "/v1/merchants/12345/balance",
    "/v1/merchants/12345/balances/BTC/x",
    "/v1/merchants/12345%2Fbalances",
    "/v1%2Fmerchants/12345/balances",
    "/v1/merchants/12345/balances%2FBTC",
    "/V1/portfolio",
    "/v1/portfolio;a=b",
    "/v1/portfolio/..",
    "/v1/portfolio%00",
    "/v1/portfolio%0A",
    "/v1%2Fx",
    "/v2",
    "/problems/nothing",
    "/problems/forbidden/x",
    "/docs/x",
    "/favicon.ico",
    "/.env",
    "/%ff%fe",
    "/%",
    "/%F0%9F%92%A9",
    "*",
]


@pytest.mark.parametrize("path", UNKNOWN_PATHS)
async def test_an_unknown_path_is_a_problem(calm: Service, path: str) -> None:
    assert_problem(await ask_raw(calm, path), "unknown-path")


@pytest.mark.parametrize(
    "path", ["/v2/", "/v2/x", "/v2/merchants", "/v2/assets/account", f"{V2}/x", "/v2/token/generate"]
)
async def test_an_unknown_path_below_v2_is_an_envelope(calm: Service, path: str) -> None:
    assert_envelope(await ask_raw(calm, path), "unknown-path")


@pytest.mark.parametrize(
    "path", ["/v1/portfolio/", f"{MERCHANT}/", "//v1/portfolio", "/v1//portfolio", "/health/live/"]
)
async def test_a_path_with_an_empty_segment_is_no_path_of_the_service(calm: Service, path: str) -> None:
    assert_problem(await ask_raw(calm, path), "unknown-path", instance=path)


@pytest.mark.parametrize("path", ["/schema", "/schema/", "/schema/openapi.json", "/schema/openapi.yaml", "/schema/x"])
async def test_the_frameworks_own_pages_are_not_served(calm: Service, path: str) -> None:
    assert_problem(await ask_raw(calm, path), "unknown-path")


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ("unknown=1", "'unknown'"),
        ("Assets=BTC", "'Assets'"),
        ("merchantId=1", "'merchantId'"),
        ("asset=BTC", "'asset'"),
        ("assets%20=BTC", "'assets '"),
        ("assets[]=BTC", "'assets[]'"),
        ("=", "''"),
        ("=BTC", "''"),
        ("x", "'x'"),
        ("%F0%9F%92%A9=1", "'💩'"),
        ("a%00b=1", r"'a\x00b'"),
        ("a" * 200, "a" * 64),
        ("nonzero=true;assets=BTC", "nonzero"),
        ("assets=BTC&assets=BTC", "'assets' comes twice"),
        ("assets=BTC&%61ssets=USDT", "twice"),
        ("nonzero=true&nonzero=false", "twice"),
        ("nonzero=", "nonzero"),
        ("nonzero", "nonzero"),
        ("nonzero=1", "nonzero"),
        ("nonzero=True", "nonzero"),
        ("nonzero=true%0A", "nonzero"),
        ("assets=", "assets"),
        ("assets", "assets"),
        ("assets=,", "assets"),
        ("assets=BTC,", "assets"),
        ("assets=,BTC", "assets"),
        ("assets=BTC,,USDT", "assets"),
        ("assets=" + "A" * 257, "assets"),
        ("assets=" + ",".join("A" * 101), "assets"),
    ],
)
@pytest.mark.parametrize("path", [MERCHANT, "/v1/portfolio"])
async def test_a_wrong_parameter_is_refused_by_name(calm: Service, path: str, query: str, named: str) -> None:
    response = await ask_raw(calm, f"{path}?{query}")
    assert_problem(response, "invalid-request", instance=path)
    assert named in response.json()["detail"]


@pytest.mark.parametrize(
    "query", [b"assets=%ff", b"assets=%C3", b"%ff=1", b"assets=\xff", b"assets=\xc3\xbc", b"%ED%A0%80"]
)
async def test_a_query_that_is_no_utf8_is_refused(calm: Service, query: bytes) -> None:
    assert_problem(await ask_raw(calm, b"/v1/portfolio?" + query), "invalid-request")
    assert_envelope(await ask_raw(calm, b"/v2/assets/account/assets?" + query), "invalid-request")


@pytest.mark.parametrize(
    "query", ["", "?", "?merchantId", "?merchantid=1", "?merchantId=1&x=1", "?merchantId=1&merchantId=1"]
)
async def test_v2_wants_exactly_one_merchant_id(calm: Service, query: str) -> None:
    assert_envelope(await ask_raw(calm, V2 + query), "invalid-request")


@pytest.mark.parametrize(
    "path",
    [f"{MERCHANT}/BTC", "/health/live", "/health/ready", "/openapi.json", "/docs", "/problems", "/problems/forbidden"],
)
async def test_a_path_that_takes_no_parameters_refuses_any(calm: Service, path: str) -> None:
    assert_problem(await ask_raw(calm, f"{path}?x=1"), "invalid-request")


@pytest.mark.parametrize("query", ["", "&", "&&nonzero=true", "assets=BTC&", "nonzero=true&&assets=BTC"])
async def test_an_empty_pair_in_a_query_says_nothing(calm: Service, query: str) -> None:
    assert (await ask_raw(calm, f"{MERCHANT}?{query}")).status_code == 200
