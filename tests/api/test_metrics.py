"""Metrics over HTTP: each request counted once, by its template, never by an id."""

import pytest

from tests.support.scrapes import scrape
from tests.support.service import Service

MERCHANT = "/v1/merchants/{merchantId}/balances"
REQUESTS = "tallygate_http_requests_total"


async def test_a_request_is_counted_by_its_template_and_as_an_answer(service: Service) -> None:
    for _ in range(3):
        await service.get("/v1/merchants/12345/balances")
    seen = await scrape(service.anonymous)
    assert seen.value(REQUESTS, path=MERCHANT, method="GET", status="200") == 3
    assert seen.value("tallygate_http_request_seconds_count", path=MERCHANT) == 3
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
    assert seen.value("tallygate_refusals_total", problem=problem) == seen.value("tallygate_refusals_total") == 1


async def test_head_is_counted_as_head(service: Service) -> None:
    await service.client.head("/v1/portfolio")
    assert (await scrape(service.anonymous)).value(REQUESTS, path="/v1/portfolio", method="HEAD") == 1


async def test_an_outage_that_stale_answers_hide_shows(service: Service) -> None:
    await service.get("/v1/portfolio")
    with service.upstream.fault("status", status=500):
        await service.get("/v1/portfolio", Cache_Control="max-age=0, max-stale=60")
        await service.get("/v1/portfolio", Cache_Control="no-cache")
    seen = await scrape(service.anonymous)
    assert seen.value("tallygate_answers_total", outcome="failed") == 2


async def test_no_label_ever_holds_an_id(service: Service) -> None:
    for path in ("/v1/merchants/12345/balances", "/v1/merchants/12345/balances/USDT", "/v1/merchants/12345", "/12345"):
        await service.get(path)
    assert "12345" not in (await scrape(service.anonymous)).text
