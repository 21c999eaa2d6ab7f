"""What a request's Cache-Control accepts is what it gets, or a problem (RFC 9111, 5.2.1): counted at the upstream."""

import pytest

from tests.support.errors import assert_envelope, assert_problem
from tests.support.merchant_fault import trouble
from tests.support.raw_asgi import ask_raw
from tests.support.rows import row
from tests.support.seeded_redis import OLD_TOTAL, store
from tests.support.service import Service

PATH = "/v1/merchants/12345/balances"
V2 = "/v2/assets/account/assets?merchantId=12345"

ROWS = [row("0.5", "0.5")]


STORED = [
    # age of what is stored, the request's directives
    (300, ""),
    (300, "max-age=400"),
    (300, "max-age=10000"),
    (300, "MAX-AGE=400"),
    (300, 'max-age="400"'),
    (300, "max-age=99999999999999999999999999"),
    (300, "max-stale"),
    (300, "max-stale=0"),
    (100, "min-fresh=300"),
    (100, "min-fresh=0"),
    (300, "only-if-cached"),
    (300, "only-if-cached, max-age=400"),
    (2000, "only-if-cached"),
    (9000, "max-stale"),
    (900000, "max-stale"),
    (9000, "max-stale=8600"),
    (9000, "max-stale=8600,max-age=9100"),
    (59000, "only-if-cached, max-stale"),
    (300, "no-store, no-transform, foo, bar=1, bar=2, private"),
]


@pytest.mark.parametrize(("age_seconds", "directives"), STORED)
async def test_a_stored_answer_is_given_where_the_directives_accept_it(
    patient: Service, newcomer: int, age_seconds: float, directives: str
) -> None:
    await store(patient, newcomer, age_seconds=age_seconds)
    async with trouble(patient, newcomer, "hang"):  # what is fetched cannot come
        response = await patient.get(f"/v1/merchants/{newcomer}/balances", cache_control=directives)
    assert response.status_code == 200, response.text
    assert response.json()["balances"][0]["total"] == OLD_TOTAL
    assert int(response.headers["age"]) >= age_seconds


FETCHED = [
    (3600, ""),
    (300, "max-age=200"),
    (300, "max-age=0"),
    (300, "no-cache"),
    (300, "No-Cache"),
    (0, "no-cache"),
    (300, "no-cache, max-stale"),
    (300, "min-fresh=300"),
    (600, "max-stale=0"),
    (9000, "max-stale=8000"),
    (9000, "max-stale, max-age=6000"),
    (2000, "max-age=1000"),
    (2000, "min-fresh=100"),
]


@pytest.mark.parametrize(("age_seconds", "directives"), FETCHED)
async def test_an_answer_that_the_directives_do_not_accept_is_fetched_again(
    patient: Service, newcomer: int, age_seconds: float, directives: str
) -> None:
    patient.upstream.world.set(newcomer, ROWS)
    await store(patient, newcomer, age_seconds=age_seconds)
    response = await patient.get(f"/v1/merchants/{newcomer}/balances", cache_control=directives)
    assert response.json()["balances"][0]["total"] == "0.5"
    assert patient.upstream.counters.by_merchant[newcomer] == 1


@pytest.mark.parametrize(("age_seconds", "directives"), [*FETCHED[1:], (60100, "")])
async def test_an_answer_that_the_directives_do_not_accept_covers_no_failure(
    patient: Service, newcomer: int, age_seconds: float, directives: str
) -> None:
    path = f"/v1/merchants/{newcomer}/balances"
    await store(patient, newcomer, age_seconds=age_seconds)
    # from Redis into the memory tier, so that it is at hand to be misused
    assert (await patient.get(path, cache_control="only-if-cached, max-stale")).status_code == 200
    async with trouble(patient, newcomer, "status", status=500):
        response = await patient.get(path, cache_control=directives)
    assert_problem(response, "upstream-faulty")


