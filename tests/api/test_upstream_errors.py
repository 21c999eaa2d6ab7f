"""Whatever the upstream does, callers get the one problem that says so; never its text, never its error as an answer."""

from typing import Any

import pytest

from app.redis.embedded import EmbeddedValkey
from sandbox import Sandbox
from tests.support.errors import KINDS, assert_envelope, assert_problem
from tests.support.gateway import free_port
from tests.support.merchant_fault import trouble
from tests.support.rows import row
from tests.support.seeded_redis import redis_name
from tests.support.service import Service, run_service

PATH = "/v1/merchants/12345/balances"
V2 = "/v2/assets/account/assets?merchantId=12345"
PATHS = [PATH, f"{PATH}/BTC", "/v1/portfolio"]

SECRET = "upstream-text-5b1e"  # what must not be seen

Fields = dict[str, Any]

FAULTS: list[tuple[str, Fields, str]] = [
    *(("status", {"status": status, "body": SECRET}, "upstream-faulty") for status in (500, 502, 503, 504, 599)),
    *(("status", {"status": status, "body": SECRET}, "malformed-answer") for status in (200, 201, 204, 400, 404, 418)),
    ("status", {"status": 401, "body": SECRET}, "token-refused"),
    ("status", {"status": 403, "body": SECRET}, "access-refused"),
    ("status", {"status": 500}, "upstream-faulty"),
    ("status", {"status": 200, "body": {"code": 200, "msg": SECRET, "data": None}}, "malformed-answer"),
    ("status", {"status": 200, "body": {"code": "200", "msg": SECRET}}, "malformed-answer"),
    ("status", {"status": 200, "body": [SECRET]}, "malformed-answer"),
    ("malformed", {}, "malformed-answer"),
    ("html", {}, "upstream-faulty"),
    ("redirect", {"location": f"https://{SECRET}.example/"}, "malformed-answer"),
    ("redirect", {"location": "/v2/base/cryptos", "status": 307}, "malformed-answer"),
    ("token-expired", {}, "token-refused"),
    ("address-not-listed", {}, "access-refused"),
    *(("code", {"code": code, "msg": SECRET}, "unknown-merchant") for code in (-5006, -5007)),
    *(("code", {"code": code, "msg": SECRET}, "request-refused") for code in (-4010, -4021, -4026)),
    *(("code", {"code": code, "msg": SECRET}, "access-refused") for code in (-5032, -5033)),
    *(("code", {"code": code, "msg": SECRET}, "merchant-inactive") for code in (-5043, -5062, -5066)),
    *(("code", {"code": code, "msg": SECRET}, "upstream-faulty") for code in (-5046, -4040, -4041)),
    *(
        ("code", {"code": code, "msg": SECRET}, "unknown-code")
        for code in (0, 1, 201, -1, -4009, -4027, -9999, 2**63 - 1)
    ),
    ("code", {"code": -5043, "msg": SECRET, "http_status": 500}, "merchant-inactive"),
    ("code", {"code": -9999, "msg": SECRET, "http_status": 500}, "upstream-faulty"),
    ("code", {"code": -9999, "msg": SECRET, "http_status": 401}, "token-refused"),
    ("code", {"code": 200, "msg": SECRET, "http_status": 503}, "upstream-faulty"),
    ("empty", {}, "malformed-answer"),
    ("wrong-types", {}, "malformed-answer"),
    ("amount", {"value": SECRET}, "malformed-answer"),
    ("duplicate-name", {}, "malformed-answer"),
    ("reset", {}, "upstream-unreachable"),
    ("truncated", {}, "upstream-unreachable"),
    ("close", {}, "upstream-unreachable"),
    ("gzip-bomb", {"megabytes": 3}, "malformed-answer"),
    ("huge", {"megabytes": 3}, "malformed-answer"),
    ("huge", {}, "malformed-answer"),
]


