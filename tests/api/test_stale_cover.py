"""A stale answer covers a failure that may pass, marked; it never covers a refusal, and never longer than allowed."""

from typing import Any

import pytest

from tests.support.errors import assert_envelope, assert_problem
from tests.support.merchant_fault import trouble
from tests.support.polling import ask_until
from tests.support.rows import row
from tests.support.seeded_redis import OLD_TOTAL, seconds_since, store
from tests.support.service import Service

PATH = "/v1/merchants/12345/balances"
V2 = "/v2/assets/account/assets?merchantId=12345"

PASSING: list[tuple[str, dict[str, Any], str]] = [
    ("status", {"status": 500}, "upstream-faulty"),
    ("html", {}, "upstream-faulty"),
    ("code", {"code": -5046}, "upstream-faulty"),
    ("malformed", {}, "malformed-answer"),
    ("empty", {}, "malformed-answer"),
    ("wrong-types", {}, "malformed-answer"),
    ("amount", {"value": "NaN"}, "malformed-answer"),
    ("redirect", {"location": "/"}, "malformed-answer"),
    ("huge", {"megabytes": 3}, "malformed-answer"),
    ("code", {"code": -4010}, "request-refused"),
    ("code", {"code": -9999}, "unknown-code"),
    ("close", {}, "upstream-unreachable"),
    ("reset", {}, "upstream-unreachable"),
]

REFUSALS: list[tuple[str, dict[str, Any], str]] = [
    ("token-expired", {}, "token-refused"),
    ("status", {"status": 401, "body": "no JSON"}, "token-refused"),
    ("address-not-listed", {}, "access-refused"),
    ("code", {"code": -5032}, "access-refused"),
    ("code", {"code": -5033}, "access-refused"),
    ("code", {"code": -5043}, "merchant-inactive"),
    ("code", {"code": -5062}, "merchant-inactive"),
    ("code", {"code": -5066}, "merchant-inactive"),
]


@pytest.mark.parametrize(("kind", "fields", "name"), PASSING)
async def test_a_stale_answer_covers_a_passing_failure_and_says_so(
    calm: Service, newcomer: int, kind: str, fields: dict[str, Any], name: str
) -> None:
    calm.upstream.world.set(newcomer, [row("1", "1")])
    stored = await store(calm, newcomer, age_seconds=100)
    async with trouble(calm, newcomer, kind, **fields):
        response = await calm.get(f"/v1/merchants/{newcomer}/balances")
    assert response.status_code == 200, response.text
    assert response.json()["balances"][0]["total"] == OLD_TOTAL
    age = int(response.headers["age"])
    assert 100 <= age <= seconds_since(stored.as_of)
    assert response.headers["cache-status"] == f"tallygate; fwd=stale; ttl={5 - age}; detail={name}"
    assert calm.upstream.counters.by_merchant[newcomer] >= 1


async def test_a_stale_answer_covers_the_quiet_that_the_upstream_asked_for(service: Service) -> None:
    await store(service, 12345, age_seconds=100)
    with service.upstream.fault("rate-limited", retry_after_seconds=60):
        answers = [await service.get(PATH) for _ in range(3)]
    assert {answer.json()["balances"][0]["total"] for answer in answers} == {OLD_TOTAL}
    assert all(answer.headers["cache-status"].endswith("detail=upstream-busy") for answer in answers)
    assert service.upstream.counters.total == 1


@pytest.mark.parametrize(("kind", "fields", "name"), REFUSALS)
async def test_no_stale_answer_covers_a_refusal(
    calm: Service, newcomer: int, kind: str, fields: dict[str, Any], name: str
) -> None:
    path = f"/v1/merchants/{newcomer}/balances"
    await store(calm, newcomer, age_seconds=100)
    async with trouble(calm, newcomer, kind, **fields):
        assert_problem(await calm.get(path), name)
        assert_problem(await calm.get(f"{path}/BTC"), name)
        assert_problem(await calm.get(path, cache_control="max-stale=10"), name)
        assert_envelope(await calm.get(f"/v2/assets/account/assets?merchantId={newcomer}"), name)


