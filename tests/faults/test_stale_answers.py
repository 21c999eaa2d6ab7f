"""What was known before the upstream went is still told, and marked; but a refusal is never hidden behind it."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from app.redis.embedded import EmbeddedValkey
from sandbox import Sandbox
from tests.support.gateway import Gateway, run_gateway
from tests.support.polling import ask_until

SETTINGS: dict[str, Any] = {
    "redis_timeout_seconds": 5,
    "upstream_timeout_seconds": 2,
    "fresh_seconds": 0,
    "stale_while_revalidate_seconds": 0,
}
OUTAGES = {
    "hang": ({}, "upstream-timeout"),
    "close": ({}, "upstream-unreachable"),
    "status": ({"status": 500}, "upstream-faulty"),
    "malformed": ({}, "malformed-answer"),
    "wrong-types": ({}, "malformed-answer"),
    "code": ({"code": -4010}, "request-refused"),
}
REFUSALS = {
    "token-expired": ({}, "token-refused"),
    "address-not-listed": ({}, "access-refused"),
    "code": ({"code": -5043}, "merchant-inactive"),
}


@pytest.fixture(scope="module")
async def gateway(
    shared_upstream: Sandbox, valkey: EmbeddedValkey, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Gateway]:
    folder = tmp_path_factory.mktemp("stale")
    async with run_gateway(shared_upstream, folder, redis_url=valkey.url, **SETTINGS) as running:
        yield running


@pytest.mark.parametrize("kind", OUTAGES)
async def test_a_known_answer_stands_in_for_a_failed_one_and_says_so(
    gateway: Gateway, shared_upstream: Sandbox, merchants: list[int], kind: str
) -> None:
    fields, problem = OUTAGES[kind]
    path = f"/v1/merchants/{merchants[0]}/balances"
    known = await gateway.get(path)
    with shared_upstream.fault(kind, merchants=merchants, **fields):
        stale = await gateway.get(path)
    assert (stale.status_code, stale.json()) == (200, known.json())
    assert stale.headers["cache-status"].startswith("tallygate; fwd=stale; ttl=")
    assert stale.headers["cache-status"].endswith(f"; detail={problem}")
    # a key that failed is left alone for a moment
    fetched = await ask_until(
        lambda: gateway.get(path), lambda answer: "fwd=stale" not in answer.headers["cache-status"]
    )
    assert fetched.headers["cache-status"].startswith("tallygate; fwd=miss; stored")


@pytest.mark.parametrize("kind", REFUSALS)
async def test_a_refusal_is_never_covered_by_a_known_answer(
    gateway: Gateway, shared_upstream: Sandbox, merchants: list[int], kind: str
) -> None:
    fields, problem = REFUSALS[kind]
    path = f"/v1/merchants/{merchants[0]}/balances"
    assert (await gateway.get(path)).status_code == 200
    with shared_upstream.fault(kind, merchants=merchants, **fields):
        for _ in range(2):
            refused = await gateway.get(path, Cache_Control="max-stale")
            refused = await gateway.get(path) if refused.status_code == 200 else refused
            assert (refused.status_code, refused.json()["type"]) == (502, f"/problems/{problem}")
    assert (await gateway.get(path)).status_code == 200


async def test_no_caller_gets_an_older_answer_than_it_accepts(
    gateway: Gateway, shared_upstream: Sandbox, merchants: list[int]
) -> None:
    path = f"/v1/merchants/{merchants[0]}/balances"
    assert (await gateway.get(path)).status_code == 200
    with shared_upstream.fault("malformed", merchants=merchants):
        for directives in ("no-cache", "max-age=0", "max-stale=0"):
            refused = await gateway.get(path, Cache_Control=directives)
            assert (refused.status_code, refused.json()["type"]) == (502, "/problems/malformed-answer")
        unasked = await gateway.get(path, Cache_Control="only-if-cached, max-stale=0")
        assert (unasked.status_code, unasked.json()["type"]) == (504, "/problems/not-cached")


async def test_a_gateway_that_never_fetched_it_serves_what_another_knew(
    gateway: Gateway, shared_upstream: Sandbox, valkey: EmbeddedValkey, tmp_path: Path, merchants: list[int]
) -> None:
    path = f"/v1/merchants/{merchants[0]}/balances"
    known = await gateway.get(path)
    async with run_gateway(shared_upstream, tmp_path, redis_url=valkey.url, **SETTINGS) as other:
        with shared_upstream.fault("status", status=500, merchants=merchants):
            stale = await other.get(path)
    assert (stale.status_code, stale.json()) == (200, known.json())
    assert "fwd=stale" in stale.headers["cache-status"]


async def test_a_refused_token_leaves_a_service_ready_that_was_let_in_before(
    gateway: Gateway, shared_upstream: Sandbox, merchants: list[int]
) -> None:
    path = f"/v1/merchants/{merchants[0]}/balances"
    with shared_upstream.fault("token-expired", merchants=merchants):
        assert (await gateway.get(path)).status_code == 502
        ready = await gateway.get("/health/ready")
        assert (ready.status_code, ready.json()["token"]) == (200, "refused")
    assert (await gateway.get(path)).status_code == 200
    assert (await gateway.get("/health/ready")).status_code == 200