@pytest.mark.parametrize(("kind", "fields", "name"), FAULTS)
async def test_a_fault_is_reported_as_what_it_is_and_never_kept(
    calm: Service, newcomer: int, kind: str, fields: Fields, name: str
) -> None:
    calm.upstream.world.set(newcomer, [row("1", "1")])
    path = f"/v1/merchants/{newcomer}/balances"
    async with trouble(calm, newcomer, kind, **fields):
        response = await calm.get(path)
    assert_problem(response, name, instance=path)
    assert SECRET not in f"{response.headers} {response.text}"
    await calm.settle()
    kept = await calm.redis.exists(redis_name(calm, newcomer))
    # that there is no such merchant is knowledge, and kept as such
    assert bool(kept) is (name == "unknown-merchant")


REFUSED = [fault for fault in FAULTS if fault[2] in {"token-refused", "unknown-code", "merchant-inactive"}]


@pytest.mark.parametrize(("kind", "fields", "name"), [FAULTS[0], *REFUSED[::4], ("malformed", {}, "malformed-answer")])
async def test_below_v2_a_fault_is_an_envelope_in_our_own_words(
    calm: Service, newcomer: int, kind: str, fields: Fields, name: str
) -> None:
    async with trouble(calm, newcomer, kind, **fields):
        response = await calm.get(f"/v2/assets/account/assets?merchantId={newcomer}")
    assert_envelope(response, name)
    assert SECRET not in f"{response.headers} {response.text}"


@pytest.mark.parametrize("path", PATHS)
async def test_after_a_fault_the_next_read_asks_again(service: Service, path: str) -> None:
    with service.upstream.fault("token-expired"):
        assert_problem(await service.get(path), "token-refused")
    assert (await service.get(path)).status_code == 200
    assert service.upstream.counters.balance_calls == 2


async def test_an_absence_is_remembered_and_asked_for_once(service: Service) -> None:
    for _ in range(3):
        assert_problem(await service.get("/v1/merchants/99998/balances"), "unknown-merchant")
    assert service.upstream.counters.by_merchant == {99998: 1}


async def test_an_upstream_that_is_not_there_is_unreachable_and_not_named(
    upstream: Sandbox, valkey: EmbeddedValkey
) -> None:
    port = free_port()
    async with run_service(upstream, valkey.url, upstream_url=f"http://127.0.0.1:{port}") as service:
        response = await service.get(PATH)
    assert_problem(response, "upstream-unreachable")
    assert str(port) not in response.text
    assert "127.0.0.1" not in response.text


async def test_a_redirect_carries_the_token_nowhere(service: Service) -> None:
    with service.upstream.fault("redirect", location=f"{service.upstream.url}/v2/base/cryptos"):
        await service.get(PATH)
    assert service.upstream.counters.by_path == {"/v2/assets/account/assets": 1}


async def test_an_upstream_that_knows_no_portfolio_is_at_fault_and_not_the_caller(service: Service) -> None:
    with service.upstream.fault("code", code=-5006):
        for _ in range(2):
            assert (await service.get("/v1/portfolio")).status_code == 502
    assert (await service.get("/v1/portfolio")).status_code == 200


@pytest.mark.parametrize("path", PATHS)
async def test_every_status_of_a_failing_read_is_one_that_its_document_names(service: Service, path: str) -> None:
    documented = (await service.get("/openapi.json")).json()["paths"]
    template = path.replace("12345", "{merchantId}").replace("BTC", "{assetId}")
    for code in (-5006, -5043, -9999, -4010):
        with service.upstream.fault("code", code=code):
            response = await service.get(path, cache_control="no-cache")
        assert str(response.status_code) in documented[template]["get"]["responses"], response.text


def test_every_kind_of_upstream_problem_is_met_here() -> None:
    met = {name for _, _, name in FAULTS} | {"upstream-busy", "upstream-timeout", "breaker-open", "budget-spent"}
    upstreams = {name for name, kind in KINDS.items() if kind.status >= 502} - {
        "not-cached",
        "not-known-yet",
        "too-old",
        "deadline-passed",
        "store-unavailable",
        "incomplete",
        "issuer-unavailable",
    }
    assert upstreams <= met
