"""Promise 7: a caller learns nothing about a merchant that it may not read, not even that it exists."""

import json
import re

import pytest

from tests.support.errors import assert_envelope, assert_problem
from tests.support.raw_asgi import app_of, ask_app
from tests.support.rows import row
from tests.support.service import KEYS, Service

EXISTS, EXISTS_NOT = "12346", "99998"
MANY = 100_000
"""More than there are newcomers: a merchant that there is not, so many after one that there is."""

SOME = (b"authorization", f"Bearer {KEYS['some']}".encode())

PATHS = [
    "/v1/merchants/{id}/balances",
    "/v1/merchants/{id}/balances?assets=BTC&nonzero=true",
    "/v1/merchants/{id}/balances/BTC",
    "/v1/merchants/{id}/balances?format=csv",
    "/v1/merchants/{id}/balances/BTC?format=text",
]
PATHS += ["/v1/merchants/{id}/balances?assets=", "/v1/merchants/{id}/balances?nonzero=x"]
PATHS += [f"/v1/merchants/{{id}}/balances?at={at}" for at in ("2026-01-01T00:00:00Z", "9999-01-01T00:00:00Z")]
PATHS += ["/v1/merchants/{id}/changes", "/v1/merchants/{id}/changes?limit=x", "/v1/changes?merchantId=12345,{id}"]
PATHS += ["/v1/watch?merchantId=12345,{id}", "/v2/assets/account/assets?merchantId={id}"]
PATHS += [f"/v1/balances?merchantId={ids}" for ids in ("{id}", "12345,{id}", "{id},12345", "12345,{id},{id}")]
PATHS += ["/v1/balances?merchantId={id}&require=complete", "/v1/balances?merchantId={id}&format=csv"]
BODY = ["/v1/balances", "/v1/balances?require=complete", "/v1/balances?assets=BTC&format=text", "/v1/moved"]

REQUESTS: list[tuple[str, list[tuple[bytes, bytes]]]] = [
    *((path, []) for path in (*PATHS, *BODY)),
    (PATHS[0], [(b"if-none-match", b"*")]),
    (PATHS[0], [(b"cache-control", b"only-if-cached")]),
    (PATHS[0], [(b"cache-control", b"no-cache")]),
    (PATHS[0], [(b"cache-control", b"max-age=nonsense")]),
]


async def forbidden(service: Service, path: str, merchant: str, method: str, extra: list[tuple[bytes, bytes]]) -> str:
    """Give everything that a caller sees, with the id that it sent itself taken out."""
    headers = [SOME, (b"x-request-id", b"same"), *extra]
    body = b""
    if path in BODY:
        method, body = "POST", f'{{"merchantIds":[12345,{merchant}]}}'.encode()
        headers += [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    response = await ask_app(app_of(service), path.format(id=merchant), method, headers, body)
    assert response.status_code == 403
    return f"{response.status_code} {list(response.headers.multi_items())} {response.text}".replace(merchant, "?")


@pytest.mark.parametrize(("path", "extra"), REQUESTS)
async def test_what_may_not_be_read_looks_the_same_whether_it_exists_or_not_cached_or_not(
    calm: Service, path: str, extra: list[tuple[bytes, bytes]], newcomer: int
) -> None:
    calm.upstream.world.set(newcomer, [row("1", "1")])
    merchants = (newcomer, newcomer + MANY)
    calls = calm.upstream.counters.by_merchant

    async def measure() -> set[str]:
        return {await forbidden(calm, path, str(merchant), "GET", extra) for merchant in merchants}

    cold = await measure()
    assert not calls.keys() & set(merchants)
    for merchant in merchants:
        await calm.get(f"/v1/merchants/{merchant}/balances")
    warm = await measure()
    with calm.upstream.fault("token-expired", merchants=merchants):
        failing = await measure()
    assert len(cold | warm | failing) == 1
    assert [calls[merchant] for merchant in merchants] == [1, 1]


@pytest.mark.parametrize("path", PATHS)
async def test_head_shows_no_more_than_get(calm: Service, path: str) -> None:
    seen = {await forbidden(calm, path, merchant, "HEAD", []) for merchant in (EXISTS, EXISTS_NOT)}
    assert len(seen) == 1


async def test_every_path_that_names_a_merchant_is_among_these(calm: Service) -> None:
    document = (await calm.anonymous.get("/openapi.json")).text.lower()
    paths = json.loads(document)["paths"]
    asked = {
        path: [(each.get("parameters"), each.get("requestbody")) for each in operations.values()]
        for path, operations in paths.items()
    }
    naming = {path for path in paths if "merchantid" in path or '"merchantid"' in json.dumps(asked[path])}
    naming |= {path for path in paths if "batchquestion" in json.dumps(asked[path])}
    tried = {re.sub(r"\?.*", "", path).lower().format(id="{merchantid}") for path in (*PATHS, *BODY)}
    assert naming == {path.replace("/btc", "/{assetid}") for path in tried}


async def test_the_refusal_is_a_problem_that_names_no_merchant(calm: Service) -> None:
    response = await calm.get("/v1/merchants/12346/balances", "some")
    assert_problem(response, "forbidden", instance="/v1/merchants/12346/balances")
    assert "12346" not in response.json()["detail"]
    assert_envelope(await calm.get("/v2/assets/account/assets?merchantId=12346", "some"), "forbidden")


async def test_an_id_that_can_be_none_is_refused_before_rights_are_checked(calm: Service) -> None:
    for merchant in ("0", "007", "abc"):
        assert_problem(await calm.get(f"/v1/merchants/{merchant}/balances", "some"), "invalid-request")


async def test_a_merchant_of_ones_own_that_does_not_exist_is_unknown_and_not_forbidden(service: Service) -> None:
    assert_problem(await service.get("/v1/merchants/777/balances", "some"), "unknown-merchant")
    service.upstream.world.set(778, [row("1", "1")])
    assert_problem(await service.get("/v1/merchants/778/balances", "some"), "forbidden")


async def test_rights_are_to_the_digit(calm: Service) -> None:
    for merchant in ("1234", "123456", "1", "77", "7777"):
        assert_problem(await calm.get(f"/v1/merchants/{merchant}/balances", "some"), "forbidden")


async def test_a_caller_with_rights_sees_the_same_answer_as_any_other(calm: Service) -> None:
    paths = ["/v1/merchants/12345/balances", "/v2/assets/account/assets?merchantId=12345"]
    for path in paths:
        one, other = await calm.get(path), await calm.get(path, "some")
        assert (one.content, one.headers["etag"]) == (other.content, other.headers["etag"])
