"""Only GET and HEAD read; HEAD is GET without a body; any other method is refused with the ones that there are."""

import pytest

from tests.support.errors import assert_envelope, assert_problem
from tests.support.raw_asgi import ask_raw
from tests.support.service import Service

BALANCE_PATHS = [
    "/v1/merchants/12345/balances",
    "/v1/merchants/12345/balances?assets=BTC&nonzero=true",
    "/v1/merchants/12345/balances/BTC",
    "/v1/portfolio",
    "/v2/assets/account/assets?merchantId=12345",
]
SERVICE_PATHS = ["/health/live", "/health/ready", "/openapi.json", "/docs", "/problems", "/problems/forbidden"]
WRONG = [
    "/v1/merchants/007/balances",
    "/v1/merchants/99999/balances",
    "/v1/merchants/12345/balances/DOGE",
    "/v1/portfolio?x=1",
    "/v2/assets/account/assets",
    "/v2/nothing",
    "/nothing",
    "/" + "a" * 9000,
]
METHODS = ["POST", "PUT", "PATCH", "DELETE", "TRACE", "CONNECT", "PROPFIND", "QUERY", "BREW", "get", "GETT", "*", "G T"]


def allowed(value: str) -> set[str]:
    return {method.strip() for method in value.split(",")}


@pytest.mark.parametrize("path", [*BALANCE_PATHS, *SERVICE_PATHS, *WRONG])
async def test_head_has_the_status_and_headers_of_get_and_no_body(calm: Service, path: str) -> None:
    await calm.get(path)  # so that both come out of the memory tier
    same_id = [(b"x-request-id", b"same")]
    got, headed = [await ask_raw(calm, path, method, same_id) for method in ("GET", "HEAD")]
    assert got.content
    assert headed.content == b""
    assert headed.status_code == got.status_code
    assert list(headed.headers) == list(got.headers)
    changing = {"age", "cache-status"}  # a second may begin between the two
    assert {**headed.headers, **dict.fromkeys(changing)} == {**got.headers, **dict.fromkeys(changing)}
    assert int(headed.headers["content-length"]) == len(got.content)


@pytest.mark.parametrize("path", BALANCE_PATHS)
async def test_head_is_conditional_like_get(calm: Service, path: str) -> None:
    etag = (await calm.get(path)).headers["etag"].encode()
    response = await ask_raw(calm, path, "HEAD", [(b"if-none-match", etag)])
    assert (response.status_code, response.content) == (304, b"")


async def test_head_of_a_cold_merchant_fetches_it_once(calm: Service, newcomer: int) -> None:
    calm.upstream.world.set(newcomer, [])
    for method in ("HEAD", "GET", "HEAD"):
        assert (await ask_raw(calm, f"/v1/merchants/{newcomer}/balances", method)).status_code == 200
    assert calm.upstream.counters.by_merchant[newcomer] == 1


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("path", [*BALANCE_PATHS[:3], *SERVICE_PATHS])
async def test_any_other_method_is_refused_with_those_that_there_are(calm: Service, method: str, path: str) -> None:
    response = await ask_raw(calm, path, method)
    assert_problem(response, "method-not-allowed", instance=path.partition("?")[0])
    assert {"GET", "HEAD"} <= allowed(response.headers["allow"]) <= {"GET", "HEAD", "OPTIONS"}


@pytest.mark.parametrize("method", METHODS)
async def test_below_v2_another_method_is_refused_in_an_envelope(calm: Service, method: str) -> None:
    response = await ask_raw(calm, BALANCE_PATHS[-1], method)
    assert_envelope(response, "method-not-allowed")
    assert {"GET", "HEAD"} <= allowed(response.headers["allow"])


@pytest.mark.parametrize("body", [(b"content-length", b"5"), (b"transfer-encoding", b"chunked")])
async def test_another_method_is_refused_with_a_body_too(calm: Service, body: tuple[bytes, bytes]) -> None:
    assert_problem(await ask_raw(calm, BALANCE_PATHS[0], "POST", [body]), "method-not-allowed")


@pytest.mark.parametrize("method", ["POST", "OPTIONS", "BREW", "HEAD"])
async def test_an_unknown_path_is_unknown_to_every_method(calm: Service, method: str) -> None:
    response = await ask_raw(calm, "/nothing", method)
    assert response.status_code == 404
    assert "allow" not in response.headers


@pytest.mark.parametrize("path", ["/v1/balances?merchantId=12345", "/v1/portfolio/reconciliation"])
async def test_options_names_post_where_it_is_one_of_them(calm: Service, path: str) -> None:
    response = await ask_raw(calm, path, "OPTIONS")
    assert (response.status_code, response.content) == (204, b"")
    assert allowed(response.headers["allow"]) == {"GET", "HEAD", "POST", "OPTIONS"}


@pytest.mark.parametrize("path", [*BALANCE_PATHS, *SERVICE_PATHS])
async def test_options_names_the_methods_that_there_are(calm: Service, path: str) -> None:
    response = await ask_raw(calm, path, "OPTIONS")
    assert response.status_code == 204
    assert allowed(response.headers["allow"]) == {"GET", "HEAD", "OPTIONS"}
    assert response.content == b""
