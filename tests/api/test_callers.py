"""Who is asking: one key, as a bearer token or where the upstream takes its own; and how fast."""

import threading

import httpx
import pytest

from app.errors import UnknownMerchant
from app.redis.embedded import EmbeddedValkey
from sandbox import Sandbox
from tests.support.apps import failing_app
from tests.support.errors import assert_envelope, assert_problem
from tests.support.raw_asgi import app_of, ask_app
from tests.support.service import Service, run_service

PATH = "/v1/merchants/12345/balances"
V2 = "/v2/assets/account/assets?merchantId=12345"
ALL = b"tg_all"

Header = tuple[bytes, bytes]


async def ask(service: Service, headers: list[Header], path: str = PATH) -> httpx.Response:
    return await ask_app(app_of(service), path, headers=headers)


@pytest.mark.parametrize(
    "headers",
    [
        [(b"authorization", b"Bearer " + ALL)],
        [(b"authorization", b"bearer " + ALL)],
        [(b"authorization", b"BEARER  " + ALL + b" ")],
        [(b"x-bh-token", ALL)],
        [(b"x-bh-token", ALL), (b"authorization", b"Bearer " + ALL)],
        [(b"x-bh-token", ALL), (b"x-bh-token", ALL)],
        [(b"x-bh-token", ALL), (b"authorization", b"Basic dGdfYWxsOg==")],
    ],
)
async def test_one_key_is_let_in_however_it_is_sent(calm: Service, headers: list[Header]) -> None:
    for path in (PATH, V2, "/v1/portfolio"):
        assert (await ask(calm, headers, path)).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [(b"authorization", b"")],
        [(b"authorization", b"Bearer")],
        [(b"authorization", b"Bearer ")],
        [(b"authorization", b"Bearer    ")],
        [(b"authorization", ALL)],
        [(b"authorization", b"Bearer" + ALL)],
        [(b"authorization", b"Bearer\t" + ALL)],
        [(b"authorization", b"Basic " + ALL)],
        [(b"authorization", b"Basic dGdfYWxsOg==")],
        [(b"authorization", b"Bearer tg_al")],
        [(b"authorization", b"Bearer tg_alll")],
        [(b"authorization", b"Bearer TG_ALL")],
        [(b"authorization", b"Bearer tg_all,tg_all")],
        [(b"authorization", b"Bearer tg_all tg_all")],
        [(b"authorization", b"Bearer \xff\xfe")],
        [(b"authorization", b"Bearer " + b"a" * 8000)],
        [(b"authorization", b"Bearer canary-token-3d1f")],
        [(b"x-bh-token", b"")],
        [(b"x-bh-token", b"wrong")],
        [(b"x-bh-token", b"canary-token-3d1f")],
        [(b"x-bh-token", b"Bearer " + ALL)],
        [(b"x-bh-apikey", ALL)],
        [(b"cookie", b"key=" + ALL)],
    ],
)
async def test_no_key_or_a_wrong_one_is_kept_out(calm: Service, headers: list[Header]) -> None:
    calls = calm.upstream.counters.balance_calls
    responses = [await ask(calm, headers, path) for path in (PATH, f"{PATH}/BTC", "/v1/portfolio")]
    for response in responses:
        assert_problem(response, "unauthenticated")
    below_v2 = await ask(calm, headers, V2)
    assert_envelope(below_v2, "unauthenticated")
    assert {r.headers["www-authenticate"] for r in (*responses, below_v2)} == {'Bearer realm="tallygate"'}
    presented = {value.decode("latin-1").split()[-1] for _, value in headers if len(value) > 5} - {"Bearer"}
    for response in (*responses, below_v2):  # it may be the upstream's token, sent by mistake
        told = f"{response.headers} {response.text}"
        assert not [secret for secret in presented if secret in told]
    assert calm.upstream.counters.balance_calls == calls


@pytest.mark.parametrize("other", [b"tg_some", b"wrong", b""])
async def test_two_different_keys_are_none(calm: Service, other: bytes) -> None:
    for headers in (
        [(b"x-bh-token", other), (b"authorization", b"Bearer " + ALL)],
        [(b"authorization", b"Bearer " + ALL), (b"authorization", b"Bearer " + other)],
        [(b"x-bh-token", ALL), (b"x-bh-token", other)],
    ):
        assert_problem(await ask(calm, headers), "unauthenticated")


@pytest.mark.parametrize(
    "path", ["/v1/merchants/007/balances", f"{PATH}?x=1", "/v1/merchants/99999/balances", f"{PATH}/DOGE", f"{PATH}?%ff"]
)
async def test_who_is_not_known_learns_nothing_about_the_request(calm: Service, path: str) -> None:
    assert_problem(await calm.anonymous.get(path), "unauthenticated")


