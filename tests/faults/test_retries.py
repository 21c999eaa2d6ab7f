"""Which failures are tried again, and how long the upstream is left alone when it asks for it."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from app.redis.embedded import EmbeddedValkey
from sandbox import Sandbox
from tests.support.gateway import Gateway, run_gateway
from tests.support.polling import ask_until
from tests.support.valkey import run_valkey

SETTINGS: dict[str, Any] = {"redis_timeout_seconds": 5, "upstream_timeout_seconds": 20}


@pytest.fixture(scope="module")
async def gateway(
    shared_upstream: Sandbox, valkey: EmbeddedValkey, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Gateway]:
    folder = tmp_path_factory.mktemp("retries")
    async with run_gateway(shared_upstream, folder, redis_url=valkey.url, **SETTINGS) as running:
        yield running


@pytest.fixture(autouse=True)
def count_from_zero(shared_upstream: Sandbox) -> None:
    shared_upstream.counters.reset()


async def test_two_failures_are_covered_by_two_retries_and_a_third_is_not(
    gateway: Gateway, shared_upstream: Sandbox, merchants: list[int]
) -> None:
    covered, uncovered, *_ = merchants
    with shared_upstream.fault("status", status=503, times=2, merchants=[covered]):
        assert (await gateway.get(f"/v1/merchants/{covered}/balances")).status_code == 200
    with shared_upstream.fault("status", status=503, times=3, merchants=[uncovered]):
        assert (await gateway.get(f"/v1/merchants/{uncovered}/balances")).status_code == 503
    assert shared_upstream.counters.by_merchant == {covered: 3, uncovered: 3}
    assert [line["retry"] for line in gateway.named("upstream.retried")] == [1, 2, 1, 2]
    assert len(gateway.named("upstream.failed", merchant=str(uncovered))) == 1


async def test_a_refusal_is_not_tried_again(gateway: Gateway, shared_upstream: Sandbox, merchants: list[int]) -> None:
    retried = len(gateway.named("upstream.retried"))
    refusals: list[tuple[str, dict[str, Any]]] = [
        ("token-expired", {}),
        ("address-not-listed", {}),
        ("code", {"code": -4010}),
        ("code", {"code": -5043}),
        ("code", {"code": -5006}),
        ("code", {"code": -77}),
        ("malformed", {}),
        ("wrong-types", {}),
        ("status", {"status": 400}),
    ]
    for merchant, (kind, fields) in zip(merchants, refusals, strict=False):
        with shared_upstream.fault(kind, merchants=[merchant], **fields):
            assert (await gateway.get(f"/v1/merchants/{merchant}/balances")).status_code in {404, 502}
    assert set(shared_upstream.counters.by_merchant.values()) == {1}
    assert len(gateway.named("upstream.retried")) == retried


async def test_no_call_is_made_before_retry_after_is_over_and_callers_are_refused_without_waiting(
    shared_upstream: Sandbox, tmp_path: Path, merchants: list[int]
) -> None:
    """The whole fleet keeps quiet, so this fleet has a Redis of its own; its callers would wait for ten minutes."""
    settings = {**SETTINGS, "upstream_timeout_seconds": 600}
    async with (
        run_valkey() as server,
        run_gateway(shared_upstream, tmp_path, redis_url=server.url, **settings) as gateway,
    ):
        with shared_upstream.fault("rate-limited", retry_after_seconds=900, times=1):
            first = await gateway.get(f"/v1/merchants/{merchants[0]}/balances")
        others = await asyncio.gather(*(gateway.get(f"/v1/merchants/{each}/balances") for each in merchants[1:]))
    assert shared_upstream.counters.balance_calls == 1
    assert first.json()["type"] == "/problems/upstream-busy"
    assert {answer.json()["type"] for answer in others} <= {"/problems/upstream-busy", "/problems/budget-spent"}
    for answer in (first, *others):
        assert answer.status_code == 503
        assert 0 < answer.json()["retryAfter"] <= 900
        assert answer.headers["retry-after"] == str(answer.json()["retryAfter"])


async def test_when_retry_after_is_over_calls_are_made_again(
    gateway: Gateway, shared_upstream: Sandbox, merchants: list[int]
) -> None:
    with shared_upstream.fault("rate-limited", retry_after_seconds=1, times=1):
        assert (await gateway.get(f"/v1/merchants/{merchants[0]}/balances")).status_code == 503
    answer = await ask_until(
        lambda: gateway.get(f"/v1/merchants/{merchants[0]}/balances"),
        lambda answer: answer.json().get("type") not in {"/problems/upstream-busy", "/problems/budget-spent"},
    )
    assert answer.status_code == 200
    first, second = shared_upstream.counters.arrivals
    assert second - first >= 1  # a lower bound, which no slow machine breaks


async def test_a_retry_after_date_long_ago_holds_nothing_up(
    gateway: Gateway, shared_upstream: Sandbox, merchants: list[int]
) -> None:
    date = "Thu, 01 Jan 2015 00:00:00 GMT"
    with shared_upstream.fault("rate-limited", retry_after_date=date, times=1):
        assert (await gateway.get(f"/v1/merchants/{merchants[0]}/balances")).status_code == 503
    assert (await gateway.get(f"/v1/merchants/{merchants[0]}/balances")).status_code == 200
