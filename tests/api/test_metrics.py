"""Metrics over HTTP: each request counted once, by its template, never by an id."""

from pathlib import Path

import pytest

from app.redis.embedded import EmbeddedValkey
from sandbox import Sandbox
from tests.support.expired_answers import grow_older
from tests.support.scrapes import scrape
from tests.support.service import Service, run_service
from tests.support.valkey import run_valkey

MERCHANT = "/v1/merchants/{merchantId}/balances"
REQUESTS = "tallygate_http_requests_total"


async def test_a_request_is_counted_by_its_template_and_as_an_answer(service: Service) -> None:
    for _ in range(3):
        await service.get("/v1/merchants/12345/balances")
    seen = await scrape(service.anonymous)
    assert seen.value(REQUESTS, path=MERCHANT, method="GET", status="200") == 3
    assert seen.value("tallygate_http_request_seconds_count", path=MERCHANT, status="200") == 3
    assert seen.value("tallygate_answers_total", outcome="fetched") == 1
    assert seen.value("tallygate_answers_total", outcome="memory") == 2
    assert seen.value("tallygate_answer_age_seconds_count") == 3
    assert seen.value("tallygate_requests_under_way") == 1  # the scrape itself
    assert seen.value("tallygate_snapshots") == 1
    assert seen.value("tallygate_callers") == 3


@pytest.mark.parametrize(
    ("path", "caller", "template", "status", "problem"),
    [
        ("/v1/merchants/007/balances", "all", MERCHANT, "400", "invalid-request"),
        ("/v1/merchants/12346/balances", "some", MERCHANT, "403", "forbidden"),
        ("/nowhere/12345", "all", "unmatched", "404", "unknown-path"),
        ("/v1//portfolio", "all", "unmatched", "404", "unknown-path"),
        ("/v1/portfolio?" + "x" * 9000, "all", "unmatched", "414", "uri-too-long"),
    ],
)
async def test_a_refusal_is_counted_with_its_problem(
    service: Service, path: str, caller: str, template: str, status: str, problem: str
) -> None:
    await service.get(path, caller)
    seen = await scrape(service.anonymous)
    assert seen.value(REQUESTS, path=template, status=status) == 1
    assert seen.value("tallygate_http_request_seconds_count", path=template, status=status) == 1
    assert seen.value("tallygate_refusals_total", problem=problem) == seen.value("tallygate_refusals_total") == 1


async def test_head_is_counted_as_head(service: Service) -> None:
    await service.client.head("/v1/portfolio")
    assert (await scrape(service.anonymous)).value(REQUESTS, path="/v1/portfolio", method="HEAD") == 1


async def test_an_outage_that_stale_answers_hide_shows(service: Service) -> None:
    await service.get("/v1/portfolio")
    await grow_older()
    with service.upstream.fault("status", status=500):
        await service.get("/v1/portfolio", Cache_Control="max-age=0, max-stale=60")
        await service.get("/v1/portfolio", Cache_Control="no-cache")
    seen = await scrape(service.anonymous)
    assert seen.value("tallygate_answers_total", outcome="failed") == 2


async def test_no_label_ever_holds_an_id(service: Service) -> None:
    for path in ("/v1/merchants/12345/balances", "/v1/merchants/12345/balances/USDT", "/v1/merchants/12345", "/12345"):
        await service.get(path)
    assert "12345" not in (await scrape(service.anonymous)).text


async def test_what_the_upstream_and_redis_do_is_counted(service: Service) -> None:
    for path in ("/v1/merchants/12345/balances", "/v1/portfolio"):
        await service.get(path)
    with service.upstream.fault("malformed"):
        await service.get("/v1/portfolio", Cache_Control="no-cache")
    with service.upstream.fault("status", status=500, times=1):
        await service.get("/v1/portfolio", Cache_Control="no-cache")
    seen = await scrape(service.anonymous)
    assert seen.value("tallygate_upstream_calls_total", outcome="ok") == 3
    assert seen.value("tallygate_upstream_calls_total", outcome="malformed-answer") == 1
    assert seen.value("tallygate_upstream_calls_total", outcome="upstream-faulty") == 1
    assert seen.value("tallygate_upstream_call_seconds_count") == 5
    assert seen.value("tallygate_upstream_retries_total") == 1
    assert seen.value("tallygate_budget_wait_seconds_count", priority="waiting") == 5
    assert seen.value("tallygate_redis_commands_total", outcome="ok") > 0
    assert seen.value("tallygate_redis_commands_total", outcome="unavailable") == 0
    up = ("tallygate_redis_available", "tallygate_bus_connected", "tallygate_token_accepted")
    assert [seen.value(name) for name in up] == [1, 1, 1]
    assert seen.value("tallygate_upstream_breaker_open") == 0
    assert seen.value("tallygate_budget_left") > 0


async def test_a_token_that_is_refused_and_a_breaker_that_opens_show(service: Service) -> None:
    with service.upstream.fault("token-expired"):
        await service.get("/v1/portfolio")
    assert (await scrape(service.anonymous)).value("tallygate_token_accepted") == 0
    with service.upstream.fault("status", status=500):
        for merchant in range(100, 110):
            await service.get(f"/v1/merchants/{merchant}/balances")
        seen = await scrape(service.anonymous)
    assert seen.value("tallygate_upstream_breaker_open") == 1
    assert seen.value("tallygate_refusals_total", problem="breaker-open") > 0


async def test_anomalies_of_the_upstream_are_counted_by_their_asset(service: Service) -> None:
    with service.upstream.fault("total-mismatch", merchants=[0]):
        await service.get("/v1/portfolio")
    seen = await scrape(service.anonymous)
    assert seen.value("tallygate_anomalies_total", kind="total-mismatch", asset="USDT") == 1


async def test_a_budget_that_is_spent_is_counted(upstream: Sandbox, valkey: EmbeddedValkey) -> None:
    async with run_service(
        upstream, valkey.url, upstream_rate=0.01, upstream_burst=1, upstream_timeout_seconds=0.2
    ) as service:
        for merchant in (12345, 777):
            await service.get(f"/v1/merchants/{merchant}/balances")
        assert (await scrape(service.anonymous)).value("tallygate_budget_refused_total") == 1


async def test_redis_that_is_away_shows_and_does_not_make_the_service_unready(
    upstream: Sandbox, valkey: EmbeddedValkey, tmp_path: Path
) -> None:
    async with run_valkey() as server, run_service(upstream, server.url, redis_timeout_seconds=0.05) as service:
        server.freeze()
        for _ in range(4):
            await service.get("/v1/portfolio", Cache_Control="no-cache")
        seen = await scrape(service.anonymous)
        ready = await service.anonymous.get("/health/ready")
        server.thaw()
    assert seen.value("tallygate_redis_available") == 0
    assert seen.value("tallygate_redis_commands_total", outcome="unavailable") > 0
    assert (ready.status_code, ready.json()["redis"]) == (200, "unavailable")
