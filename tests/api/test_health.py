"""Health: a service is alive while its event loop runs, and ready while it can answer requests."""

import pytest

from tests.support.errors import assert_problem
from tests.support.service import Service

READY = "/health/ready"


async def test_liveness_needs_nothing_and_asks_nobody(service: Service) -> None:
    with service.upstream.fault("hang"):
        response = await service.anonymous.get("/health/live")
    assert (response.status_code, response.json()) == (200, {"status": "alive"})
    assert response.headers["content-type"] == "application/json"
    assert service.upstream.counters.total == 0


async def test_readiness_names_what_it_depends_on(service: Service) -> None:
    response = await service.anonymous.get(READY)
    assert response.status_code == 200
    assert response.json() == {"status": "ready", "callers": 3, "token": "untried", "redis": "available"}
    await service.get("/v1/portfolio")
    assert (await service.anonymous.get(READY)).json()["token"] == "accepted"
    assert service.upstream.counters.total == 1


async def test_a_service_whose_token_is_refused_is_not_ready_until_it_is_accepted(service: Service) -> None:
    with service.upstream.fault("token-expired"):
        await service.get("/v1/portfolio")
    response = await service.anonymous.get(READY)
    assert response.status_code == 503
    told = response.json()
    assert told.pop("reason").startswith("The upstream does not accept our token: it is wrong")
    assert told == {"status": "not ready", "callers": 3, "token": "refused", "redis": "available"}
    assert (await service.anonymous.head(READY)).status_code == 503
    await service.get("/v1/portfolio")
    assert (await service.anonymous.get(READY)).json()["status"] == "ready"


async def test_a_service_that_the_upstream_let_in_stays_ready_when_its_token_is_refused(service: Service) -> None:
    await service.get("/v1/portfolio")
    assert (await service.anonymous.get(READY)).json()["token"] == "accepted"
    with service.upstream.fault("token-expired"):
        await service.get("/v1/merchants/12345/balances")
        response = await service.anonymous.get(READY)
        answer = await service.get("/v1/merchants/10001/balances")
    assert response.status_code == 200
    assert (response.json()["status"], response.json()["token"]) == ("ready", "refused")
    assert response.json()["reason"].startswith("The upstream does not accept our token any more")
    assert_problem(answer, "token-refused")


async def test_a_token_that_really_expires_is_noticed(service: Service) -> None:
    service.upstream.tokens.expire_all()
    await service.get("/v1/portfolio")
    assert (await service.anonymous.get(READY)).status_code == 503


@pytest.mark.parametrize(
    ("kind", "fields"), [("status", {"status": 500}), ("close", {}), ("malformed", {}), ("code", {"code": -5043})]
)
async def test_an_upstream_in_trouble_does_not_make_the_service_unready(
    service: Service, kind: str, fields: dict[str, int]
) -> None:
    with service.upstream.fault(kind, **fields):
        await service.get("/v1/portfolio")
        assert (await service.anonymous.get(READY)).status_code == 200


async def test_health_is_open_to_anybody_and_names_nobody(service: Service) -> None:
    text = (await service.anonymous.get(READY)).text
    for secret in ("canary-token", "tg_", "127.0.0.1", "unix:", "12345"):
        assert secret not in text