@pytest.mark.parametrize(("kind", "fields", "name"), [REFUSALS[0], REFUSALS[2], REFUSALS[5]])
async def test_nor_does_one_that_was_answered_at_once_before_the_upstream_refused(
    patient: Service, newcomer: int, kind: str, fields: dict[str, Any], name: str
) -> None:
    path = f"/v1/merchants/{newcomer}/balances"
    patient.upstream.world.set(newcomer, [row("1", "1")])
    await store(patient, newcomer, age_seconds=600)
    assert (await patient.get(path, cache_control="only-if-cached")).status_code == 200
    async with trouble(patient, newcomer, kind, **fields):
        await ask_until(lambda: patient.get(path), lambda answer: answer.status_code != 200)
        for _ in range(8):
            assert_problem(await patient.get(path), name)


async def test_a_refused_token_is_hidden_by_no_stale_answer_of_another_account(service: Service) -> None:
    await store(service, 777, age_seconds=15)
    with service.upstream.fault("token-expired"):
        assert_problem(await service.get(PATH), "token-refused")
        assert_problem(await service.get("/v1/merchants/777/balances"), "token-refused")


async def test_a_merchant_that_is_gone_is_gone_and_not_stale(service: Service) -> None:
    await store(service, 777, age_seconds=100)
    for _ in range(2):
        assert_problem(await service.get("/v1/merchants/777/balances"), "unknown-merchant")
    assert service.upstream.counters.by_merchant == {777: 1}


@pytest.mark.parametrize("path", [f"{PATH}/BTC", V2, f"{PATH}?assets=BTC"])
async def test_every_view_is_covered_alike(service: Service, path: str) -> None:
    await store(service, 12345, age_seconds=100)
    with service.upstream.fault("malformed"):
        response = await service.get(path)
    assert f'"total":"{OLD_TOTAL}"' in response.text
    assert "fwd=stale" in response.headers["cache-status"]


async def test_the_portfolio_is_covered_too(service: Service) -> None:
    await store(service, 0, age_seconds=100)
    with service.upstream.fault("malformed"):
        response = await service.get("/v1/portfolio")
    assert (response.json()["merchantId"], response.json()["balances"][0]["total"]) == (0, OLD_TOTAL)


async def test_a_stale_answer_is_still_unchanged_to_who_has_it(service: Service) -> None:
    await store(service, 12345, age_seconds=100)
    with service.upstream.fault("malformed"):
        etag = (await service.get(PATH)).headers["etag"]
        response = await service.get(PATH, if_none_match=etag)
    assert response.status_code == 304
    assert "fwd=stale" in response.headers["cache-status"]
    assert int(response.headers["age"]) >= 100


async def test_an_asset_missing_from_a_stale_answer_is_still_not_zero(service: Service) -> None:
    await store(service, 12345, age_seconds=100)
    with service.upstream.fault("malformed"):
        assert_problem(await service.get(f"{PATH}/USDT"), "unknown-asset")


@pytest.mark.parametrize(("age_seconds", "status"), [(500, 200), (700, 502)])
async def test_a_stale_answer_covers_only_so_long(service: Service, age_seconds: float, status: int) -> None:
    await store(service, 12345, age_seconds=age_seconds)
    with service.upstream.fault("malformed"):
        assert (await service.get(PATH)).status_code == status


async def test_what_covered_a_failure_is_replaced_as_soon_as_it_is_tried_again(service: Service) -> None:
    await store(service, 12345, age_seconds=100)
    with service.upstream.fault("malformed"):
        assert "fwd=stale" in (await service.get(PATH)).headers["cache-status"]
    response = await ask_until(
        lambda: service.get(PATH), lambda answer: "fwd=stale" not in answer.headers["cache-status"]
    )
    assert (response.json()["balances"][0]["total"], response.headers["age"]) == ("0.5", "0")


async def test_one_merchants_stale_answer_covers_no_other(service: Service) -> None:
    await store(service, 12345, age_seconds=100)
    with service.upstream.fault("malformed"):
        assert_problem(await service.get("/v1/merchants/12346/balances"), "malformed-answer")