@pytest.mark.parametrize(
    "path", ["/health/live", "/health/ready", "/openapi.json", "/docs", "/problems", "/problems/forbidden"]
)
async def test_the_services_own_pages_need_no_key(calm: Service, path: str) -> None:
    assert (await calm.anonymous.get(path)).status_code == 200
    assert (await calm.anonymous.get(path, headers={"Authorization": "Bearer wrong"})).status_code == 200


async def test_the_portfolio_is_a_right_of_its_own(calm: Service) -> None:
    assert_problem(await calm.get("/v1/portfolio", "some"), "forbidden")
    assert_envelope(await calm.get("/v2/assets/account/assets?merchantId=0", "some"), "forbidden")
    assert (await calm.get(PATH, "some")).status_code == 200


async def test_a_caller_above_its_rate_learns_when_to_come_again(service: Service) -> None:
    statuses = [(await service.get(PATH, "slow")).status_code for _ in range(30)]
    assert statuses[:2] == [200, 200]
    assert 429 in statuses
    response = await service.get(PATH, "slow")
    assert_problem(response, "too-fast")
    assert response.headers["retry-after"] == "1"
    below_v2 = await service.get(V2, "slow")
    assert_envelope(below_v2, "too-fast")
    assert below_v2.headers["retry-after"] == "1"


async def test_who_is_too_fast_slows_nobody_else_down_and_asks_for_nothing(service: Service) -> None:
    for merchant in range(1, 31):
        await service.get(f"/v1/merchants/{merchant}/balances", "slow")
    assert service.upstream.counters.total < 15
    assert (await service.get(PATH)).status_code == 200
    assert (await service.get(PATH, "some")).status_code == 200


async def test_a_rate_counts_every_request_whatever_it_asks(service: Service) -> None:
    wrong = ["/v1/merchants/007/balances", f"{PATH}?x=1", "/v1/portfolio?nonzero=maybe", f"{PATH}/DOGE"]
    statuses = [(await service.get(path, "slow")).status_code for path in wrong * 8]
    assert statuses[0] == 400
    assert 429 in statuses


async def test_callers_are_judged_in_one_thread_so_that_no_rate_is_counted_twice_at_once(plain: bool) -> None:
    threads: set[int] = set()

    def monotonic() -> float:
        threads.add(threading.get_ident())
        return 0.0

    async with failing_app(UnknownMerchant("There is none."), plain=plain, monotonic=monotonic) as client:
        await client.get(PATH)
    assert threads == {threading.get_ident()}


async def test_a_rated_caller_sees_what_is_left_and_another_one_nothing(service: Service) -> None:
    told = await service.get(PATH, "slow")
    assert (told.headers["ratelimit-policy"], told.headers["ratelimit"]) == ('"default";q=2;w=1', '"default";r=1;t=1')
    refused = [await service.get(PATH, "slow") for _ in range(30)][-1]
    assert refused.status_code == 429
    assert refused.headers["ratelimit"] == '"default";r=0;t=1'
    assert not {"ratelimit", "ratelimit-policy"} & set((await service.get(PATH)).headers)


async def test_who_sends_many_wrong_keys_is_slowed_down_and_a_right_key_is_not(
    upstream: Sandbox, valkey: EmbeddedValkey
) -> None:
    async with run_service(upstream, valkey.url, wrong_keys_rate=0.01) as service:
        wrong = {"Authorization": "Bearer wrong"}
        first, second = [await service.anonymous.get(PATH, headers=wrong) for _ in range(2)]
        assert_problem(first, "unauthenticated")
        assert_problem(second, "too-fast")
        assert int(second.headers["retry-after"]) > 1
        assert (await service.get(PATH)).status_code == 200
        assert_problem(await service.anonymous.get(PATH), "unauthenticated")


async def test_behind_a_trusted_proxy_one_address_is_slowed_down_and_not_its_neighbour(
    upstream: Sandbox, valkey: EmbeddedValkey
) -> None:
    async with run_service(upstream, valkey.url, wrong_keys_rate=0.01, trusted_proxies=("127.0.0.0/8",)) as service:

        async def ask(address: str) -> httpx.Response:
            headers = {"Authorization": "Bearer wrong", "X-Forwarded-For": address}
            return await service.anonymous.get(PATH, headers=headers)

        assert_problem(await ask("198.51.100.7"), "unauthenticated")
        assert_problem(await ask("203.0.113.9, 198.51.100.7"), "too-fast")
        assert_problem(await ask("203.0.113.9"), "unauthenticated")