@pytest.mark.parametrize(
    "directives", ["", "max-stale=30000", "max-age=12000", "max-stale", "max-stale=9600, max-age=10100"]
)
async def test_an_answer_that_the_directives_accept_covers_a_failure(
    patient: Service, newcomer: int, directives: str
) -> None:
    await store(patient, newcomer, age_seconds=10_000)
    async with trouble(patient, newcomer, "status", status=500):
        response = await patient.get(f"/v1/merchants/{newcomer}/balances", cache_control=directives)
    assert response.json()["balances"][0]["total"] == OLD_TOTAL


@pytest.mark.parametrize(
    ("age_seconds", "directives"),
    [
        (None, "only-if-cached"),
        (None, "only-if-cached, max-stale"),
        (None, "only-if-cached, max-age=1000"),
        (3600, "only-if-cached"),
        (300, "only-if-cached, max-age=200"),
        (300, "only-if-cached, min-fresh=300"),
        (300, "only-if-cached, no-cache"),
        (9000, "only-if-cached, max-stale=8000"),
    ],
)
async def test_only_if_cached_never_asks_the_upstream(
    patient: Service, newcomer: int, age_seconds: float | None, directives: str
) -> None:
    if age_seconds is not None:
        await store(patient, newcomer, age_seconds=age_seconds)
    path = f"/v1/merchants/{newcomer}/balances"
    assert_problem(await patient.get(path, cache_control=directives), "not-cached")
    v2 = f"/v2/assets/account/assets?merchantId={newcomer}"
    assert_envelope(await patient.get(v2, cache_control=directives), "not-cached")
    await patient.upstream.idle()
    assert patient.upstream.counters.by_merchant[newcomer] == 0


async def test_only_if_cached_finds_what_the_service_has_fetched(patient: Service) -> None:
    fetched = await patient.get(PATH)
    assert (await patient.get(PATH, cache_control="only-if-cached")).content == fetched.content


async def test_every_no_cache_is_a_call_of_its_own(service: Service) -> None:
    for _ in range(4):
        response = await service.get(PATH, cache_control="no-cache")
        assert response.headers["cache-status"] == "tallygate; fwd=miss; stored; ttl=5"
    assert service.upstream.counters.by_merchant == {12345: 4}


BAD = ["max-age", "max-age=", "max-age=-1", "max-age=+1", "max-age=1.5", "max-age=1s", "max-age=abc", 'max-age="x"']
BAD += ['max-age=""', "max-stale=", "max-stale=-1", "max-stale=abc", "min-fresh", "min-fresh=", "min-fresh=x"]
BAD += ["min-fresh=6", "min-fresh=100000", "max-age=1, max-age=1", "max-age=1, max-age=2", "max-stale, max-stale=1"]
BAD += [
    "no-cache, no-cache",
    "Max-Age=1, max-age=1",
    "max-age = 1",
    "max-age=1;no-cache",
    '"',
    "=",
    "max-age=1 2",
    'a="',
]


@pytest.mark.parametrize("directives", BAD)
async def test_a_directive_that_cannot_be_read_is_refused_and_not_guessed_at(calm: Service, directives: str) -> None:
    calls = calm.upstream.counters.balance_calls
    for path in (PATH, f"{PATH}/BTC", "/v1/portfolio"):
        assert_problem(await calm.get(path, cache_control=directives), "invalid-request")
    assert_envelope(await calm.get(V2, cache_control=directives), "invalid-request")
    assert calm.upstream.counters.balance_calls == calls


@pytest.mark.parametrize(
    "values", [[b"max-age=1", b"max-age=1"], [b"no-cache", b"no-cache"], [b"max-age=\xb9"], [b"\xff"]]
)
async def test_directives_of_several_headers_are_read_together(calm: Service, values: list[bytes]) -> None:
    response = await ask_raw(calm, PATH, headers=[(b"cache-control", value) for value in values])
    assert_problem(response, "invalid-request")


@pytest.mark.parametrize(
    "directives", ["", ",", " , ,max-age=9,", "max-age=9\t,\tmax-stale", 'foo="a,b\\"c", max-age=9']
)
async def test_a_list_may_have_empty_parts_and_quoted_ones(calm: Service, directives: str) -> None:
    assert (await calm.get(PATH, cache_control=directives)).status_code == 200
