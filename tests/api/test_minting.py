"""A token that the service mints itself, against the simulated upstream that checks signatures."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from structlog.testing import capture_logs

from app.redis.embedded import EmbeddedValkey
from app.secret import Secret
from app.upstream.token_minting import TOKEN_PATH
from sandbox import Sandbox
from tests.support.errors import assert_problem
from tests.support.polling import ask_until, is_ok
from tests.support.service import Service, run_service

MINTING: dict[str, Any] = {
    "upstream_token": None,
    "upstream_api_key": Secret("sandbox-api-key"),
    "upstream_api_secret": Secret("sandbox-api-secret"),
}
NOW = {"Cache_Control": "no-cache"}
READY = "/health/ready"


@pytest.fixture
async def minting(upstream: Sandbox, valkey: EmbeddedValkey) -> AsyncIterator[Service]:
    async with run_service(upstream, valkey.url, **MINTING) as running:
        yield running


def _minted(service: Service) -> int:
    return service.upstream.counters.by_path[TOKEN_PATH]


async def test_a_minted_token_is_used_and_shown_with_the_seconds_that_it_has_left(minting: Service) -> None:
    assert (await minting.get("/v1/portfolio")).status_code == 200
    told = (await minting.anonymous.get(READY)).json()
    assert told["token"] == "accepted"
    assert 3500 < told["tokenSecondsLeft"] <= 3600
    assert _minted(minting) == 1


async def test_when_the_token_ends_one_renewal_answers_all(minting: Service) -> None:
    await minting.get("/v1/portfolio")
    minting.upstream.tokens.expire_all()
    merchants = minting.upstream.world.merchant_ids
    paths = [f"/v1/merchants/{merchant}/balances" for merchant in merchants]
    answers = await asyncio.gather(*(minting.get(path, **NOW) for path in paths for _ in range(4)))
    assert {answer.status_code for answer in answers} == {200}
    assert _minted(minting) == 2


async def test_a_token_that_stays_refused_is_reported_as_wrong_and_makes_no_storm(minting: Service) -> None:
    with minting.upstream.fault("token-expired", paths=["/v2/assets/account/assets"]), capture_logs() as logs:
        for _ in range(20):
            answer = await minting.get("/v1/portfolio", **NOW)
            assert_problem(answer, "token-refused")
    assert "does not accept our token" in answer.json()["detail"]
    assert _minted(minting) <= 3
    assert "wrong" in {line.get("reason") for line in logs}
    assert (await minting.anonymous.get(READY)).status_code == 503


@pytest.mark.parametrize(
    ("fault", "problem", "said"),
    [
        ({"fault": "token-expired"}, "token-refused", "API key or API secret is wrong"),
        ({"fault": "address-not-listed"}, "access-refused", "address"),
        ({"fault": "code", "code": -5033}, "access-refused", "account"),
        ({"fault": "code", "code": -5043}, "access-refused", "account"),
        ({"fault": "code", "code": -5006}, "access-refused", "account"),
        ({"fault": "code", "code": -9999}, "unknown-code", "not documented"),
        ({"fault": "malformed"}, "malformed-answer", "JSON"),
        ({"fault": "close"}, "upstream-unreachable", "broke"),
        ({"fault": "status", "status": 503}, "upstream-faulty", "503"),
    ],
)
async def test_why_there_is_no_token_is_reported(
    minting: Service, fault: dict[str, Any], problem: str, said: str
) -> None:
    await minting.get("/v1/portfolio")
    minting.upstream.tokens.expire_all()
    with minting.upstream.fault(**fault, paths=[TOKEN_PATH]):
        answer = await minting.get("/v1/portfolio", **NOW)
    assert_problem(answer, problem)
    assert said in answer.json()["detail"]


@pytest.mark.parametrize("fault", ["token-expired", "close"], ids=["a_refusal", "what_may_pass"])
async def test_the_next_token_is_got_after_a_pause(minting: Service, fault: str) -> None:
    await minting.get("/v1/portfolio")
    minting.upstream.tokens.expire_all()
    with minting.upstream.fault(fault, paths=[TOKEN_PATH]):
        assert (await minting.get("/v1/portfolio", **NOW)).is_error
    await ask_until(lambda: minting.get("/v1/portfolio", **NOW), is_ok)


async def test_a_token_is_read_whether_success_is_200_or_0(minting: Service) -> None:
    body = {"code": 0, "msg": "ok", "data": {"token": "t", "expireTime": str(int(time.time() * 1000) + 60_000)}}
    minting.upstream.tokens.set_static("t")
    minting.upstream.tokens._minted.clear()
    with minting.upstream.fault("status", status=200, body=body, paths=[TOKEN_PATH]):
        assert (await minting.get("/v1/portfolio", **NOW)).status_code == 200


@pytest.mark.parametrize("ahead_seconds", [-3600.0, 3600.0])
async def test_a_clock_that_is_off_is_corrected_by_the_upstreams(valkey: EmbeddedValkey, ahead_seconds: float) -> None:
    async with (
        Sandbox(scenario="document", clock=lambda: time.time() + ahead_seconds) as upstream,
        run_service(upstream, valkey.url, **MINTING) as service,
    ):
        assert (await service.get("/v1/portfolio")).status_code == 200
        left = (await service.anonymous.get(READY)).json()["tokenSecondsLeft"]
        assert 3500 < left <= 3601
        assert upstream.counters.by_path[TOKEN_PATH] == 2


async def test_redis_holds_no_token(minting: Service) -> None:
    await minting.get("/v1/portfolio")
    minting.upstream.tokens.expire_all()  # the first one may have been there before Redis was emptied
    await minting.get("/v1/portfolio", **NOW)
    (token,) = minting.upstream.tokens._minted
    keys = [key async for key in minting.redis.scan_iter()]
    assert any(b"token" in key for key in keys)
    await minting.redis.config_set("rdbcompression", "no")
    kept = [await minting.redis.dump(key) or b"" for key in keys]
    assert not [value for value in kept if token.encode() in value]
