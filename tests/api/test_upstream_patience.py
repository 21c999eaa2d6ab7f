"""How callers see that the upstream is treated with patience: few retries, deadlines, quiet, a breaker, a budget."""

from typing import Any

import pytest

from app.redis.embedded import EmbeddedValkey
from sandbox import Sandbox
from tests.support.errors import assert_envelope, assert_problem
from tests.support.service import Service, run_service

PATH = "/v1/merchants/12345/balances"
V2 = "/v2/assets/account/assets?merchantId=12345"

SECRET = "upstream-text-5b1e"  # what must not be seen

Fields = dict[str, Any]


@pytest.mark.parametrize("kind", ["close", "html", "truncated"])
async def test_a_fault_that_passes_at_once_is_not_seen(service: Service, kind: str) -> None:
    with service.upstream.fault(kind, times=2):
        assert (await service.get(PATH)).status_code == 200
    assert service.upstream.counters.by_merchant == {12345: 3}


@pytest.mark.parametrize(
    ("kind", "fields", "seconds"),
    [
        ("status", {"status": 429, "body": SECRET}, "1"),
        ("rate-limited", {}, "1"),
        ("rate-limited", {"retry_after_seconds": 0}, "1"),
        ("rate-limited", {"retry_after_seconds": 7}, "7"),
        ("rate-limited", {"retry_after_seconds": 99_999}, "3600"),
        ("rate-limited", {"retry_after_date": "nonsense"}, "1"),
        ("rate-limited", {"retry_after_date": "Sun, 06 Nov 1994 08:49:37 GMT"}, "1"),
        ("rate-limited", {"retry_after_date": "Fri, 01 Jan 2100 00:00:00 GMT"}, "3600"),
    ],
)
async def test_an_upstream_that_is_busy_says_for_how_long(
    service: Service, kind: str, fields: Fields, seconds: str
) -> None:
    with service.upstream.fault(kind, **fields):
        response = await service.get(PATH)
    assert_problem(response, "upstream-busy")
    assert response.headers["retry-after"] == seconds
    assert SECRET not in response.text


@pytest.mark.parametrize("kind", ["token-expired", "malformed", "rate-limited", "wrong-types"])
async def test_a_fault_that_stays_is_not_tried_again(service: Service, kind: str) -> None:
    with service.upstream.fault(kind):
        assert (await service.get(PATH)).status_code in {502, 503}
    assert service.upstream.counters.by_merchant == {12345: 1}


@pytest.mark.parametrize(("kind", "fields"), [("hang", {}), ("drip", {"bytes_per_second": 1})])
async def test_an_answer_that_does_not_come_is_a_timeout(
    upstream: Sandbox, valkey: EmbeddedValkey, kind: str, fields: Fields
) -> None:
    async with run_service(upstream, valkey.url, upstream_timeout_seconds=0.1) as service:
        with upstream.fault(kind, **fields):
            assert_problem(await service.get(PATH), "upstream-timeout")
            assert_envelope(await service.get(V2), "upstream-timeout")


async def test_an_upstream_that_asked_for_quiet_has_it_and_callers_know_until_when(service: Service) -> None:
    with service.upstream.fault("rate-limited", retry_after_seconds=70):
        first = await service.get(PATH)
    others = [await service.get(path) for path in ("/v1/portfolio", "/v1/merchants/12346/balances")]
    assert_problem(first, "upstream-busy")
    for response in others:
        assert_problem(response, "budget-spent")
    for response in (first, *others):
        assert 60 <= int(response.headers["retry-after"]) <= 70
    assert service.upstream.counters.total == 1


async def test_an_upstream_that_keeps_failing_is_left_alone(service: Service) -> None:
    with service.upstream.fault("status", status=500):
        names = {(await service.get(f"/v1/merchants/{merchant}/balances")).json()["type"] for merchant in range(1, 9)}
    assert names == {"/problems/upstream-faulty", "/problems/breaker-open"}
    assert service.upstream.counters.total < 8


async def test_an_open_breaker_costs_no_permits(upstream: Sandbox, valkey: EmbeddedValkey) -> None:
    async with run_service(
        upstream, valkey.url, upstream_rate=0.01, upstream_burst=30, upstream_concurrency=100
    ) as service:
        with upstream.fault("status", status=500):
            for merchant in range(1, 60):
                await service.get(f"/v1/merchants/{merchant}/balances")
        assert upstream.counters.total < 8
        assert "\ntallygate_budget_left 30" in (await service.get("/metrics")).text


async def test_a_spent_budget_is_a_problem_that_names_when_there_is_more(
    upstream: Sandbox, valkey: EmbeddedValkey
) -> None:
    async with run_service(upstream, valkey.url, upstream_rate=0.01, upstream_burst=1) as service:
        assert (await service.get(PATH)).status_code == 200
        response = await service.get("/v1/portfolio")
        assert (await service.get(PATH)).status_code == 200
    assert_problem(response, "budget-spent")
    assert 90 <= int(response.headers["retry-after"]) <= 100
    assert upstream.counters.total == 1
